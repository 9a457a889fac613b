/**
 * `npm run test:kill -- [--rounds N]`: SIGKILL under load, again and again; what was
 * acknowledged is compared with what is there. So many rounds kill a gateway at work, on the embedded
 * store and on PostgreSQL, whose server dies as well; the ledger alone is killed as often. The
 * controls must be caught, or the whole fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { postgresBinaries, startPostgres } from '../support/postgres-server.ts';
import { gatewayKillRounds, type GatewayKillOptions } from './gateway-rounds.ts';
import { traceGateway } from './gateway-trace.ts';
import { killRounds, type KillOptions, type KillReport } from './kill-rounds.ts';
import { hasStrace, traceSyncs } from './sync-trace.ts';

/** The ledger alone against a server that dies: the gateways on PostgreSQL do the same at length. */
const SERVER_ROUNDS_MAX = 10;
/** A control that is not caught in so many rounds is not caught. */
const CONTROL_ROUNDS = 25;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '100' } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds is a positive number');
const random = Math.random;
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

async function gateway(name: string, options: Omit<GatewayKillOptions, 'random'>): Promise<void> {
  const report = await gatewayKillRounds({
    ...options,
    random,
    progress: ({ round, what, runs, posted, refusals }) => {
      const done = `round ${round}: ${what}; ${runs} runs, ${posted} posted, ${refusals} refused`;
      process.stdout.write(`      ${name}, ${done}\n`);
    },
  });
  const wrong = [...report.lost, ...report.broken];
  const isControl = options.lateStore === true;
  const what = `${report.runs} runs, ${report.posted} posted, ${report.refusals} refusals acknowledged in ${report.rounds} rounds at ${report.steps.size} named steps and at random; ${wrong.length} wrong`;
  const first = wrong[0] === undefined ? '' : `; first: ${wrong[0]}`;
  say(
    name,
    isControl ? report.lost.length > 0 : wrong.length === 0,
    `${what}${isControl ? ' (must be caught)' : first}`,
  );
}

async function postgres(): Promise<void> {
  const binaries = postgresBinaries();
  if (binaries === undefined) {
    say('PostgreSQL', process.env['CI'] !== 'true', 'skipped: install the package postgresql');
    return;
  }
  const server = await startPostgres(binaries);
  try {
    await gateway('gateway on PostgreSQL', {
      rounds,
      postgres: { server, schema: 'weir_gateway' },
    });
    const place = `${server.url}#weir_honest`;
    await both(
      'ledger on PostgreSQL',
      Math.min(rounds, SERVER_ROUNDS_MAX),
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
  for (const isLate of [false, true]) {
    const { answers, unsynced } = await traceGateway(isLate);
    say(
      `gateway, sync before answer${isLate ? ', acknowledging early' : ''}`,
      answers > 20 && (isLate ? unsynced > 0 : unsynced === 0),
      `${answers} answers, ${unsynced} without a sync${isLate ? ' (must be caught)' : ''}`,
    );
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
  await gateway('gateway', { rounds });
  await gateway('gateway, acknowledging early', { rounds: CONTROL_ROUNDS, lateStore: true });
  const place = join(directory, 'honest.db');
  await both('embedded ledger', rounds, { kind: 'sqlite', place }, join(directory, 'early.db'));
  await trace();
  await postgres();
} finally {
  rmSync(directory, { recursive: true });
}
process.exitCode = failed ? 1 : 0;
