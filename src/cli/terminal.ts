/**
 * What people read on a terminal: tables, bars, progress. Colours only where a terminal shows them; what
 * others wrote with everything escaped that does not show, so that no text of theirs steers the terminal.
 */
import { visible } from '../contracts/plain-text.ts';

/** Widest cell a table prints; longer text is cut with an ellipsis. */
const CELL_WIDTH_MAX = 60;
const BAR_WIDTH = 24;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;

export type Cell = string | number | bigint | null;

/** Columns a text takes on a terminal: East Asian wide characters take two. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : 1;
  return width;
}

/** A table with a rule under its head; numbers stand right, text left. */
export function table(titles: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const head = titles.map(visible);
  const texts = rows.map((row) => row.map((cell) => cut(shown(cell))));
  const widths = head.map((title, column) =>
    Math.max(displayWidth(title), ...texts.map((row) => displayWidth(row[column] ?? ''))),
  );
  const right = head.map((_, column) =>
    rows.every((row) => typeof row[column] !== 'string' || isNumeric(row[column])),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => padded(cell, widths[column] ?? 0, right[column] ?? false))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [line(head), rule, ...texts.map(line)].join('\n');
}

/** A bar for a value between 0 and `maximum`, eighths of a character fine. */
export function bar(value: number, maximum: number, width: number = BAR_WIDTH): string {
  if (!(maximum > 0) || !(value > 0)) return '';
  const eighths = Math.round(Math.min(1, value / maximum) * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + (' ▏▎▍▌▋▊▉'[eighths % 8] ?? '').trim();
}

/**
 * One line that is redrawn on a terminal, and elsewhere written once per change of its words: counts
 * that go up are no news in a file.
 */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream;
  #last = '';

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
  }

  show(note: string, fraction?: number): void {
    const text = visible(note);
    const drawn = fraction === undefined ? text : `${meter(fraction)} ${text}`;
    if (this.#out.isTTY) this.#out.write(`\r\u001b[K${drawn}`);
    else if (wordsOf(text) !== wordsOf(this.#last)) this.#out.write(`${text}\n`);
    this.#last = text;
  }

  done(): void {
    if (this.#out.isTTY && this.#last !== '') this.#out.write('\r\u001b[K');
    this.#last = '';
  }
}

function wordsOf(text: string): string {
  return text.replaceAll(/\d+/g, '#');
}

function meter(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * 20);
  return `[${'#'.repeat(full)}${'.'.repeat(20 - full)}]`;
}

function shown(cell: Cell): string {
  if (cell === null) return '–';
  if (typeof cell === 'number' && !Number.isInteger(cell)) return cell.toFixed(2);
  return visible(String(cell));
}

function isNumeric(cell: Cell | undefined): boolean {
  return typeof cell === 'string' && /^-?[\d.,]+%?$/.test(cell);
}

function cut(text: string): string {
  if (displayWidth(text) <= CELL_WIDTH_MAX) return text;
  let kept = '';
  for (const character of text) {
    if (displayWidth(kept + character) > CELL_WIDTH_MAX - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

function padded(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return right ? space + text : text + space;
}
