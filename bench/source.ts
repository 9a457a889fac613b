/**
 * The domain's DuckDB source over the demo's 3,000,000 flights: a grouped pass with clamping,
 * dictionaries and exact squares, beside the bare SQL that an analyst would write for it.
 */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { AggregateQuery, DataSource } from '../src/catalog/data-source.ts';
import { bandLabels, hourLabels, monthLabels } from '../src/catalog/derive.ts';
import { flightsRegistration } from '../src/cli/demo/flights-registration.ts';
import { DEFAULT_ENGINE_LIMITS } from '../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../src/domain/sources/duckdb-source.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const REPETITIONS = 9;
const REPETITIONS_LARGE = 51;
const STREAM_CHUNK_ROWS = 65_536;
const EDGES = ['250', '500', '750', '1000', '1500', '2000', '2500'];
const DELAY = { column: 'delay', minimum: '-1440', maximum: '2880', scale: 0, squares: true };
const BARE_MEASURES = 'count(*), count(delay), sum(delay), sum(delay * delay)';

interface Case {
  readonly name: string;
  readonly query: AggregateQuery;
  /** The same figures without clamping, dictionaries or lanes. */
  readonly bare: string;
}

const CASES: readonly Case[] = [
  {
    name: 'hour 3M rows',
    query: {
      groups: [{ column: 'hour', labels: hourLabels() }],
      chosen: [undefined],
      sums: [DELAY],
    },
    bare: `SELECT hour(date), ${BARE_MEASURES} FROM flights GROUP BY ALL`,
  },
  {
    name: 'month x band 3M rows',
    query: {
      groups: [
        { column: 'month', labels: monthLabels('2001-01', '2001-06') },
        { column: 'distanceBand', labels: bandLabels(EDGES) },
      ],
      chosen: [undefined, undefined],
      sums: [DELAY],
    },
    bare: `SELECT year(date), month(date), CASE ${EDGES.map((edge, index) => `WHEN distance < ${edge} THEN ${index}`).join(' ')} ELSE ${EDGES.length} END, ${BARE_MEASURES} FROM flights GROUP BY ALL`,
  },
];

export const sourceSuite: BenchSuite = {
  run: async (context) => {
    const main = createRequire(import.meta.url).resolve('vega-datasets');
    const flights = join(dirname(dirname(main)), 'data', 'flights-3m.parquet');
    const directory = await mkdtemp(join(tmpdir(), 'weir-bench-'));
    await symlink(flights, join(directory, 'departures.parquet'));
    const source = await openDuckDbSource({
      registration: flightsRegistration('departures'),
      directory,
      spillDirectory: join(directory, 'spill'),
      limits: DEFAULT_ENGINE_LIMITS,
    });
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(DEFAULT_ENGINE_LIMITS.threads),
    });
    const connection = await instance.connect();
    try {
      await connection.run(`CREATE VIEW flights AS SELECT * FROM read_parquet('${flights}')`);
      for (const one of CASES) {
        if (context.wants(one.name)) await grouped(context, one, source, connection);
      }
      if (context.wants('stream 3M rows')) await streamed(context, source);
    } finally {
      connection.closeSync();
      instance.closeSync();
      await source.close();
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function grouped(
  context: BenchContext,
  { name, query, bare }: Case,
  source: DataSource,
  connection: DuckDBConnection,
): Promise<void> {
  const walls: number[] = [];
  const engines: number[] = [];
  const bares: number[] = [];
  const repetitions = context.large ? REPETITIONS_LARGE : REPETITIONS;
  // The first of each warms up; then interleaved, so that both meet the same machine.
  for (let repetition = 0; repetition <= repetitions; repetition += 1) {
    let start = performance.now();
    const answer = await source.aggregate(query);
    const wall = performance.now() - start;
    start = performance.now();
    await connection.runAndReadAll(bare);
    if (repetition === 0) continue;
    bares.push(performance.now() - start);
    walls.push(wall);
    engines.push(answer.engineMs);
  }
  context.report(name, 'p50_ms', median(walls), 'ms');
  context.report(name, 'engine_p50_ms', median(engines), 'ms');
  context.report(name, 'bare_p50_ms', median(bares), 'ms');
  context.report(name, 'ratio_to_bare', median(walls) / median(bares), '1');
}

async function streamed(context: BenchContext, source: DataSource): Promise<void> {
  const start = performance.now();
  let rows = 0;
  for await (const chunk of source.streamColumns(['origin', 'date'], STREAM_CHUNK_ROWS)) {
    rows += chunk.length;
  }
  const seconds = (performance.now() - start) / 1000;
  context.report('stream 3M rows', 'rows_per_s', rows / seconds, '1/s');
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;
}
