/**
 * Mock data: rows with a published dataset's schema, made from its metadata alone, so that an
 * analyst can try any plan before a contract exists. Nothing in them comes from a real row.
 *
 * Written as JSON lines and registered with `mockRegistration`, they are read by the same source
 * and judged by the same rules as the real dataset.
 */
import { createHash } from 'node:crypto';
import {
  DatasetRegistrationSchema,
  type DatasetRegistration,
  type PublishedColumn,
} from './dataset.ts';
import type { PublishedDataset } from './published.ts';

const MOCK_ROWS_MAX = 1_000_000;

/** A value as JSON carries it; decimals as strings, exactly. */
type MockValue = string | number | boolean | null;
export type MockRow = Readonly<Record<string, MockValue>>;

/** Shares of rows, out of 100, that are missing a value or have one no dictionary lists. */
const MISSING_PERCENT = 1;
const UNLISTED_PERCENT = 2;
/** Rows a person or firm has on average, where a privacy unit is registered. */
const ROWS_PER_UNIT = 4;
const DAY_MS = 86_400_000;
/** Where no month is published, times lie in this year. */
const DEFAULT_MONTHS: readonly string[] = Array.from(
  { length: 12 },
  (_, month) => `2024-${String(month + 1).padStart(2, '0')}`,
);

/**
 * Rows of a mock dataset. The same dataset, seed and number give the same rows; other holders and
 * datasets give others.
 * @param rows - at most `MOCK_ROWS_MAX` are made.
 */
export function* mockRows(
  dataset: PublishedDataset,
  rows: number,
  seed: string,
): Generator<MockRow, void, undefined> {
  const draw = seededDraw(`${seed}\0${dataset.holder}\0${dataset.name}`);
  const stored = dataset.columns.filter((column) => column.derived === undefined);
  const count = Math.min(rows, MOCK_ROWS_MAX);
  for (let row = 0; row < count; row += 1) {
    yield Object.fromEntries(
      stored.map((column) => [column.name, mockValue(dataset, column, count, draw)]),
    );
  }
}

/** A registration of mock rows in a JSON-lines file, with every rule of the real dataset. */
export function mockRegistration(dataset: PublishedDataset, file: string): DatasetRegistration {
  const { holder: _, rowsMax: _rowsMax, fingerprint: _print, publishedAt: _at, ...facts } = dataset;
  return DatasetRegistrationSchema.parse({
    ...facts,
    format: 'weir-dataset/1',
    source: { kind: 'duckdb', format: 'json', files: [file] },
  });
}

/** A number from 0 (included) to `below` (excluded). */
type Draw = (below: number) => number;

function mockValue(
  dataset: PublishedDataset,
  column: PublishedColumn,
  rows: number,
  draw: Draw,
): MockValue {
  if (dataset.consent?.column === column.name) return consentValue(dataset.consent.granted, draw);
  if (dataset.privacyUnit === column.name) {
    return unitValue(column, Math.floor(draw(Math.max(1, rows / ROWS_PER_UNIT))));
  }
  if (draw(100) < MISSING_PERCENT) return null;
  // Other than text with no label at all would be another type's: it would be missing.
  if (column.labels !== undefined && column.type !== 'text')
    return listedLabel(column.labels, draw);
  const derivations = dataset.columns.filter((other) => other.derived?.from === column.name);
  switch (column.type) {
    case 'boolean':
      return draw(2) < 1;
    case 'text':
      return column.labels === undefined
        ? `${column.name}-${Math.floor(draw(100))}`
        : labelValue(column.labels, draw);
    case 'date':
      return timeValue(derivations, draw).slice(0, 10);
    case 'timestamp':
      return timeValue(derivations, draw);
    case 'integer':
    case 'decimal':
    case 'double':
      return numberValue(column, derivations, draw);
  }
}

