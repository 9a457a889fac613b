/** Small tables as files in every format, and the slow and plain reference for a grouped pass. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { AggregateAnswer, AggregateQuery } from '../../src/catalog/data-source.ts';
import { DatasetRegistrationSchema, type DatasetRegistration } from '../../src/catalog/dataset.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';

export type Format = 'csv' | 'json' | 'parquet';
export const FORMATS: readonly Format[] = ['csv', 'json', 'parquet'];

export interface Row {
  readonly at: string | null;
  readonly kind: string | null;
  readonly whole: string | null;
  readonly exact: string | null;
  readonly real: number | null;
}

async function temporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'weir-source-'));
}

/** Runs `work` in a directory that is removed afterwards. */
export async function inTemporaryDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await temporaryDirectory();
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A registration of the fixture's table; the stored names differ from the published ones. */
export function registrationOf(format: Format, labels: readonly string[]): DatasetRegistration {
  const measured = { usage: ['sum', 'avg', 'var'] };
  const bounds = { minimum: '-1000', maximum: '1000', scale: 0 };
  return DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: 'events',
    title: { zh: '事件', en: 'Events' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'test',
    partitions: [],
    source: { kind: 'duckdb', format, files: [`events.${format}`] },
    columns: [
      { name: 'at', sourceName: 'when "it" was; --', type: 'timestamp', usage: [] },
      { name: 'kind', sourceName: '类别', type: 'text', usage: ['group'], labels },
      { name: 'whole', type: 'integer', ...measured, bounds },
      { name: 'exact', type: 'decimal', ...measured, bounds },
      { name: 'real', type: 'double', ...measured, bounds },
      { name: 'hour', type: 'text', usage: [], derived: { derive: 'hour', from: 'at' } },
      { name: 'month', type: 'text', usage: [], derived: { derive: 'month', from: 'at' } },
      { name: 'weekday', type: 'text', usage: [], derived: { derive: 'day-of-week', from: 'at' } },
      { name: 'day', type: 'text', usage: [], derived: { derive: 'date', from: 'at' } },
      {
        name: 'size',
        type: 'text',
        usage: [],
        derived: { derive: 'band', from: 'whole', edges: ['-10', '0', '25'] },
      },
    ],
  });
}

const HEADER = ['when "it" was; --', '类别', 'whole', 'exact', 'real'];

