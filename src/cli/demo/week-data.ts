/**
 * The demo's data for matching: the first week of 2001 out of the holders' own flights. West has the
 * departures of its airports. East has the arrivals at its own as a real register would: some are
 * missing, some stand under the next day. Which ones is drawn by a recorded seed from each flight
 * itself, so everyone makes the same files.
 */
import { chmod, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { z } from 'zod';
import { syncDirectory, writeAtomically } from '../../system/atomic-file.ts';
import { HashSchema } from '../../system/ids.ts';
import type { FlightsManifest, FlightsProgress } from './flights-data.ts';
import { WEEK_TABLES, weekRegistration, type WeekHolder } from './week-registration.ts';

/** Raised whenever the files or registrations made here would differ. */
const RECIPE = 'weir-week/3';
const MANIFEST = 'week.manifest.json';
const HOLDERS: readonly WeekHolder[] = ['west', 'east'];
const SOURCES: Record<WeekHolder, string> = { west: 'departures', east: 'arrivals' };

/** What happens to arrivals, in percent, by the seed. */
export const WEEK_SEED = 'weir week 2001-01';
export const MISSING_PERCENT = 3;
export const SHIFTED_PERCENT = 2;

const ManifestSchema = z.strictObject({
  recipe: z.literal(RECIPE),
  seed: z.literal(WEEK_SEED),
  missingPercent: z.literal(MISSING_PERCENT),
  shiftedPercent: z.literal(SHIFTED_PERCENT),
  /** The parts that the weeks were taken from. */
  inputs: z.array(HashSchema).length(2),
});

/**
 * Makes `<directory>/<holder>/<table>.parquet` with its registration for west and east, or finds
 * that it was done from the same parts. An edited registration is kept until then.
 * @param flights - what `prepareFlights` made in the same directory.
 */
export async function prepareWeek(
  directory: string,
  flights: FlightsManifest,
  onProgress: FlightsProgress,
): Promise<void> {
  const inputs = HOLDERS.map((holder) => partOf(flights, holder));
  if (await isInPlace(directory, inputs)) return;
  onProgress(0, 'taking a week of flights for matching');
  await rm(join(directory, MANIFEST), { force: true });
  for (const holder of HOLDERS) await writeWeek(join(directory, holder), holder);
  const manifest: z.infer<typeof ManifestSchema> = {
    recipe: RECIPE,
    seed: WEEK_SEED,
    missingPercent: MISSING_PERCENT,
    shiftedPercent: SHIFTED_PERCENT,
    inputs,
  };
  // Last: a crash before this line makes the next start begin again.
  await writeAtomically(join(directory, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, 0o600);
  onProgress(1, 'the week of flights is in place');
}

function partOf(flights: FlightsManifest, holder: WeekHolder): z.infer<typeof HashSchema> {
  const part = flights.files.find(
    (file) => file.holder === holder && file.table === SOURCES[holder],
  );
  if (part === undefined) throw new Error('the flights have no such part');
  return part.sha256;
}

async function isInPlace(directory: string, inputs: readonly string[]): Promise<boolean> {
  const text = await readFile(join(directory, MANIFEST), 'utf8').catch(() => 'null');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return false;
  }
  const parsed = ManifestSchema.safeParse(value);
  if (!parsed.success || parsed.data.inputs.some((hash, at) => hash !== inputs[at])) return false;
  for (const holder of HOLDERS) {
    for (const ending of ['parquet', 'dataset.json']) {
      const path = join(directory, holder, `${WEEK_TABLES[holder]}.${ending}`);
      const isThere = await stat(path).then(
        (info) => info.isFile(),
        () => false,
      );
      if (!isThere) return false;
    }
  }
  return true;
}

async function writeWeek(folder: string, holder: WeekHolder): Promise<void> {
  const table = WEEK_TABLES[holder];
  const partial = join(folder, `.${table}.partial`);
  // One thread: the same inputs give the same bytes, so that a file made anew keeps its fingerprint.
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  try {
    await connection.run(
      `COPY (${statementOf(holder, join(folder, `${SOURCES[holder]}.parquet`))})
       TO ${quoted(partial)} (FORMAT parquet, COMPRESSION zstd)`,
    );
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
  await chmod(partial, 0o600);
  await rename(partial, join(folder, `${table}.parquet`));
  await syncDirectory(folder);
  const registration = `${JSON.stringify(weekRegistration(holder), null, 2)}\n`;
  await writeAtomically(join(folder, `${table}.dataset.json`), registration, 0o600);
}

function statementOf(holder: WeekHolder, path: string): string {
  const week = `SELECT date, delay, distance, origin, destination, row_number() OVER (
      PARTITION BY date, origin, destination ORDER BY delay, distance) AS nth
    FROM read_parquet(${quoted(path)}) WHERE date < TIMESTAMP '2001-01-08 00:00:00'`;
  const order = 'ORDER BY date, origin, destination, nth';
  if (holder === 'west') return `SELECT date, delay, origin, destination FROM (${week}) ${order}`;
  const drawn = `SELECT *, md5_number(concat_ws('|', ${quoted(WEEK_SEED)}, date, origin,
      destination, nth)) % 100 AS percent FROM (${week})`;
  const late = MISSING_PERCENT + SHIFTED_PERCENT;
  return `SELECT CASE WHEN percent < ${late} THEN date + INTERVAL 1 DAY ELSE date END AS date,
      distance, origin, destination FROM (${drawn}) WHERE percent >= ${MISSING_PERCENT} ${order}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