/** A person or firm of this number, as a value of its column's type: any other would be missing. */
function unitValue({ type }: PublishedColumn, unit: number): MockValue {
  switch (type) {
    case 'integer':
    case 'decimal':
    case 'double':
      return unit;
    case 'date':
      return new Date(unit * DAY_MS).toISOString().slice(0, 10);
    case 'timestamp':
      return new Date(unit * DAY_MS).toISOString().slice(0, 19).replace('T', ' ');
    case 'boolean':
      return unit % 2 === 1;
    case 'text':
      return `unit-${unit}`;
  }
}

function consentValue(granted: readonly string[], draw: Draw): string {
  return draw(10) < 9 ? (granted[Math.floor(draw(granted.length))] ?? 'yes') : 'withdrawn';
}

/** Earlier labels more often: flat data hides what suppression does to small cells. */
function labelValue(labels: readonly string[], draw: Draw): string {
  if (draw(100) < UNLISTED_PERCENT) return 'unlisted';
  return listedLabel(labels, draw);
}

function listedLabel(labels: readonly string[], draw: Draw): string {
  const skewed = draw(1) * draw(1);
  return labels[Math.floor(skewed * labels.length)] ?? 'unlisted';
}

function timeValue(derivations: readonly PublishedColumn[], draw: Draw): string {
  const month = derivations.find((column) => column.derived?.derive === 'month')?.labels;
  const day = derivations.find((column) => column.derived?.derive === 'date')?.labels;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const date =
    day === undefined
      ? `${pick(month ?? DEFAULT_MONTHS, draw)}-${two(1 + draw(28))}`
      : pick(day, draw);
  // Days are busier than nights.
  const hour = (draw(24) + draw(24)) / 2;
  return `${date} ${two(hour)}:${two(draw(60))}:${two(draw(60))}`;
}

function pick(labels: readonly string[], draw: Draw): string {
  return labels[Math.floor(draw(labels.length))] ?? '';
}

function numberValue(
  column: PublishedColumn,
  derivations: readonly PublishedColumn[],
  draw: Draw,
): MockValue {
  const scale = column.bounds?.scale ?? 0;
  const [low, high] = rangeOf(column, derivations, draw);
  const value = drawValue(low, high, draw);
  if (column.type === 'integer') return Math.round(value);
  return column.type === 'decimal' ? value.toFixed(scale) : value;
}

/** Most values near zero where the range holds it, near its lower end otherwise: bounds are rare. */
function drawValue(low: number, high: number, draw: Draw): number {
  if (low >= 0 || high <= 0) return low + draw(1) * draw(1) * (high - low);
  const end = draw(2) < 1 ? low : high;
  return draw(1) * draw(1) * draw(1) * end;
}

/** One band, where bands are published; else what the bounds allow. */
function rangeOf(
  column: PublishedColumn,
  derivations: readonly PublishedColumn[],
  draw: Draw,
): readonly [number, number] {
  const unit = 10 ** -(column.bounds?.scale ?? 0);
  const low = Number(column.bounds?.minimum ?? 0) * unit;
  const high = Number(column.bounds?.maximum ?? 1000) * unit;
  const band = derivations.find((other) => other.derived?.derive === 'band')?.derived;
  if (band?.derive !== 'band') return [low, high];
  const inside = band.edges.map(Number).filter((edge) => edge > low && edge < high);
  const edges = [low, ...inside, high];
  const index = Math.floor(draw(edges.length - 1));
  return [edges[index] ?? low, edges[index + 1] ?? high];
}

/** SHA-512 in counter mode: reproducible on every machine; no secret depends on it. */
function seededDraw(seed: string): Draw {
  let block = Buffer.alloc(0);
  let offset = 0;
  let counter = 0;
  return (below) => {
    if (offset + 6 > block.length) {
      block = createHash('sha512').update(`${counter}\0${seed}`).digest();
      counter += 1;
      offset = 0;
    }
    const value = block.readUIntLE(offset, 6) / 2 ** 48;
    offset += 6;
    return value * below;
  };
}
