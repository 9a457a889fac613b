/**
 * The demo's data: 3,000,000 real flights out of the npm package `vega-datasets`, split among
 * three holders by the longitude of an airport: west < −104 ≤ centre < −87 ≤ east.
 *
 * A flight's departure belongs to the region of its origin, its arrival to that of its destination.
 * A flight whose airport `airports.csv` does not list would belong to nobody: it is left out and
 * counted in the manifest (there is none in the pinned release of the package).
 *
 * Done once: a manifest, written last, names the recipe, the inputs and every file by SHA-256. A
 * crash leaves either no manifest or an old one, and the next start makes all files anew.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { z } from 'zod';
import { assertInvariant, CapacityError, SetupError } from '../../errors.ts';
import { syncDirectory, writeAtomically } from '../../system/atomic-file.ts';
import { HashSchema } from '../../system/ids.ts';
import { canonicalHash } from '../../system/canonical-json.ts';
import { FLIGHT_TABLES, flightsRegistration, type FlightTable } from './flights-registration.ts';

export const FLIGHT_HOLDERS = ['west', 'centre', 'east'] as const;
export type FlightHolder = (typeof FLIGHT_HOLDERS)[number];

/** Raised whenever the files or registrations made here would differ. */
const RECIPE = 'weir-flights/1';
const MANIFEST = 'flights.manifest.json';
const PARTIAL = '.flights-partial';

const AIRPORT_OF: Record<FlightTable, string> = { departures: 'origin', arrivals: 'destination' };

const ManifestSchema = z.strictObject({
  recipe: z.literal(RECIPE),
  /** Of the two input files, and of the registrations as this version writes them. */
  inputs: z.array(HashSchema).length(3),
  flights: z.int(),
  /** Flights whose airport is not listed, by table. */
  unassigned: z.strictObject({ departures: z.int(), arrivals: z.int() }),
  files: z.array(
    z.strictObject({
      holder: z.enum(FLIGHT_HOLDERS),
      table: z.enum(FLIGHT_TABLES),
      rows: z.int(),
      sha256: HashSchema,
    }),
  ),
});
export type FlightsManifest = z.infer<typeof ManifestSchema>;

/** How far the preparation is: a fraction of one, and what is being done. */
export type FlightsProgress = (fraction: number, note: string) => void;

/**
 * Makes `<directory>/<holder>/<table>.parquet` and its registration `<table>.dataset.json` for each
 * holder and table, or finds that it was done and nothing changed since. An edited registration is
 * kept as long as the data need not be made anew.
 * @throws SetupError `source-missing` where the package is not installed; CapacityError `disk-full`.
 */
