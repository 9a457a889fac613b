/**
 * A dataset registration: what a holder's data officer writes down about a dataset, in one JSON
 * file inside the domain. Everything but `source` and `sourceName` is published.
 */
import { z } from 'zod';
import { ColumnBoundsSchema } from '../contracts/contract.ts';
import { DominanceTermsSchema } from '../contracts/dominance-terms.ts';
import { CELLS_MAX, DICTIONARY_MAX, GROUPS_MAX, OTHER_LABEL } from '../contracts/plan.ts';
import { SetupError } from '../errors.ts';
import { NameSchema } from '../system/ids.ts';
import { DerivationSchema, strayLabel } from './derive.ts';

export const COLUMNS_MAX = 1000;
const PARTITIONS_MAX = 100;
const SOURCE_PATTERNS_MAX = 1000;

const Text = z.string().min(1).max(2000);
const Bilingual = z.strictObject({ zh: Text, en: Text });

/** GB/T 43697: general (一般), important (重要), core (核心). */
const GradeSchema = z.enum(['general', 'important', 'core']);
export type Grade = z.infer<typeof GradeSchema>;

const ColumnTypeSchema = z.enum([
  'integer',
  'decimal',
  'double',
  'text',
  'date',
  'timestamp',
  'boolean',
]);

/** What contracts may do with a column. No use is implied by another. */
const ColumnUseSchema = z.enum(['group', 'filter', 'sum', 'avg', 'var', 'join', 'reveal']);
export type ColumnUse = z.infer<typeof ColumnUseSchema>;

/** A label that survives UTF-8: two lone surrogates would become the same bytes. */
const LabelSchema = z
  .string()
  .max(256)
  .refine((label) => label.isWellFormed() && !label.includes('\0') && label !== OTHER_LABEL, {
    message: `a label is well-formed text without NUL and other than ${OTHER_LABEL}`,
  });

const PublishedColumnShape = {
  name: NameSchema,
  title: Bilingual.optional(),
  type: ColumnTypeSchema,
  derived: DerivationSchema.optional(),
  usage: z.array(ColumnUseSchema).max(ColumnUseSchema.options.length),
  /** For measured columns: what each value is clamped to, in units of 10^−scale. */
  bounds: ColumnBoundsSchema.omit({ column: true }).optional(),
  /** For group columns: the public labels, in the order of the cells. */
  labels: z.array(LabelSchema).min(1).max(DICTIONARY_MAX).optional(),
};

/** A column as everyone may see it. */
export const PublishedColumnSchema = z.strictObject(PublishedColumnShape);
export type PublishedColumn = z.infer<typeof PublishedColumnSchema>;

/** A column as registered: `sourceName` is its name in the file where that is another one. */
const RegisteredColumnSchema = z.strictObject({
  ...PublishedColumnShape,
  sourceName: z.string().min(1).max(256).optional(),
});
export type RegisteredColumn = z.infer<typeof RegisteredColumnSchema>;

/** Files on the domain's disk: paths or globs, relative to the registration. */
const DuckDbSourceSchema = z.strictObject({
  kind: z.literal('duckdb'),
  format: z.enum(['parquet', 'csv', 'json']),
  files: z.array(z.string().min(1).max(4096)).min(1).max(SOURCE_PATTERNS_MAX),
  /** CSV only; a comma unless stated. */
  delimiter: z.string().length(1).optional(),
});

const SqlName = z.string().min(1).max(63);

/** A table, view or materialised view of the holder's PostgreSQL. */
const PostgresSourceSchema = z.strictObject({
  kind: z.literal('postgres'),
  /** JSON with host, port, database, user, password, caFile; relative to the registration, mode 0600. */
  connectionFile: z.string().min(1).max(4096),
  schema: SqlName,
  table: SqlName,
});

/** Where a dataset lies; never published. */
const SourceSchema = z.discriminatedUnion('kind', [DuckDbSourceSchema, PostgresSourceSchema]);

