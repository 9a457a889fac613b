/** A small table of three holders with everything that is awkward in it, and what must come out. */
import { DatasetRegistrationSchema } from '../../../src/catalog/dataset.ts';
import type { Holder, Table } from './weir.ts';

export const REGIONS = ['north', 'south', 'far "east", 远东', '远方'] as const;
export const KINDS = ['a', 'b'] as const;
export const BOUNDS = {
  age: { minimum: '0', maximum: '120', scale: 0 },
  cost: { minimum: '-50000', maximum: '1000000', scale: 2 },
  level: { minimum: '-100', maximum: '100', scale: 0 },
} as const;
export type Measured = keyof typeof BOUNDS;

export interface Visit {
  readonly region: string;
  readonly kind: string;
  readonly age: string;
  readonly cost: string;
  readonly level: string;
}

const MEASURED = ['sum', 'avg', 'var'];

/** The registration every holder has alike, but for where the file lies. */
export function visitsRegistration(): Table['registration'] {
  const { source: _source, ...registration } = DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: 'visits',
    title: { zh: '就诊', en: 'Visits' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'test',
    source: { kind: 'duckdb', format: 'csv', files: ['visits.csv'] },
    partitions: [[], ['region'], ['kind'], ['region', 'kind']],
    columns: [
      { name: 'region', type: 'text', usage: ['group', 'filter'], labels: REGIONS },
      { name: 'kind', type: 'text', usage: ['group', 'filter'], labels: KINDS },
      { name: 'age', type: 'integer', usage: MEASURED, bounds: BOUNDS.age },
      { name: 'cost', type: 'decimal', usage: MEASURED, bounds: BOUNDS.cost },
      { name: 'level', type: 'integer', usage: MEASURED, bounds: BOUNDS.level },
    ],
  });
  return registration;
}

/**
 * Rows of one holder, by a fixed rule: unlisted and missing labels, missing values, negative ones,
 * values beyond their bounds at both ends, and one cell with two rows over all holders.
 */
export function visitsOf(holder: number, rows: number): readonly Visit[] {
  const regions = ['north', 'south', 'north', 'nowhere', 'north', ''];
  const visits = Array.from({ length: rows }, (_, row): Visit => {
    const mixed = (row * 7919 + holder * 104_729) % 10_007;
    const age = mixed % 17 === 0 ? '' : String((mixed % 140) - 5);
    const cents = mixed % 100;
    const whole = (mixed % 12_000) - 700;
    return {
      region: regions[mixed % regions.length] ?? '',
      kind: mixed % 11 === 0 ? '' : mixed % 5 === 0 ? 'b' : 'a',
      age,
      cost: mixed % 13 === 0 ? '' : `${whole}.${String(cents).padStart(2, '0')}`,
      level: mixed % 19 === 0 ? '' : String((mixed % 301) - 150),
    };
  });
  // Two rows in all of (far east, a): too few to be released, though (far east) has enough; and
  // (far east, b) has enough rows but two ages only.
  const far = { region: REGIONS[2], age: '41', cost: '10.25', level: '-7' };
  if (holder < 2) visits.push({ ...far, kind: 'a' });
  visits.push({ ...far, kind: 'b', age: holder < 2 ? '41' : '' }, { ...far, kind: 'b', age: '' });
  // (远方, a) is known to two holders alone; of (远方, b) all have rows, and one of them ages.
  const remote = { region: REGIONS[3], age: '52', cost: '99.90', level: '3' };
  for (let row = 0; row < 4; row += 1) {
    if (holder > 0) visits.push({ ...remote, kind: 'a' });
    visits.push({ ...remote, kind: 'b', age: holder === 0 ? '52' : '' });
  }
  return visits;
}

export function csvOf(visits: readonly Visit[]): string {
  const cell = (text: string): string =>
    /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = visits.map((visit) =>
    [visit.region, visit.kind, visit.age, visit.cost, visit.level].map(cell).join(','),
  );
  return `region,kind,age,cost,level\n${lines.join('\n')}\n`;
}

/** Three holders; the second keeps Parquet. */
export function visitsHolders(parties: readonly string[], rows: number): readonly Holder[] {
  return parties.map((party, holder) => ({
    party,
    tables: [
      {
        registration: visitsRegistration(),
        format: holder === 1 ? 'parquet' : 'csv',
        csv: csvOf(visitsOf(holder, rows + 37 * holder)),
        types: { age: 'BIGINT', cost: 'DECIMAL(12,2)', level: 'BIGINT' },
      },
    ],
  }));
}
