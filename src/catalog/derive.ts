/**
 * The closed list of typed derivations: how a column is computed from another one, with no SQL
 * text from anyone. Each has exactly one rendering per engine and one public form of its labels.
 */
import { z } from 'zod';
import { NameSchema } from '../system/ids.ts';

const BAND_EDGES_MAX = 1000;

/** A band edge: a plain decimal, compared exactly. */
const EdgeSchema = z.string().regex(/^-?\d{1,15}(\.\d{1,9})?$/);

export const DerivationSchema = z.discriminatedUnion('derive', [
  /** Labels `00` … `23`, of the wall clock as stored (UTC where the source has a time zone). */
  z.strictObject({ derive: z.literal('hour'), from: NameSchema }),
  /** Labels `2001-01`: year and month. */
  z.strictObject({ derive: z.literal('month'), from: NameSchema }),
  /** Labels `1` (Monday) … `7` (Sunday), after ISO 8601. */
  z.strictObject({ derive: z.literal('day-of-week'), from: NameSchema }),
  /** Labels `2001-01-31`. */
  z.strictObject({ derive: z.literal('date'), from: NameSchema }),
  /** Half-open bands between ascending edges, and one open band at each end. */
  z.strictObject({
    derive: z.literal('band'),
    from: NameSchema,
    edges: z.array(EdgeSchema).min(1).max(BAND_EDGES_MAX),
  }),
  /** The same values under another name, so that they can have other uses and bounds. */
  z.strictObject({ derive: z.literal('copy'), from: NameSchema }),
]);
export type Derivation = z.infer<typeof DerivationSchema>;

/**
 * The labels of a band column, lowest first: `<250`, `250..<500`, …, `>=2000`.
 * Each band holds its lower edge and not its upper one.
 */
export function bandLabels(edges: readonly string[]): string[] {
  const inner = edges.slice(1).map((edge, index) => `${edges[index] ?? ''}..<${edge}`);
  return [`<${edges[0] ?? ''}`, ...inner, `>=${edges.at(-1) ?? ''}`];
}

/** The first label that the derivation never gives: rows would never be counted under it. */
export function strayLabel(derivation: Derivation, labels: readonly string[]): string | undefined {
  if (derivation.derive === 'copy') return undefined;
  if (derivation.derive === 'band') {
    const bands = new Set(bandLabels(derivation.edges));
    return labels.find((label) => !bands.has(label));
  }
  return labels.find((label) => !LABEL_FORMS[derivation.derive].test(label));
}

const LABEL_FORMS = {
  hour: /^([01]\d|2[0-3])$/,
  month: /^\d{4}-(0[1-9]|1[0-2])$/,
  'day-of-week': /^[1-7]$/,
  date: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
} as const;

/** The labels `00` … `23` of an hour column. */
export function hourLabels(): string[] {
  return Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));
}

/** The labels of a month column from `first` to `last`, both included and written `2001-01`. */
export function monthLabels(first: string, last: string): string[] {
  const end = monthNumber(last);
  const labels: string[] = [];
  for (let month = monthNumber(first); month <= end; month += 1) {
    const year = String(Math.floor(month / 12)).padStart(4, '0');
    labels.push(`${year}-${String((month % 12) + 1).padStart(2, '0')}`);
  }
  return labels;
}

function monthNumber(label: string): number {
  return Number(label.slice(0, 4)) * 12 + Number(label.slice(5, 7)) - 1;
}
