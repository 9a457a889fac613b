/** Kills what meters, again and again, and compares the store with what was acknowledged. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyStoredChain } from '../../src/audit/chain-table.ts';
import type { Store } from '../../src/store/store.ts';
import { account } from '../support/ledger-commands.ts';
import { openTarget } from './targets.ts';

export interface KillOptions {
  readonly kind: 'sqlite' | 'postgres';
  /** A file, or a URL and after `#` the schema. */
  readonly place: string;
  readonly rounds: number;
  /** `early` acknowledges before the store did: the control that must be caught. */
  readonly mode: 'honest' | 'early';
  /** A number in [0, 1) that says when to kill. */
  readonly random: () => number;
  /** Kills the server instead of the process that meters, and starts it again. */
  readonly server?: { kill(): Promise<void>; start(): Promise<void> };
  /** Told after each round. */
  readonly progress?: (round: number, acknowledgements: number) => void;
}

export interface KillReport {
  readonly acknowledgements: number;
  /** Acknowledgements that the file does not bear out, one sentence each. */
  readonly lost: readonly string[];
  /** What is wrong with the file by itself. */
  readonly broken: readonly string[];
}

const CHILD = new URL('./ledger-child.ts', import.meta.url).pathname;
const START_MAX_MS = 20_000;
const KILL_AFTER_MAX_MS = 60;

/** Stops early once something was lost: then there is nothing more to learn. */
export async function killRounds(options: KillOptions): Promise<KillReport> {
  const acknowledged = new Set<string>();
  let report: KillReport = { acknowledgements: 0, lost: [], broken: [] };
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const line of await oneLife(round, options)) acknowledged.add(line);
    report = await compare(options, acknowledged);
    options.progress?.(round, acknowledged.size);
    if (report.lost.length > 0 || report.broken.length > 0) break;
  }
  return report;
}

async function oneLife(round: number, options: KillOptions): Promise<readonly string[]> {
  const { kind, place, mode, random, server } = options;
  const child = spawn(process.execPath, [CHILD, kind, place, String(round), mode], {
    // A child whose server is killed says so in many words.
    stdio: ['ignore', 'pipe', server === undefined ? 'inherit' : 'ignore'],
  });
  let text = '';
  const started = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      resolve();
    });
  });
  const ended = new Promise<void>((resolve) => child.stdout.on('end', resolve));
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MAX_MS);
  await Promise.race([started, ended]);
  await sleep(random() * KILL_AFTER_MAX_MS);
  if (server !== undefined) await server.kill();
  child.kill('SIGKILL');
  await ended;
  if (server !== undefined) await server.start();
  clearTimeout(timer);
  // The kill may have cut the last line, which is then no acknowledgement.
  return text.split('\n').slice(0, -1);
}

async function compare(
  { kind, place }: KillOptions,
  acknowledged: ReadonlySet<string>,
): Promise<KillReport> {
  const { store, ledger } = await openTarget(kind, place);
  try {
    const states = await readStates(store);
    const lost: string[] = [];
    for (const line of acknowledged) {
      const [what = '', runId = ''] = line.split(' ');
      const state = states.get(runId);
      if (state === undefined || (what !== 'reserved' && state !== what)) {
        lost.push(`${line}: the file says ${state ?? 'nothing'}`);
      }
    }
    const broken: string[] = [];
    const [sums] = await store.query(
      `SELECT count(*) AS records, max(seq) AS last, count(DISTINCT run_id) AS runs,
       CAST(sum(runs) AS BIGINT) AS posted,
       (SELECT count(*) FROM audit_entry) AS leaves,
       (SELECT count(*) FROM ledger_reservation WHERE state <> 'pending') AS settled,
       (SELECT count(*) FROM ledger_reservation WHERE state = 'pending') AS pending
       FROM ledger_record`,
    );
    const records = sums?.['records'] as bigint;
    for (const name of ['last', 'runs', 'leaves', 'settled']) {
      const value = sums?.[name] ?? 0n;
      if (value !== records) broken.push(`${records} records, but ${name} is ${String(value)}`);
    }
    const verdict = await verifyStoredChain(store);
    if (!verdict.ok) broken.push(verdict.reason);
    const [used = 0n] = await ledger.usage([account('contract', 'runs', 0)]);
    const counted = ((sums?.['posted'] as bigint | null) ?? 0n) + (sums?.['pending'] as bigint);
    if (used !== counted) broken.push(`the account says ${used}, the records ${counted}`);
    return { acknowledgements: acknowledged.size, lost, broken };
  } finally {
    await store.close();
  }
}

const PAGE_ROWS = 50_000;

async function readStates(store: Store): Promise<ReadonlyMap<string, string>> {
  const states = new Map<string, string>();
  for (let after = ''; ; ) {
    const rows = await store.query(
      'SELECT run_id, state FROM ledger_reservation WHERE run_id > ? ORDER BY run_id LIMIT ?',
      [after, PAGE_ROWS],
    );
    for (const row of rows) {
      after = String(row['run_id']);
      states.set(after, String(row['state']));
    }
    if (rows.length < PAGE_ROWS) return states;
  }
}
