/** What a plan over the visits must release: DuckDB over the union of the parts, then whole numbers. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Contract } from '../../../src/contracts/contract.ts';
import { type AggregatePlan, OTHER_LABEL } from '../../../src/contracts/plan.ts';
import { BOUNDS, KINDS, type Measured, REGIONS } from './visits.ts';

/** A cell's exact totals, in units of 10^−scale. */
export interface Totals {
  readonly rows: bigint;
  /** Parts that have rows in the cell, and values of each column. */
  readonly holders: bigint;
  readonly holdersWith: Readonly<Record<Measured, bigint>>;
  readonly nonNull: Readonly<Record<Measured, bigint>>;
  readonly sum: Readonly<Record<Measured, bigint>>;
  readonly squares: Readonly<Record<Measured, bigint>>;
}

const COLUMNS = Object.keys(BOUNDS) as readonly Measured[];
const LABELS: Readonly<Record<string, readonly string[]>> = { region: REGIONS, kind: KINDS };

/** Totals by the cell's labels joined with `|`, over the parts of `parties`. */
export async function unionTotals(
  directory: string,
  parties: readonly string[],
  groups: readonly string[],
): Promise<ReadonlyMap<string, Totals>> {
  const parts = parties.map((party) => partOf(party, join(directory, 'data', party, 'visits')));
  const labels = groups.map((group) => `${labelSql(group)} AS ${group}`);
  const sums = COLUMNS.flatMap((column) => [
    `count(DISTINCT CASE WHEN ${column} IS NOT NULL THEN party END)`,
    `count(${column})`,
    `coalesce(sum(${column}::HUGEINT), 0)`,
    `coalesce(sum(${column}::HUGEINT * ${column}::HUGEINT), 0)`,
  ]);
  const lanes = COLUMNS.map((column) => `${laneSql(column)} AS ${column}`);
  const by = groups.length === 0 ? '' : `GROUP BY ${groups.join(', ')}`;
  const texts = ['count(*)', 'count(DISTINCT party)', ...sums].map(
    (sum) => `CAST(${sum} AS VARCHAR)`,
  );
  const query = `SELECT ${[...groups, ...texts].join(', ')}
    FROM (SELECT ${['party', ...labels, ...lanes].join(', ')} FROM (${parts.join(' UNION ALL ')})) ${by}`;
  const rows = await textRows(query);
  return new Map(
    rows.map((row) => {
      const numbers = row.slice(groups.length).map((text) => BigInt(text));
      const pick = (offset: number): Record<Measured, bigint> => {
        const entries = COLUMNS.map((column, index) => [column, numbers[2 + 4 * index + offset]]);
        return Object.fromEntries(entries) as Record<Measured, bigint>;
      };
      const totals = {
        rows: numbers[0]!,
        holders: numbers[1]!,
        holdersWith: pick(0),
        nonNull: pick(1),
        sum: pick(2),
        squares: pick(3),
      };
      return [row.slice(0, groups.length).join('|'), totals] as const;
    }),
  );
}

export type Rules = Pick<Contract['disclosure'], 'smallestCell' | 'smallestContributors'>;

/** Whether so many rows (or values) of so many holders may be released. */
export function isEnough(count: bigint, holders: bigint, rules: Rules): boolean {
  return count >= BigInt(rules.smallestCell) && holders >= BigInt(rules.smallestContributors);
}

/** A released value against the exact totals: undefined where it is right, else what is wrong. */
export function wrongValue(
  measure: AggregatePlan['measures'][number],
  totals: Totals,
  value: string | number | null,
  rules: Rules,
): string | undefined {
  if (measure.fn === 'count') {
    return value === Number(totals.rows) ? undefined : `${value} rows, not ${totals.rows}`;
  }
  const column = measure.column as Measured;
  const nonNull = totals.nonNull[column];
  if (!isEnough(nonNull, totals.holdersWith[column], rules)) {
    return value === null ? undefined : `${value} of only ${nonNull} values`;
  }
  const unit = 10n ** BigInt(BOUNDS[column].scale);
  const sum = totals.sum[column];
  if (measure.fn === 'sum') {
    const isRight = typeof value === 'string' && unitsOf(value, BOUNDS[column].scale) === sum;
    return isRight ? undefined : `${value}, not ${sum} / ${unit}`;
  }
  const [numerator, denominator] =
    measure.fn === 'avg'
      ? [sum, nonNull * unit]
      : [nonNull * totals.squares[column] - sum * sum, nonNull * (nonNull - 1n) * unit * unit];
  const isRight = typeof value === 'number' && isNearest(value, numerator, denominator);
  return isRight ? undefined : `${value}, not nearest to ${numerator} / ${denominator}`;
}

/** Whether no double is nearer to the quotient; of two equally near ones it is the even one. */
export function isNearest(value: number, numerator: bigint, denominator: bigint): boolean {
  const [own, below, above] = [value, neighbour(value, -1n), neighbour(value, 1n)].map((double) =>
    distance(double, numerator, denominator),
  );
  if (own! < below! && own! < above!) return true;
  return own! <= below! && own! <= above! && bitsOf(value) % 2n === 0n;
}

/** |double − numerator/denominator|, times denominator · 2^1100. */
function distance(double: number, numerator: bigint, denominator: bigint): bigint {
  const off = scaled(double) * denominator - (numerator << 1100n);
  return off < 0n ? -off : off;
}

/** A finite double times 2^1100: a whole number. */
function scaled(double: number): bigint {
  const bits = bitsOf(double);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & ((1n << 52n) - 1n);
  const magnitude =
    exponent === 0n ? fraction << 26n : ((1n << 52n) | fraction) << (exponent + 25n);
  return bits >> 63n === 1n ? -magnitude : magnitude;
}

/** The next double away from (1) or towards (−1) zero. */
function neighbour(double: number, step: bigint): number {
  if (double === 0) return Number(step) * Number.MIN_VALUE;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bitsOf(double) + step);
  return view.getFloat64(0);
}

function bitsOf(double: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, double);
  return view.getBigUint64(0);
}

function unitsOf(text: string, scale: number): bigint | undefined {
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (parts === null || (parts[3] ?? '').length !== scale) return undefined;
  const units = BigInt(`${parts[2]}${parts[3] ?? ''}`);
  return parts[1] === '-' ? -units : units;
}

function partOf(party: string, path: string): string {
  const columns = ['region', 'kind', ...COLUMNS].map(
    (name) => `CAST(${name} AS VARCHAR) AS ${name}`,
  );
  const source = existsSync(`${path}.parquet`)
    ? `read_parquet('${path}.parquet')`
    : `read_csv('${path}.csv', header = true, all_varchar = true)`;
  return `SELECT '${party}' AS party, ${columns.join(', ')} FROM ${source}`;
}

function labelSql(group: string): string {
  const listed = (LABELS[group] ?? []).map((label) => `'${label}'`).join(', ');
  return `CASE WHEN ${group} IN (${listed}) THEN ${group} ELSE '${OTHER_LABEL}' END`;
}

/** Exact: every value of the fixture has at most as many decimals as its scale. */
function laneSql(column: Measured): string {
  const { minimum, maximum, scale } = BOUNDS[column];
  const value = `(TRY_CAST(${column} AS DECIMAL(30,${scale})) * ${10 ** scale})::BIGINT`;
  return `CASE WHEN ${value} < ${minimum} THEN ${minimum} WHEN ${value} > ${maximum} THEN ${maximum}
    ELSE ${value} END`;
}

async function textRows(query: string): Promise<readonly string[][]> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  try {
    const reader = await connection.runAndReadAll(query);
    return reader.getRows().map((row) => row.map(String));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
