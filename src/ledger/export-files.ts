/** FOCUS rows as files: CSV, and Parquet made from it by DuckDB. */
import { DuckDBInstance } from '@duckdb/node-api';
import { open } from 'node:fs/promises';
import { FOCUS_COLUMNS, type FocusRow, type FocusType } from './focus.ts';

/** Rows put together before they are written. */
const ROWS_PER_WRITE = 1_000;

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
  const handle = await open(file, 'wx', 0o600);
  try {
    let pending = [csvHeader()];
    let count = 0;
    for await (const row of rows) {
      pending.push(csvLine(row));
      count += 1;
      if (pending.length >= ROWS_PER_WRITE) {
        await handle.appendFile(pending.join(''));
        pending = [];
      }
    }
    await handle.appendFile(pending.join(''));
    await handle.sync();
    return count;
  } finally {
    await handle.close();
  }
}

/** Makes a Parquet file out of a CSV file of {@link writeFocusCsv}; streams, so memory stays flat. */
export async function writeFocusParquet(file: string, csvFile: string): Promise<void> {
  // Created first and written in place: DuckDB would make it readable to everybody.
  await (await open(file, 'wx', 0o600)).close();
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

function csvField(value: string | null): string {
  if (value === null) return '';
  return /[",\r\n]/.test(value) || value === '' ? `"${value.replaceAll('"', '""')}"` : value;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