export async function writeTable(
  directory: string,
  format: Format,
  rows: readonly Row[],
): Promise<void> {
  const path = join(directory, `events.${format}`);
  if (format === 'csv') {
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    const lines = rows.map((row) =>
      [row.at, row.kind, row.whole, row.exact, row.real]
        .map((value) => (value === null ? '' : quoted(String(value))))
        .join(','),
    );
    await writeFile(path, `${[HEADER.map(quoted).join(','), ...lines].join('\n')}\n`);
    return;
  }
  const records = rows.map((row) =>
    JSON.stringify({
      'when "it" was; --': row.at,
      类别: row.kind,
      whole: row.whole,
      exact: row.exact,
      real: row.real,
    }),
  );
  if (format === 'json') {
    await writeFile(path, `${records.join('\n')}\n`);
    return;
  }
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run(
      'CREATE TABLE t ("when ""it"" was; --" TIMESTAMP, "类别" VARCHAR, whole BIGINT, exact DECIMAL(20,6), real DOUBLE)',
    );
    for (const row of rows) {
      await connection.run(
        'INSERT INTO t VALUES (CAST(? AS TIMESTAMP), ?, CAST(? AS BIGINT), CAST(? AS DECIMAL(20,6)), CAST(? AS DOUBLE))',
        [row.at, row.kind, row.whole, row.exact, row.real === null ? null : String(row.real)],
      );
    }
    await connection.run(`COPY t TO '${path.replaceAll("'", "''")}' (FORMAT parquet)`);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** The label a row has in a group column. */
function labelOf(row: Row, column: string): string | null {
  if (column === 'kind') return row.kind;
  if (column === 'size') {
    if (row.whole === null) return null;
    const value = BigInt(row.whole);
    if (value < -10n) return '<-10';
    if (value < 0n) return '-10..<0';
    return value < 25n ? '0..<25' : '>=25';
  }
  if (row.at === null) return null;
  const at = new Date(`${row.at.replace(' ', 'T')}Z`);
  if (column === 'hour') return row.at.slice(11, 13);
  if (column === 'month') return row.at.slice(0, 7);
  if (column === 'day') return row.at.slice(0, 10);
  return String(((at.getUTCDay() + 6) % 7) + 1);
}

/** A row's measured value in units of 10^−scale, unclamped. */
function unitsOf(row: Row, column: string, scale: number): bigint | null {
  const factor = 10n ** BigInt(scale);
  if (column === 'whole') return row.whole === null ? null : BigInt(row.whole) * factor;
  if (column === 'real') return row.real === null ? null : halfEven(row.real * 10 ** scale);
  if (row.exact === null) return null;
  // Fixture decimals have at most six digits: scaled up exactly, then rounded half away from zero.
  const isNegative = row.exact.startsWith('-');
  const [whole = '0', fraction = ''] = row.exact.replace('-', '').split('.');
  const micro = BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
  const units = (micro * factor * 2n + 1_000_000n) / 2_000_000n;
  return isNegative ? -units : units;
}

function halfEven(value: number): bigint {
  const floor = Math.floor(value);
  const rest = value - floor;
  const up = rest > 0.5 || (rest === 0.5 && Math.abs(floor % 2) === 1);
  return BigInt(up ? floor + 1 : floor);
}

export interface PlainAnswer {
  readonly counts: bigint[];
  readonly columns: { nonNull: bigint[]; sums: bigint[]; squares: bigint[] | undefined }[];
}

export function naiveAggregate(rows: readonly Row[], query: AggregateQuery): PlainAnswer {
  const cells = query.groups.reduce((product, group) => product * (group.labels.length + 1), 1);
  const zeros = (): bigint[] => Array.from({ length: cells }, () => 0n);
  const counts = zeros();
  const columns = query.sums.map((sum) => ({
    nonNull: zeros(),
    sums: zeros(),
    squares: sum.squares ? zeros() : undefined,
  }));
  for (const row of rows) {
    let cell = 0;
    let isOut = false;
    for (const [index, group] of query.groups.entries()) {
      const label = labelOf(row, group.column);
      const found = label === null ? -1 : group.labels.indexOf(label);
      const digit = found < 0 ? group.labels.length : found;
      const chosen = query.chosen[index];
      if (chosen !== undefined && !chosen.includes(group.labels[digit] ?? OTHER_LABEL))
        isOut = true;
      cell = cell * (group.labels.length + 1) + digit;
    }
    if (isOut) continue;
    counts[cell] = (counts[cell] ?? 0n) + 1n;
    for (const [index, sum] of query.sums.entries()) {
      const units = unitsOf(row, sum.column, sum.scale);
      const lanes = columns[index];
      if (units === null || lanes === undefined) continue;
      const [low, high] = [BigInt(sum.minimum), BigInt(sum.maximum)];
      const value = units < low ? low : units > high ? high : units;
      lanes.nonNull[cell] = (lanes.nonNull[cell] ?? 0n) + 1n;
      lanes.sums[cell] = (lanes.sums[cell] ?? 0n) + value;
      if (lanes.squares) lanes.squares[cell] = (lanes.squares[cell] ?? 0n) + value * value;
    }
  }
  return { counts, columns };
}

/** The dense lanes as bigints. */
export function plainAnswer(answer: AggregateAnswer): PlainAnswer {
  const u64 = (bytes: Uint8Array): bigint[] => Array.from(new BigUint64Array(bytes.buffer));
  return {
    counts: u64(answer.counts),
    columns: answer.columns.map(({ nonNull, sums, squares }) => ({
      nonNull: u64(nonNull),
      sums: Array.from(new BigInt64Array(sums.buffer)),
      squares:
        squares === undefined
          ? undefined
          : u64(squares).reduce<bigint[]>((joined, word, index) => {
              if (index % 2 === 0) joined.push(word);
              else joined[joined.length - 1] = (joined.at(-1) ?? 0n) | (word << 64n);
              return joined;
            }, []),
    })),
  };
}
