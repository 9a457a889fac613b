/** Exports as files, however many records there are: events, FOCUS as CSV, and Parquet made from that by DuckDB. */
import { open, rm } from 'node:fs/promises';
import { encodeEvent } from './cloud-events.ts';
import { FOCUS_COLUMNS, type FocusRow, type FocusType } from './focus.ts';
import type { MeteringRecord } from './ledger-store.ts';

/** Pieces put together before they are written. */
const PIECES_PER_WRITE = 1_000;

const DUCKDB_TYPES: Readonly<Record<FocusType, string>> = {
  string: 'VARCHAR',
  // 18 digits before the point hold every sum of 63 bits of micros.
  decimal: 'DECIMAL(38, 6)',
  datetime: 'TIMESTAMP',
};

/** The header line. @see RFC 4180 */
export function csvHeader(): string {
  return `${FOCUS_COLUMNS.map(([name]) => name).join(',')}\r\n`;
}

/** One row; an empty field has no value. */
export function csvLine(row: FocusRow): string {
  return `${FOCUS_COLUMNS.map(([name]) => csvField(row[name])).join(',')}\r\n`;
}

/**
 * Writes rows to a new file, mode 0600, synced.
 * @returns the number of rows.
 */
export async function writeFocusCsv(file: string, rows: AsyncIterable<FocusRow>): Promise<number> {
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    yield csvHeader();
    for await (const row of rows) {
      count += 1;
      yield csvLine(row);
    }
  }
  await writeNewFile(file, lines());
  return count;
}

/**
 * Writes a batch of events to a new file, mode 0600, synced.
 * @param source - `eventSource` of the gateway.
 * @returns the number of events.
 */
export async function writeEventBatch(
  file: string,
  records: AsyncIterable<MeteringRecord>,
  source: string,
): Promise<number> {
  let count = 0;
  async function* parts(): AsyncGenerator<string> {
    for await (const record of records) {
      yield `${count === 0 ? '[' : ',\n'}${encodeEvent(record, source)}`;
      count += 1;
    }
    yield count === 0 ? '[]\n' : ']\n';
  }
  await writeNewFile(file, parts());
  return count;
}

/** Makes a Parquet file out of a CSV file of {@link writeFocusCsv}; streams, so memory stays flat. */
export async function writeFocusParquet(file: string, csvFile: string): Promise<void> {
  // Created first and written in place: DuckDB would make it readable to everybody.
  await (await open(file, 'wx', 0o600)).close();
  // Loaded for Parquet alone: a native library of some size.
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    threads: '1',
  });
  const connection = await instance.connect();
  try {
    const columns = FOCUS_COLUMNS.map(
      ([name, type]) => `${quoted(name)}: ${quoted(DUCKDB_TYPES[type])}`,
    );
    await connection.run(
      `COPY (SELECT * FROM read_csv(${quoted(csvFile)}, header = true, delim = ',', quote = '"', escape = '"',
         nullstr = '', auto_detect = false, columns = {${columns.join(', ')}}))
       TO ${quoted(file)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)`,
    );
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** A file that fails half-way is not left behind: somebody would take it for the whole. */
async function writeNewFile(file: string, pieces: AsyncIterable<string>): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    let pending: string[] = [];
    for await (const piece of pieces) {
      pending.push(piece);
      if (pending.length < PIECES_PER_WRITE) continue;
      await handle.appendFile(pending.join(''));
      pending = [];
    }
    await handle.appendFile(pending.join(''));
    await handle.sync();
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

function csvField(value: string | null): string {
  if (value === null) return '';
  return /[",\r\n]/.test(value) || value === '' ? `"${value.replaceAll('"', '""')}"` : value;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
