/**
 * Weights as an analyst writes them: a CSV with the plan's group columns and, for each measure, a
 * column of its name, or one column `weight` for all of them. A cell that is not listed weighs nothing.
 */
import type { WeightedShape } from '../computations/secret-weights/shape.ts';
import { OTHER_LABEL } from '../contracts/plan.ts';
import { InputError } from '../errors.ts';

/** The one column that stands for every measure's. */
const ALL_MEASURES = 'weight';
const LINES_MAX = 100_000;

/** A group column in the file. */
interface Group {
  readonly column: string;
  /** Place in a line. */
  readonly at: number;
  readonly radix: number;
  readonly digits: ReadonlyMap<string, number>;
}

/**
 * The weights in units of 10^−scale, output by output over all cells. Exact: a weight with more
 * decimals than agreed is refused, not rounded.
 *
 * Secret: all of it; a refusal names line and column, no weight.
 * @throws InputError `parameter-invalid`
 */
export function parseWeights(text: string, shape: WeightedShape): BigInt64Array<ArrayBuffer> {
  const [header = [], ...lines] = parseCsv(text);
  const groups = shape.base.groups.map(({ column, labels }, index) => ({
    column,
    at: columnOf(header, column),
    radix: shape.base.radices[index] ?? 1,
    // A list would be searched anew for each line.
    digits: new Map([...labels, OTHER_LABEL].map((label, digit) => [label, digit])),
  }));
  const measures = shape.outputs.map(({ as }) => measureColumn(header, as));
  const known = new Set([...groups.map(({ at }) => at), ...measures]);
  const idle = header.find((_, at) => !known.has(at));
  if (idle !== undefined) throw refused(1, `the plan has no column ${idle}`);
  const { cells } = shape.base;
  const weights = new BigInt64Array(shape.outputs.length * cells);
  const seen = new Set<number>();
  for (const [index, line] of lines.entries()) {
    const number = index + 2;
    if (line.length !== header.length) throw refused(number, `it has ${line.length} fields`);
    const cell = cellOf(groups, line, number);
    if (seen.has(cell)) throw refused(number, 'its cell has a weight already');
    seen.add(cell);
    for (const [output, at] of measures.entries()) {
      weights[output * cells + cell] = weightOf(shape, line[at] ?? '', number);
    }
  }
  return weights;
}

/** The CSV with every cell, each weighing nothing, to be filled in. */
export function weightsTemplate({ base, outputs }: WeightedShape): string {
  const names = [...base.groups.map(({ column }) => column), ...outputs.map(({ as }) => as)];
  const rows = Array.from({ length: base.cells }, (_, cell) => {
    let rest = cell;
    const labels = base.groups
      .toReversed()
      .map(({ labels: own }, at) => {
        const radix = base.radices[base.radices.length - 1 - at] ?? 1;
        const label = own[rest % radix] ?? OTHER_LABEL;
        rest = Math.floor(rest / radix);
        return label;
      })
      .toReversed();
    return [...labels, ...outputs.map(() => '0')];
  });
  return [names, ...rows].map((row) => `${row.map(quoted).join(',')}\n`).join('');
}

function columnOf(header: readonly string[], column: string): number {
  const at = header.indexOf(column);
  if (at === -1) throw refused(1, `there is no column ${column}`);
  if (header.lastIndexOf(column) !== at) throw refused(1, `the column ${column} is there twice`);
  return at;
}

function measureColumn(header: readonly string[], as: string): number {
  return columnOf(header, header.includes(as) ? as : ALL_MEASURES);
}

function cellOf(groups: readonly Group[], line: readonly string[], number: number): number {
  let cell = 0;
  for (const { column, at, radix, digits } of groups) {
    const digit = digits.get(line[at] ?? '');
    if (digit === undefined) throw refused(number, `${column} has no such label`);
    cell = cell * radix + digit;
  }
  return cell;
}

function weightOf({ weights, weightScale }: WeightedShape, text: string, number: number): bigint {
  const parts = /^(-?)(\d{1,18})(?:\.(\d{1,18}))?$/.exec(text.trim());
  if (parts === null) throw refused(number, 'a weight is no decimal number');
  const [, sign = '', whole = '', decimals = ''] = parts;
  if (decimals.length > weightScale)
    throw refused(number, `a weight has more than the agreed ${weightScale} decimals`);
  const units = BigInt(whole + decimals.padEnd(weightScale, '0'));
  if (units > weights.weightMax) throw refused(number, 'a weight is beyond the agreed bound');
  return sign === '-' ? -units : units;
}

/** @see RFC 4180 */
function parseCsv(text: string): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let row: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  const content = text.replace(/^\uFEFF/, '');
  while (field.lastIndex < content.length) {
    const found = field.exec(content);
    if (found === null) throw refused(rows.length + 1, 'its quotes do not match');
    row.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? '');
    if (found[3] === ',') {
      // A line that ends the text with a comma has one more, empty field.
      if (field.lastIndex === content.length) row.push('');
      else continue;
    }
    if (row.length > 1 || row[0] !== '') rows.push(row);
    if (rows.length > LINES_MAX) throw refused(rows.length, `more than ${LINES_MAX} lines`);
    row = [];
  }
  if (row.length > 0) rows.push(row);
  if (rows.length === 0) throw refused(1, 'there is nothing in it');
  return rows;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function refused(line: number, what: string): InputError {
  return new InputError('parameter-invalid', `Line ${line} of the weights: ${what}.`, {
    rule: 'group columns, then a column a measure or one named weight; each cell once',
    remedy: '`weir weights template` writes a file with every cell.',
  });
}