export async function prepareFlights(
  directory: string,
  onProgress: FlightsProgress,
): Promise<FlightsManifest> {
  const inputs = locateInputs();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  onProgress(0, 'checking the flights data');
  // The registrations of this version too: a directory of an older one is made anew.
  const registrations = canonicalHash(FLIGHT_TABLES.map(flightsRegistration));
  const hashes = [await sha256Of(inputs.flights), await sha256Of(inputs.airports), registrations];
  const known = await verifiedManifest(directory, hashes);
  if (known !== undefined) {
    await writeRegistrations(directory, 'missing');
    onProgress(1, 'the flights data is in place');
    return known;
  }
  const partial = join(directory, PARTIAL);
  try {
    await rm(partial, { recursive: true, force: true });
    await rm(join(directory, MANIFEST), { force: true });
    await mkdir(partial, { mode: 0o700 });
    const manifest = await splitFlights(inputs, partial, hashes, onProgress);
    for (const { holder, table } of manifest.files) {
      await mkdir(join(directory, holder), { recursive: true, mode: 0o700 });
      await rename(
        join(partial, `${holder}-${table}.parquet`),
        join(directory, holder, `${table}.parquet`),
      );
    }
    for (const holder of FLIGHT_HOLDERS) await syncDirectory(join(directory, holder));
    await writeRegistrations(directory, 'all');
    // Last: a crash before this line makes the next start begin again.
    await writeAtomically(
      join(directory, MANIFEST),
      `${JSON.stringify(manifest, null, 2)}\n`,
      0o600,
    );
    onProgress(1, 'the flights data is in place');
    return manifest;
  } catch (error) {
    throw isDiskFull(error)
      ? new CapacityError('disk-full', `The disk that holds ${directory} is full: free 100 MB.`)
      : error;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

interface Inputs {
  readonly flights: string;
  readonly airports: string;
}

function locateInputs(): Inputs {
  try {
    const main = createRequire(import.meta.url).resolve('vega-datasets');
    const folder = join(dirname(dirname(main)), 'data');
    return { flights: join(folder, 'flights-3m.parquet'), airports: join(folder, 'airports.csv') };
  } catch (error) {
    throw missingPackage(error);
  }
}

function missingPackage(cause: unknown): SetupError {
  return new SetupError(
    'source-missing',
    'The flights of the npm package vega-datasets are not there: run `npm ci`.',
    {},
    { cause },
  );
}

async function splitFlights(
  inputs: Inputs,
  partial: string,
  hashes: readonly string[],
  onProgress: FlightsProgress,
): Promise<FlightsManifest> {
  // One thread: the same inputs give the same bytes, so that a file made anew keeps its fingerprint.
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  try {
    const flights = await readInputs(connection, inputs);
    const files: FlightsManifest['files'] = [];
    const unassigned = { departures: flights, arrivals: flights };
    for (const table of FLIGHT_TABLES) {
      for (const holder of FLIGHT_HOLDERS) {
        onProgress((files.length + 0.5) / 6.5, `writing ${table} of ${holder}`);
        const path = join(partial, `${holder}-${table}.parquet`);
        const rows = await writePart(connection, table, holder, path);
        await chmod(path, 0o600);
        await syncFile(path);
        unassigned[table] -= rows;
        files.push({ holder, table, rows, sha256: HashSchema.parse(await sha256Of(path)) });
      }
      assertInvariant(unassigned[table] >= 0, 'no flight has two holders');
      const unlisted = await countUnlisted(connection, table);
      assertInvariant(unassigned[table] === unlisted, 'every listed flight has a holder');
    }
    return ManifestSchema.parse({ recipe: RECIPE, inputs: hashes, flights, unassigned, files });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function readInputs(connection: DuckDBConnection, inputs: Inputs): Promise<number> {
  await connection.run(
    `CREATE VIEW flights AS SELECT * FROM read_parquet(${quoted(inputs.flights)})`,
  );
  await connection.run(
    `CREATE TABLE airports AS SELECT iata, CASE WHEN longitude < -104 THEN 'west'
       WHEN longitude < -87 THEN 'centre' ELSE 'east' END AS holder
     FROM read_csv(${quoted(inputs.airports)})`,
  );
  return count(connection, 'SELECT count(*) FROM flights');
}

async function writePart(
  connection: DuckDBConnection,
  table: FlightTable,
  holder: FlightHolder,
  path: string,
): Promise<number> {
  await connection.run(
    `COPY (SELECT date, delay, distance, origin, destination FROM flights
       JOIN airports ON iata = ${AIRPORT_OF[table]} WHERE holder = '${holder}')
     TO ${quoted(path)} (FORMAT parquet, COMPRESSION zstd)`,
  );
  return count(connection, `SELECT count(*) FROM read_parquet(${quoted(path)})`);
}

async function countUnlisted(connection: DuckDBConnection, table: FlightTable): Promise<number> {
  return count(
    connection,
    `SELECT count(*) FROM flights ANTI JOIN airports ON iata = ${AIRPORT_OF[table]}`,
  );
}

async function count(connection: DuckDBConnection, statement: string): Promise<number> {
  const reader = await connection.runAndReadAll(statement);
  return Number(reader.getRows()[0]?.[0]);
}

/** The manifest, where it fits this recipe and these inputs and every file is as it says. */
async function verifiedManifest(
  directory: string,
  inputs: readonly string[],
): Promise<FlightsManifest | undefined> {
  const text = await readFile(join(directory, MANIFEST), 'utf8').catch(() => 'null');
  const parsed = ManifestSchema.safeParse(parseOrNull(text));
  if (!parsed.success) return undefined;
  const manifest = parsed.data;
  if (manifest.inputs.some((hash, index) => hash !== inputs[index])) return undefined;
  if (manifest.files.length !== FLIGHT_HOLDERS.length * FLIGHT_TABLES.length) return undefined;
  for (const { holder, table, sha256 } of manifest.files) {
    const path = join(directory, holder, `${table}.parquet`);
    const isThere = await stat(path).then(
      (info) => info.isFile(),
      () => false,
    );
    if (!isThere || (await sha256Of(path)) !== sha256) return undefined;
  }
  return manifest;
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function writeRegistrations(directory: string, which: 'all' | 'missing'): Promise<void> {
  for (const holder of FLIGHT_HOLDERS) {
    for (const table of FLIGHT_TABLES) {
      const path = join(directory, holder, `${table}.dataset.json`);
      const isThere = await stat(path).then(
        () => true,
        () => false,
      );
      if (which === 'missing' && isThere) continue;
      await writeAtomically(
        path,
        `${JSON.stringify(flightsRegistration(table), null, 2)}\n`,
        0o600,
      );
    }
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function sha256Of(path: string): Promise<string> {
  const hasher = createHash('sha256');
  try {
    for await (const block of createReadStream(path, { highWaterMark: 1_048_576 })) {
      hasher.update(block);
    }
  } catch (error) {
    throw missingPackage(error);
  }
  return hasher.digest('hex');
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "''")}'`;
}

function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && error.code === 'ENOSPC') || error.message.includes('No space left');
}
