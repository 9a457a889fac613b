/**
 * `npm run test:kill -- [--rounds N] [--postgres-rounds N]`: SIGKILL under load, again and again; what
 * was acknowledged is compared with what is there. The controls must be caught, or the whole fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { postgresBinaries, startPostgres } from '../support/postgres-server.ts';
import { killRounds, type KillOptions, type KillReport } from './kill-rounds.ts';
import { hasStrace, traceSyncs } from './sync-trace.ts';

/** A control that is not caught in so many rounds is not caught. */
const CONTROL_ROUNDS = 25;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    'postgres-rounds': { type: 'string', default: '10' },
  },
});
const directory = mkdtempSync(join(tmpdir(), 'weir-kill-'));
let failed = false;

function say(name: string, ok: boolean, what: string): void {
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'}  ${name}: ${what}\n`);
  failed ||= !ok;
}

function judge(name: string, rounds: number, report: KillReport, isControl: boolean): void {
  const wrong = [...report.lost, ...report.broken];
  const what = `${report.acknowledgements} acknowledgements in at most ${rounds} rounds, ${wrong.length} wrong`;
  const first = wrong[0] === undefined ? '' : `; first: ${wrong[0]}`;
  say(
    name,
    isControl ? report.lost.length > 0 : wrong.length === 0,
    `${what}${isControl ? ' (must be caught)' : first}`,
  );
}

async function both(
  name: string,
  rounds: number,
  options: Omit<KillOptions, 'rounds' | 'mode' | 'random'>,
  control: string,
): Promise<void> {
  const random = Math.random;
  judge(name, rounds, await killRounds({ ...options, rounds, mode: 'honest', random }), false);
  const early = {
    ...options,
    place: control,
    rounds: CONTROL_ROUNDS,
    mode: 'early',
    random,
  } as const;
  judge(`${name}, acknowledging early`, CONTROL_ROUNDS, await killRounds(early), true);
}

async function postgres(rounds: number): Promise<void> {
  const binaries = postgresBinaries();
  if (binaries === undefined) {
    say('PostgreSQL', process.env['CI'] !== 'true', 'skipped: install the package postgresql');
    return;
  }
  const server = await startPostgres(binaries);
  try {
    const place = `${server.url}#weir_honest`;
    await both(
      'PostgreSQL server',
      rounds,
      { kind: 'postgres', place, server },
      `${server.url}#weir_early`,
    );
  } finally {
    await server.stop();
  }
}

async function trace(): Promise<void> {
  if (!hasStrace()) {
    say('sync before acknowledgement', true, 'skipped: strace is not installed');
    return;
  }
  const honest = await traceSyncs(directory, 'honest');
  say(
    'sync before acknowledgement',
    honest.acknowledgements > 20 && honest.unsynced === 0,
    `${honest.acknowledgements} acknowledgements, ${honest.unsynced} without a sync${honest.unsynced === 0 ? '' : `:\n${honest.first.join('\n')}`}`,
  );
  const control = await traceSyncs(directory, 'unsynced');
  say(
    'sync before acknowledgement, sync turned off',
    control.unsynced > 0,
    `${control.unsynced} of ${control.acknowledgements} without a sync (must be caught)`,
  );
}

try {
  const place = join(directory, 'honest.db');
  await both(
    'embedded ledger',
    Number(values.rounds),
    { kind: 'sqlite', place },
    join(directory, 'early.db'),
  );
  await trace();
  await postgres(Number(values['postgres-rounds']));
} finally {
  rmSync(directory, { recursive: true });
}
process.exitCode = failed ? 1 : 0;