export const DatasetFactsShape = {
  name: NameSchema,
  title: Bilingual,
  grade: GradeSchema,
  personalInformation: z.enum(['none', 'personal', 'sensitive']),
  legalBasis: Text,
  /** The column that names the person or firm that a row is about. */
  privacyUnit: NameSchema.optional(),
  /** Datasets about the same persons share a privacy budget; absent: all that name none share one. */
  privacyNamespace: NameSchema.optional(),
  /** Rows count only where this column has one of the listed values. */
  consent: z
    .strictObject({
      column: NameSchema,
      /** Values that consent to every purpose. */
      granted: z.array(LabelSchema).min(1).max(100),
      /** Values that consent to one purpose, by its code; then a contract has to state its own. */
      purposes: z.record(NameSchema, z.array(LabelSchema).min(1).max(100)).optional(),
    })
    .optional(),
  /** What exact sums must pass at least, wherever this dataset takes part. */
  dominance: DominanceTermsSchema.optional(),
  /** Reference to the assessment that found the dataset anonymised. */
  anonymisationAssessment: Text.optional(),
  /** Sets of group columns whose cells may be released exactly; a plan groups by one whole set. */
  partitions: z.array(z.array(NameSchema).max(GROUPS_MAX)).max(PARTITIONS_MAX),
};

export const DatasetRegistrationSchema = z
  .strictObject({
    format: z.literal('weir-dataset/1'),
    ...DatasetFactsShape,
    source: SourceSchema,
    columns: z.array(RegisteredColumnSchema).min(1).max(COLUMNS_MAX),
  })
  .superRefine((registration, context) => {
    for (const message of faultsOf(registration)) {
      context.addIssue({ code: 'custom', message });
    }
  });
export type DatasetRegistration = z.infer<typeof DatasetRegistrationSchema>;

export type Consent = NonNullable<DatasetRegistration['consent']>;

/**
 * The values whose rows may be computed on for a purpose. Where consent is per purpose, a purpose
 * that is not stated or not listed has nobody's consent.
 */
export function grantedFor(consent: Consent, purpose: string | undefined): readonly string[] {
  const { granted, purposes } = consent;
  if (purposes === undefined) return granted;
  if (purpose === undefined || !Object.hasOwn(purposes, purpose)) return [];
  return [...new Set([...granted, ...(purposes[purpose] ?? [])])];
}

/** The values that consent to anything: whom an examination is about. */
export function grantedAtAll({ granted, purposes = {} }: Consent): readonly string[] {
  return [...new Set([...granted, ...Object.values(purposes).flat()])];
}

/** The files of a dataset in files. @throws SetupError `config-invalid` for any other */
export function filesOf({ name, source }: DatasetRegistration): z.infer<typeof DuckDbSourceSchema> {
  if (source.kind === 'duckdb') return source;
  throw new SetupError('config-invalid', `The dataset ${name} does not lie in files.`);
}

/**
 * Parses a registration file's text.
 * @throws SetupError `config-invalid` with the first fault as one sentence.
 */
export function parseRegistration(text: string, path: string): DatasetRegistration {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SetupError('config-invalid', `The dataset registration ${path} is not valid JSON.`, {
      path,
    });
  }
  const parsed = DatasetRegistrationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join('.') ?? '';
  throw new SetupError(
    'config-invalid',
    `The dataset registration ${path} is not accepted: ${place === '' ? '' : `${place}: `}${issue?.message ?? 'unknown fault'}.`,
    { path },
  );
}

/** The facts that rules across columns are checked on; what is published has them too. */
export interface DatasetFacts {
  readonly personalInformation: 'none' | 'personal' | 'sensitive';
  readonly privacyUnit?: string | undefined;
  readonly consent?: { readonly column: string } | undefined;
  readonly anonymisationAssessment?: string | undefined;
  readonly partitions: readonly (readonly string[])[];
  readonly columns: readonly PublishedColumn[];
}

/** Every rule across columns that a dataset breaks, a sentence each. */
export function faultsOf(facts: DatasetFacts): string[] {
  const columns = new Map(facts.columns.map((column) => [column.name, column]));
  const faults: string[] = [];
  if (columns.size !== facts.columns.length) faults.push('two columns have the same name');
  for (const column of facts.columns) faults.push(...columnFaults(column, columns));
  for (const partition of facts.partitions) faults.push(...partitionFaults(partition, columns));
  const { privacyUnit, consent } = facts;
  if (privacyUnit !== undefined) {
    if (!columns.has(privacyUnit)) faults.push(`the privacy unit ${privacyUnit} is not a column`);
    for (const { name, derived, usage } of facts.columns) {
      const isCopy = derived?.derive === 'copy' && derived.from === privacyUnit;
      if ((name !== privacyUnit && !isCopy) || !usage.includes('group')) continue;
      faults.push(`the privacy unit ${name} may not be grouped by: its labels are people`);
    }
  }
  if (consent !== undefined && !columns.has(consent.column)) {
    faults.push(`the consent column ${consent.column} is not a column`);
  }
  if (facts.personalInformation !== 'none') {
    if (privacyUnit === undefined) faults.push('personal information needs a privacyUnit');
    if (consent === undefined && facts.anonymisationAssessment === undefined) {
      faults.push('personal information needs a consent column or an anonymisationAssessment');
    }
  }
  return faults;
}

