import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mockRegistration, mockRows } from '../../src/catalog/mock-rows.ts';
import type { PublishedDataset } from '../../src/catalog/published.ts';
import { mockRun } from '../../src/cli/mock/mock-run.ts';
import { COMPUTATIONS } from '../../src/computations/registry.ts';
import type { ProvisionalPlan } from '../../src/contracts/provisional.ts';
import { widestArguments } from '../../src/contracts/provisional.ts';
import type { Arguments } from '../../src/contracts/plan.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { compileQuery } from '../../src/query/compile-plan.ts';
import { sqlParserOver, type SqlParser } from '../../src/query/sql-parser.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';
import { ANALYST, HOLDERS } from '../fixtures/contract.ts';
import { MATCH_PLAN, matchContract } from '../fixtures/match.ts';
import { publishFlights } from '../support/published-flights.ts';
import { testPool } from '../support/secure-sum-run.ts';

const LATE = { minimum: '0', maximum: '60', scale: 0 };
const published = HOLDERS.map((holder) => publishFlights(holder));
let directory: string;
let parser: SqlParser;
let pool: Pool;
beforeAll(async () => {
  parser = sqlParserOver(await openSerializer());
  pool = testPool();
  directory = mkdtempSync(join(tmpdir(), 'weir-mock-test-'));
});
afterAll(async () => {
  parser.close();
  await pool.close();
  rmSync(directory, { recursive: true });
});

async function planOf(sql: string): Promise<ProvisionalPlan> {
  const { draft, parameters, refusals } = await compileQuery(parser, sql, published);
  expect(refusals).toEqual([]);
  return { ...draft, parameters };
}

const run = (planned: ProvisionalPlan, rows: number, args?: Arguments) =>
  mockRun({
    planned,
    arguments: args ?? widestArguments(planned.parameters),
    published,
    rows,
    seed: 'test',
    analyst: ANALYST,
    directory,
    computations: COMPUTATIONS,
    pool,
  });

/** Counts of the mock rows by a stored text column, without any of the machinery. */
function naiveCounts(datasets: readonly PublishedDataset[], rows: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const dataset of datasets) {
    for (const row of mockRows(dataset, rows, 'test')) {
      const hour = String(row['date']).slice(11, 13);
      counts.set(hour, (counts.get(hour) ?? 0) + 1);
    }
  }
  return counts;
}

describe('a mock run', () => {
  const byHour = 'SELECT hour, count(*), avg(delay) FROM departures GROUP BY hour';

  it('answers what the mock rows of all holders add up to', async () => {
    const release = await run(await planOf(byHour), 2000);
    const naive = naiveCounts(published, 2000);
    expect(release.columns).toEqual(['hour', 'count', 'avg_delay']);
    expect(release.rows.length).toBeGreaterThan(12);
    for (const [hour, count] of release.rows) {
      if (hour !== '(other)') expect([hour, count]).toEqual([hour, naive.get(String(hour))]);
    }
  });

  it('matches two holders’ mock rows, and reveals no keys', async () => {
    const [first, second] = HOLDERS;
    if (first === undefined || second === undefined) throw new Error('too few holders');
    const joinable = [first, second].map((holder) =>
      publishFlights(holder, {
        columns: [
          { name: 'origin', type: 'text', usage: ['join'] },
          { name: 'late', type: 'integer', usage: ['sum'], bounds: LATE },
        ],
        partitions: [],
      }),
    );
    const contract = matchContract();
    const plan = {
      ...MATCH_PLAN,
      receiver: second,
      key: [
        {
          as: 'origin',
          type: 'text' as const,
          columns: [first, second].map((holder) => ({ holder, column: 'origin' })),
        },
      ],
    };
    const { dictionaries, bounds, disclosure, protocol } = contract;
    const planned: ProvisionalPlan = {
      plan,
      dictionaries,
      bounds,
      disclosure: { ...disclosure, smallestContributors: 2 },
      protocol,
      parameters: {},
      datasets: joinable.map(({ holder, name, rowsMax }) => ({
        holder,
        dataset: name,
        version: 'any' as const,
        rowsMax,
      })),
    };
    const options = {
      arguments: {},
      published: joinable,
      rows: 300,
      seed: 'test',
      analyst: ANALYST,
      directory,
      computations: COMPUTATIONS,
      pool,
    };
    const tally = (dataset: PublishedDataset): Map<string, number> => {
      const counts = new Map<string, number>();
      for (const row of mockRows(dataset, 300, 'test')) {
        if (row['origin'] === null) continue;
        const key = String(row['origin']).toLowerCase();
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return counts;
    };
    const [left, right] = joinable.map(tally);
    let naive = 0;
    for (const [key, count] of left ?? []) naive += Math.min(count, right?.get(key) ?? 0);
    expect((await mockRun({ ...options, planned })).rows).toEqual([[naive < 3 ? null : naive]]);
    // What is sealed to a recipient is sealed to one of this process, and opened.
    const summed = {
      ...planned,
      plan: { ...plan, ask: 'sum' as const, sum: { as: 'minutes', column: 'late' } },
      bounds: [{ column: 'late', ...LATE }],
    };
    const { columns, rows } = await mockRun({ ...options, planned: summed });
    expect(columns).toEqual(['shared', 'minutes']);
    expect(naive).toBeGreaterThan(3);
    expect(rows[0]?.[0]).toBe(naive);
    expect(String(rows[0]?.[1])).toMatch(/^\d+$/);
    expect(Number(rows[0]?.[1])).toBeLessThanOrEqual(naive * Number(LATE.maximum));
    const revealed = { ...planned, plan: { ...plan, ask: 'intersection' as const } };
    await expect(mockRun({ ...options, planned: revealed })).rejects.toMatchObject({
      code: 'plan-outside-contract',
    });
  });

  it('opens a sealed sum to the table of the plain one', async () => {
    const planned = await planOf(byHour);
    const sealed = { ...planned, protocol: { name: 'sealed-sum' as const, sealingKey: 'A' } };
    expect(await run(sealed, 500)).toEqual(await run(planned, 500));
  });

  it('withholds cells under the threshold, as the real run would', async () => {
    const planned = await planOf(byHour);
    const wide = await run(
      { ...planned, disclosure: { ...planned.disclosure, smallestCell: 40 } },
      60,
    );
    expect(wide.suppressedCells).toBeGreaterThan(0);
    for (const row of wide.rows) expect(Number(row[1])).toBeGreaterThanOrEqual(40);
    const control = await run(planned, 60);
    expect(control.rows.length).toBeGreaterThan(wide.rows.length);
  });

  it('takes arguments as the real run would, and refuses the same ones', async () => {
    const planned = await planOf(
      'SELECT hour, count(*) FROM departures WHERE hour = $hour GROUP BY hour',
    );
    const release = await run(planned, 2000, { hour: ['11'] });
    expect(release.rows.map(([hour]) => hour)).toEqual(['11']);
    await expect(run(planned, 10, { hour: ['11', '12'] })).rejects.toMatchObject({
      code: 'plan-outside-contract',
    });
  });

  it('leaves no file behind, whether it answered or failed', () => {
    expect(readdirSync(directory)).toEqual([]);
  });

  it('has no registration that reads anything but its own file', () => {
    const [dataset] = published;
    expect(mockRegistration(dataset!, '/tmp/x.json').source).toEqual({
      kind: 'duckdb',
      format: 'json',
      files: ['/tmp/x.json'],
    });
  });
});
