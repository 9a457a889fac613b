/** One column of a CSV file, some rows at a time: whatever the file's size, in little memory. @see RFC 4180 */
import { createReadStream } from 'node:fs';
import { InputError } from '../errors.ts';

/** A field longer than this is no id, but a quotation mark that nobody closed. */
export const FIELD_CHARACTERS_MAX = 65_536;
const FIELDS_MAX = 10_000;
const ROWS_AT_ONCE = 4_096;

/**
 * The values of the column with this name in the header; an empty field is an empty text.
 * @throws InputError `column-unknown`, `malformed-message`; the system's error where it cannot be read
 */
export async function* csvColumn(file: string, column: string): AsyncGenerator<string[]> {
  let place: number | undefined;
  let values: string[] = [];
  for await (const fields of csvRecords(file)) {
    if (place === undefined) {
      place = placeOf(fields, column, file);
      continue;
    }
    const value = fields[place];
    if (value === undefined) {
      throw new InputError('malformed-message', `A line of ${file} has no ${column}.`, {
        column,
        remedy: 'Give every line as many fields as the header has.',
      });
    }
    values.push(value);
    if (values.length < ROWS_AT_ONCE) continue;
    yield values;
    values = [];
  }
  if (place === undefined) throw new InputError('malformed-message', `${file} is empty.`);
  if (values.length > 0) yield values;
}

/** How many values `csvColumn` gives. @throws as it does */
export async function countCsvColumn(file: string, column: string): Promise<number> {
  let count = 0;
  for await (const values of csvColumn(file, column)) count += values.length;
  return count;
}

function placeOf(header: readonly string[], column: string, file: string): number {
  const place = header.indexOf(column);
  if (place >= 0) return place;
  throw new InputError('column-unknown', `${file} has no column ${column}.`, {
    column,
    remedy: `Its header names: ${header.slice(0, 20).join(', ').slice(0, 400)}.`,
  });
}

async function* csvRecords(file: string): AsyncGenerator<readonly string[]> {
  const splitter = new RecordSplitter(file);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decoded = (bytes?: Uint8Array): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw new InputError('malformed-message', `${file} is not UTF-8.`, {
        remedy: 'Save it as UTF-8 and try again.',
      });
    }
  };
  for await (const bytes of createReadStream(file)) yield* splitter.push(decoded(bytes as Buffer));
  yield* splitter.push(decoded());
  yield* splitter.end();
}

/** Splits text that comes in pieces into records of fields. */
class RecordSplitter {
  readonly #file: string;
  #fields: string[] = [];
  #field = '';
  /** Within quotation marks; after one that may end the field or stand for itself. */
  #state: 'plain' | 'quoted' | 'quote' = 'plain';
  #wasCarriageReturn = false;

  constructor(file: string) {
    this.#file = file;
  }

  *push(text: string): Generator<readonly string[]> {
    for (const character of text) {
      const isSecondOfTwo = character === '\n' && this.#wasCarriageReturn;
      this.#wasCarriageReturn = false;
      if (isSecondOfTwo) continue;
      if (this.#state === 'quoted') {
        if (character === '"') this.#state = 'quote';
        else this.#append(character);
      } else if (character === '"' && (this.#state === 'quote' || this.#field === '')) {
        // Twice within a quoted field it stands for itself; at a field's start it opens one.
        if (this.#state === 'quote') this.#append(character);
        this.#state = 'quoted';
      } else if (character === ',') {
        this.#endField();
      } else if (character === '\n' || character === '\r') {
        this.#wasCarriageReturn = character === '\r';
        yield* this.#endRecord();
      } else {
        this.#state = 'plain';
        this.#append(character);
      }
    }
  }

  *end(): Generator<readonly string[]> {
    if (this.#state === 'quoted') throw this.#malformed('a quotation mark is not closed');
    yield* this.#endRecord();
  }

  #append(character: string): void {
    this.#field += character;
    if (this.#field.length > FIELD_CHARACTERS_MAX) throw this.#malformed('a field is too long');
  }

  #endField(): void {
    this.#fields.push(this.#field);
    this.#field = '';
    this.#state = 'plain';
    if (this.#fields.length > FIELDS_MAX) throw this.#malformed('a line has too many fields');
  }

  *#endRecord(): Generator<readonly string[]> {
    const isBlank = this.#fields.length === 0 && this.#field === '' && this.#state === 'plain';
    if (isBlank) return;
    this.#endField();
    const fields = this.#fields;
    this.#fields = [];
    yield fields;
  }

  #malformed(rule: string): InputError {
    return new InputError('malformed-message', `${this.#file} is not CSV: ${rule}.`, { rule });
  }
}