function columnFaults(
  column: PublishedColumn,
  columns: ReadonlyMap<string, PublishedColumn>,
): string[] {
  const { name, usage, bounds, labels, type } = column;
  const faults: string[] = [];
  if (new Set(usage).size !== usage.length) faults.push(`column ${name} lists a use twice`);
  if (usage.includes('group') && labels === undefined) {
    faults.push(`column ${name} may be grouped by, so it needs labels`);
  }
  if (labels !== undefined) {
    if (new Set(labels).size !== labels.length) faults.push(`column ${name} lists a label twice`);
    if (type === 'double' || type === 'decimal') {
      faults.push(`column ${name} is a ${type} and cannot be grouped by: derive a band from it`);
    }
  }
  if (usage.some((use) => use === 'sum' || use === 'avg' || use === 'var')) {
    if (bounds === undefined) faults.push(`column ${name} may be summed, so it needs bounds`);
    if (type !== 'integer' && type !== 'decimal' && type !== 'double') {
      faults.push(`column ${name} is a ${type} and cannot be summed`);
    }
  }
  if (bounds !== undefined && BigInt(bounds.minimum) > BigInt(bounds.maximum)) {
    faults.push(`column ${name} has a minimum above its maximum`);
  }
  if (column.derived !== undefined) faults.push(...derivationFaults(column, columns));
  return faults;
}

function derivationFaults(
  column: PublishedColumn,
  columns: ReadonlyMap<string, PublishedColumn>,
): string[] {
  const { derived, name, type } = column;
  if (derived === undefined) return [];
  const from = columns.get(derived.from);
  if (from === undefined || from.derived !== undefined) {
    return [`column ${name} is derived from ${derived.from}, which is not a stored column`];
  }
  if (derived.derive === 'copy') {
    return type === from.type ? [] : [`column ${name} copies a ${from.type} and must be one`];
  }
  const faults = type === 'text' ? [] : [`column ${name} has labels, so its type is text`];
  const isTime = from.type === 'timestamp' || (from.type === 'date' && derived.derive !== 'hour');
  const isNumber = from.type === 'integer' || from.type === 'decimal' || from.type === 'double';
  if (derived.derive === 'band' ? !isNumber : !isTime) {
    faults.push(`column ${name} cannot be a ${derived.derive} of the ${from.type} ${derived.from}`);
  }
  if (derived.derive === 'band') {
    const edges = derived.edges.map(nanoUnits);
    if (edges.some((edge, index) => index > 0 && edge <= (edges[index - 1] ?? edge))) {
      faults.push(`column ${name} has edges that do not ascend`);
    }
  }
  const stray = strayLabel(derived, column.labels ?? []);
  if (stray !== undefined) {
    const form = LABEL_FORM_WORDS[derived.derive];
    faults.push(`column ${name} lists "${stray}", which no ${derived.derive} is: ${form}`);
  }
  return faults;
}

const LABEL_FORM_WORDS = {
  hour: 'labels are 00 to 23',
  month: 'labels are as 2001-01',
  'day-of-week': 'labels are 1, Monday, to 7',
  date: 'labels are as 2001-01-31',
  band: 'labels of the edges 18 and 65 are <18, 18..<65 and >=65',
} as const;

function partitionFaults(
  partition: readonly string[],
  columns: ReadonlyMap<string, PublishedColumn>,
): string[] {
  const faults: string[] = [];
  if (new Set(partition).size !== partition.length) faults.push('a partition repeats a column');
  let cells = 1;
  for (const name of partition) {
    const column = columns.get(name);
    if (column?.labels === undefined || !column.usage.includes('group')) {
      faults.push(`partition column ${name} is not a column that may be grouped by`);
    }
    cells *= (column?.labels?.length ?? 0) + 1;
  }
  if (cells > CELLS_MAX) faults.push(`the partition ${partition.join(', ')} has too many cells`);
  return faults;
}

/** A decimal in units of 10^−9, exactly. */
function nanoUnits(decimal: string): bigint {
  const [whole = '0', fraction = ''] = decimal.replace('-', '').split('.');
  const units = BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
  return decimal.startsWith('-') ? -units : units;
}
