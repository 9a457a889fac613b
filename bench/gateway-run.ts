/**
 * Whole runs as an analyst sees them: HTTP, three domains as processes with about a million
 * flights each, to the verified and opened result. The overhead is the run less the time the
 * slowest domain's DuckDB took. Every repetition chooses other cells, and nothing caches.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Analyst } from '../src/cli/analyst.ts';
import { FLIGHT_HOLDERS, prepareFlights } from '../src/cli/demo/flights-data.ts';
import { DEMO_HOLDER_NAMES } from '../src/cli/demo/holder-names.ts';
import { type LocalWeir, startLocalWeir } from '../src/cli/local-weir.ts';
import type { Child } from '../src/cli/processes.ts';
import { hourLabels } from '../src/catalog/derive.ts';
import type { ContractBody } from '../src/contracts/api.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const CASE = 'secure-sum 3x1M rows';
const WARM_UP = 5;
const REPETITIONS = 60;
const REPETITIONS_LARGE = 400;

export const gatewayRunSuite: BenchSuite = {
  run: async (context) => {
    if (!context.wants(CASE)) return;
    const directory = await mkdtemp(join(tmpdir(), 'weir-bench-run-'));
    let weir: LocalWeir | undefined;
    try {
      await prepareFlights(join(directory, 'data'), () => undefined);
      weir = await startLocalWeir({
        directory,
        port: 0,
        holders: FLIGHT_HOLDERS.map((party) => ({
          party,
          name: DEMO_HOLDER_NAMES[party],
          datasets: [join(directory, 'data', party, 'departures.dataset.json')],
        })),
        analyst: { party: 'analyst', name: { zh: '分析方', en: 'Analyst' } },
        progress: () => undefined,
      });
      await measure(context, weir, directory);
    } finally {
      await weir?.stop();
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function measure(context: BenchContext, weir: LocalWeir, directory: string): Promise<void> {
  const analyst = new Analyst(weir.analystDirectory, weir.url);
  try {
    const contract = await agreed(analyst, weir);
    const repetitions = context.large ? REPETITIONS_LARGE : REPETITIONS;
    const walls = new Map<string, number>();
    const domains = [...weir.domains.values()].map(({ child }) => child);
    let before = [0, 0];
    for (let index = 0; index < WARM_UP + repetitions; index += 1) {
      if (index === WARM_UP) before = [cpuMsOf([weir.gateway]), cpuMsOf(domains)];
      const started = performance.now();
      const { runId } = await analyst.run(contract, { hours: chosenHours(index) }, () => undefined);
      if (index >= WARM_UP) walls.set(runId, performance.now() - started);
    }
    const [gatewayMs = 0, domainsMs = 0] = before;
    const perRun = (ms: number, count: number): number => ms / count / repetitions;
    const ofGateway = perRun(cpuMsOf([weir.gateway]) - gatewayMs, 1);
    const ofDomain = perRun(cpuMsOf(domains) - domainsMs, domains.length);
    context.report(CASE, 'gateway_main_cpu_ms', ofGateway, 'ms a run');
    context.report(CASE, 'domain_main_cpu_ms', ofDomain, 'ms a run');
    const engines = await engineTimes(directory);
    const overheads = [...walls].map(([runId, wallMs]) => {
      const engineMs = engines.get(runId);
      if (engineMs?.length !== FLIGHT_HOLDERS.length)
        throw new Error(`no engine times of ${runId}`);
      return wallMs - Math.max(...engineMs);
    });
    context.report(CASE, 'overhead_ms', median(overheads), 'ms');
    context.report(CASE, 'overhead_ms_p90', quantile(overheads, 0.9), 'ms');
    context.report(CASE, 'p50_ms', median([...walls.values()]), 'ms');
    context.report(CASE, 'p90_ms', quantile([...walls.values()], 0.9), 'ms');
    context.report(CASE, 'runs', walls.size, 'runs');
  } finally {
    analyst.close();
  }
}

async function agreed(analyst: Analyst, weir: LocalWeir): Promise<ContractBody> {
  const labels = hourLabels();
  const drafted = await analyst.draft(
    {
      kind: 'aggregate',
      table: 'departures',
      groups: [{ column: 'hour' }],
      measures: [
        { as: 'flights', fn: 'count' },
        { as: 'mean', fn: 'avg', column: 'delay' },
        { as: 'variance', fn: 'var', column: 'delay' },
      ],
      select: [{ column: 'hour', in: { parameter: 'hours' } }],
    },
    {
      title: { zh: '基准', en: 'Benchmark' },
      parameters: { hours: { kind: 'labels', column: 'hour', labels, most: labels.length } },
      limits: { runsTotal: 10_000, runsPerDay: 10_000, runsPerMonth: 10_000 },
    },
  );
  const { hash } = await analyst.propose(drafted);
  for (const { officer } of weir.domains.values()) await officer.sign(drafted.id, { hash });
  return analyst.untilActive(drafted.id, () => undefined);
}

/** Another non-empty set of hours for each index below 2^24. */
function chosenHours(index: number): string[] {
  const bits = ((index + 1) * 0x9e3779b1) & 0xffffff;
  return hourLabels().filter((_, hour) => ((bits >> hour) & 1) === 1);
}

async function engineTimes(directory: string): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>();
  for (const party of FLIGHT_HOLDERS) {
    const log = await readFile(join(directory, `${party}.log`), 'utf8');
    for (const line of log.split('\n')) {
      if (!line.includes('"engineMs"')) continue;
      const { runId, engineMs } = JSON.parse(line) as { runId: string; engineMs: number };
      times.set(runId, [...(times.get(runId) ?? []), engineMs]);
    }
  }
  return times;
}

/** What the main threads have used so far: says more than the clock on a machine that others use. */
function cpuMsOf(children: readonly Child[]): number {
  return children.reduce((sum, { process: { pid } }) => {
    // Linux alone tells it a thread; elsewhere the numbers are zero.
    const file = `/proc/${pid}/task/${pid}/schedstat`;
    const [ns = '0'] = existsSync(file) ? readFileSync(file, 'utf8').split(' ') : [];
    return sum + Number(ns) / 1e6;
  }, 0);
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
