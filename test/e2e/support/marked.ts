/** Three holders' data full of marked values, and everything that must never be seen of them. */
import { DatasetRegistrationSchema } from '../../../src/catalog/dataset.ts';
import { OTHER_LABEL } from '../../../src/contracts/plan.ts';
import type { Canary } from './canary.ts';
import type { Holder, Table } from './weir.ts';

export const MARKED_PARTIES = ['clinic', 'hospital', 'station'] as const;
const REGIONS = ['north', 'tiny'] as const;
/** Too small to be released, and the cell withheld with it, so that no total gives it back. */
const WITHHELD: readonly string[] = ['tiny', OTHER_LABEL];
/** What is smaller stands in many places by chance. */
const MARK_MIN = 1_000_000n;

const UNLISTED = ['canary-ward-7Qx', 'canary-留痕-ward', 'canary-Zz9-ward'] as const;
const NOTE = 'canary-note-Vb3';

interface Rows {
  readonly region: string;
  readonly amount: bigint;
  readonly times: number;
}

/** Rows beyond 32 bits, of 32 bits, and so many of value 3 that the holder's count is a mark. */
function rowsOf(holder: number, counted: number): readonly Rows[] {
  const large = [518_273_940_167n, 471_938_265_011n, 392_847_561_029n][holder] ?? 0n;
  const small = [1_234_567_891n, 1_987_654_323n, 2_046_813_579n][holder] ?? 0n;
  const other = [77_123_456_789n, 88_234_567_891n, 99_345_678_913n][holder] ?? 0n;
  const rows = [
    { region: 'north', amount: large, times: 1 },
    { region: 'north', amount: small, times: 1 },
    { region: 'north', amount: 3n, times: counted },
    { region: UNLISTED[holder] ?? '', amount: other, times: 2 },
  ];
  // Two rows over all holders: too few to be released, and so their total is a mark too.
  const tiny = [31_415_926_535n, 27_182_818_284n][holder];
  return tiny === undefined ? rows : [...rows, { region: 'tiny', amount: tiny, times: 1 }];
}

export interface Marked {
  readonly holders: readonly Holder[];
  readonly canaries: readonly Canary[];
  /** Totals that the contract releases, as text. */
  readonly released: ReadonlySet<string>;
}

/** @param counts - rows of value 3 at each holder. */
export function markedData(counts: readonly [number, number, number]): Marked {
  const parts = MARKED_PARTIES.map((_, holder) => rowsOf(holder, counts[holder] ?? 0));
  const holders = MARKED_PARTIES.map((party, holder) => ({
    party,
    tables: [tableOf(parts[holder] ?? [])],
  }));
  const { canaries, released } = marksOf(parts);
  return { holders, canaries, released };
}

function tableOf(parts: readonly Rows[]): Table {
  const lines = parts.map(({ region, amount, times }) =>
    `${region},${amount},${NOTE}\n`.repeat(times),
  );
  const { source: _source, ...registration } = DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: 'stays',
    title: { zh: '住院', en: 'Stays' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'test',
    source: { kind: 'duckdb', format: 'parquet', files: ['stays.parquet'] },
    partitions: [['region']],
    columns: [
      { name: 'region', type: 'text', usage: ['group'], labels: [...REGIONS] },
      {
        name: 'amount',
        type: 'integer',
        usage: ['sum', 'avg', 'var'],
        bounds: { minimum: '0', maximum: '600000000000', scale: 0 },
      },
      { name: 'note', type: 'text', usage: [] },
    ],
  });
  const csv = `region,amount,note\n${lines.join('')}`;
  return { registration, format: 'parquet', csv, types: { amount: 'BIGINT' } };
}

interface Part {
  readonly count: bigint;
  readonly sum: bigint;
  readonly squares: bigint;
}

const NOTHING: Part = { count: 0n, sum: 0n, squares: 0n };

function add(a: Part, b: Part): Part {
  return { count: a.count + b.count, sum: a.sum + b.sum, squares: a.squares + b.squares };
}

/** Each holder's values, counts and sums by cell, those of any two together, and hidden totals. */
function marksOf(parts: readonly (readonly Rows[])[]): Pick<Marked, 'canaries' | 'released'> {
  const marks = new Set<bigint>(parts.flat().map(({ amount }) => amount));
  const released = new Set<string>();
  const tell = (part: Part): void => {
    for (const value of [part.count, part.sum, part.squares]) marks.add(value);
  };
  for (const label of [...REGIONS, OTHER_LABEL]) {
    const cells = parts.map((rows) => cellOf(rows, label));
    for (const [index, cell] of cells.entries()) {
      tell(cell);
      for (const other of cells.slice(index + 1)) tell(add(cell, other));
    }
    const total = cells.reduce(add, NOTHING);
    if (WITHHELD.includes(label)) tell(total);
    else for (const value of [total.count, total.sum]) released.add(String(value));
  }
  const numbers = [...marks].filter((value) => value >= MARK_MIN && !released.has(String(value)));
  return { canaries: [...numbers, ...UNLISTED, NOTE], released };
}

function cellOf(rows: readonly Rows[], label: string): Part {
  const isListed = (region: string): boolean => (REGIONS as readonly string[]).includes(region);
  return rows
    .filter(({ region }) => (isListed(region) ? region : OTHER_LABEL) === label)
    .map(({ amount, times }) => ({
      count: BigInt(times),
      sum: amount * BigInt(times),
      squares: amount * amount * BigInt(times),
    }))
    .reduce(add, NOTHING);
}
