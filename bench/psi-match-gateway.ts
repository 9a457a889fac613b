/**
 * Matches as an analyst sees them, an intersection by VOLE and a number by ECDH: two domains as
 * processes, frames sealed and relayed, the run metered, the result verified and opened. Of VOLE
 * reading is apart: each domain reads its keys before the protocol. By ECDH it is under way with it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Analyst } from '../src/cli/analyst.ts';
import { startLocalWeir, type HolderSetup, type LocalWeir } from '../src/cli/local-weir.ts';
import { openedRun } from '../src/cli/sealing.ts';
import type { MatchPlan } from '../src/contracts/plan.ts';
import { PartyIdSchema } from '../src/system/ids.ts';
import type { BenchContext } from './suite.ts';

const VOLE_CASE = 'gateway vole 2^20';
const ECDH_CASE = 'gateway ecdh 2^20';
const ITEMS = 2 ** 20;
/** As many as one run may reveal, nearly. */
const SHARED = 65_536;
const REPETITIONS = 3;
const TABLE = 'people';
const EAST = PartyIdSchema.parse('east');
const WEST = PartyIdSchema.parse('west');

const INTERSECTION: MatchPlan = {
  kind: 'match',
  ask: 'intersection',
  engine: 'vole',
  receiver: WEST,
  key: [
    {
      as: 'id',
      type: 'integer',
      columns: [
        { holder: EAST, column: 'id' },
        { holder: WEST, column: 'id' },
      ],
    },
  ],
  duplicates: 'distinct',
};

export async function gatewayMatches(context: BenchContext): Promise<void> {
  const cases = [VOLE_CASE, ECDH_CASE].filter((name) => context.wants(name));
  if (cases.length === 0) return;
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-match-'));
  let weir: LocalWeir | undefined;
  try {
    weir = await startLocalWeir({
      directory,
      port: 0,
      holders: [holderOf(directory, EAST, 0), holderOf(directory, WEST, ITEMS - SHARED)],
      analyst: { party: 'analyst', name: { zh: '分析方', en: 'Analyst' } },
      progress: () => undefined,
    });
    const analyst = new Analyst(weir.analystDirectory, weir.url);
    try {
      for (const name of cases) await measure(context, name, weir, analyst, directory);
    } finally {
      analyst.close();
    }
  } finally {
    await weir?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  context: BenchContext,
  name: string,
  weir: LocalWeir,
  analyst: Analyst,
  directory: string,
): Promise<void> {
  const plan: MatchPlan =
    name === VOLE_CASE ? INTERSECTION : { ...INTERSECTION, ask: 'cardinality', engine: 'ecdh' };
  const tables = new Map([EAST, WEST].map((party) => [party, TABLE]));
  const title = { zh: '基准', en: 'Benchmark' };
  const draft = await analyst.draftMatch(plan, tables, { title });
  const { hash } = await analyst.propose(draft);
  for (const { officer } of weir.domains.values()) await officer.sign(draft.id, { hash });
  const contract = await analyst.untilActive(draft.id, () => undefined);
  const runs: Timed[] = [];
  for (let round = 0; round < REPETITIONS; round++) {
    const startMs = performance.now();
    const run = await analyst.run(contract, {}, () => undefined);
    const wallMs = performance.now() - startMs;
    const { result } = await openedRun(analyst, contract.contract, run, () => {
      throw new Error('no sealing key is needed');
    });
    const { rows } = result.release;
    const shared = name === VOLE_CASE ? rows.length : rows[0]?.[0];
    if (shared !== SHARED) throw new Error(`${String(shared)} keys are said to be shared`);
    const times = name === VOLE_CASE ? timesOf(directory, run.runId) : NOT_TOLD;
    runs.push({ wallMs, ...times });
  }
  // The run least disturbed by what else the machine does.
  const [best] = runs.toSorted((a, b) => protocolMs(a) - protocolMs(b));
  if (best === undefined) throw new Error('unreachable');
  context.report(name, 'wall_s', best.wallMs / 1000, 's');
  if (name === ECDH_CASE) return;
  context.report(name, 'reading_s', (best.readMs + best.revealMs) / 1000, 's');
  context.report(name, 'wall_without_reading_s', protocolMs(best) / 1000, 's');
  context.report(name, 'match_s', best.matchMs / 1000, 's');
}

interface Timed {
  readonly wallMs: number;
  /** The slower holder's. */
  readonly readMs: number;
  readonly revealMs: number;
  readonly matchMs: number;
}

const NOT_TOLD = { readMs: 0, revealMs: 0, matchMs: 0 };

function protocolMs({ wallMs, readMs, revealMs }: Timed): number {
  return wallMs - readMs - revealMs;
}

/** What the domains wrote into their logs of a run. */
function timesOf(directory: string, runId: string): Omit<Timed, 'wallMs'> {
  const times = { readMs: 0, revealMs: 0, matchMs: 0 };
  for (const party of [EAST, WEST]) {
    for (const line of readFileSync(join(directory, `${party}.log`), 'utf8').split('\n')) {
      if (!line.includes(runId)) continue;
      const facts = JSON.parse(line) as Partial<Record<keyof typeof times, number>>;
      for (const name of ['readMs', 'revealMs', 'matchMs'] as const) {
        times[name] = Math.max(times[name], facts[name] ?? 0);
      }
    }
  }
  if (times.readMs === 0 || times.revealMs === 0) throw new Error(`no times of ${runId}`);
  return times;
}

/** A holder of consecutive ids, its data on disk. */
function holderOf(directory: string, party: string, first: number): HolderSetup {
  const data = join(directory, 'data', party);
  mkdirSync(data, { recursive: true });
  const ids = Array.from({ length: ITEMS }, (_, i) => first + i);
  writeFileSync(join(data, `${TABLE}.csv`), `id\n${ids.join('\n')}\n`);
  const registration = {
    format: 'weir-dataset/1',
    name: TABLE,
    title: { zh: '人员', en: 'People' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Benchmark data',
    partitions: [],
    columns: [{ name: 'id', type: 'integer', usage: ['join', 'reveal'] }],
    source: { kind: 'duckdb', format: 'csv', files: [`${TABLE}.csv`] },
  };
  const file = join(data, `${TABLE}.dataset.json`);
  writeFileSync(file, JSON.stringify(registration));
  return { party, name: { zh: party, en: party }, datasets: [file] };
}
