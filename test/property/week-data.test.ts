import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, it } from 'vitest';
import { parseRegistration } from '../../src/catalog/dataset.ts';
import { prepareFlights } from '../../src/cli/demo/flights-data.ts';
import { prepareWeek } from '../../src/cli/demo/week-data.ts';
import { WEEK_TABLES } from '../../src/cli/demo/week-registration.ts';
import { inTemporaryDirectory } from '../support/source-tables.ts';

const silent = (): void => undefined;

describe('a week of flights for matching', () => {
  it('is west’s departures, and east’s arrivals of which some are missing and some are late', async () => {
    await inTemporaryDirectory(async (directory) => {
      const flights = await prepareFlights(directory, silent);
      const notes: string[] = [];
      await prepareWeek(directory, flights, (_, note) => notes.push(note));
      const west = join(directory, 'west', `${WEEK_TABLES.west}.parquet`);
      const east = join(directory, 'east', `${WEEK_TABLES.east}.parquet`);
      const instance = await DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      const one = async (statement: string): Promise<number> =>
        Number((await connection.runAndReadAll(statement)).getRows()[0]?.[0]);
      const tallied = (path: string): string =>
        `(SELECT date::DATE AS day, origin, destination, count(*) AS n FROM '${path}' GROUP BY ALL)`;
      const all = join(directory, 'east', 'arrivals.parquet');
      const whole = await one(`SELECT count(*) FROM '${all}' WHERE date < TIMESTAMP '2001-01-08'`);
      const kept = await one(`SELECT count(*) FROM '${east}'`);
      expect(1 - kept / whole).toBeGreaterThan(0.025);
      expect(1 - kept / whole).toBeLessThan(0.035);
      const late = await one(`SELECT count(*) FROM '${east}' WHERE date >= TIMESTAMP '2001-01-08'`);
      expect(late).toBeGreaterThan(0);
      // A partial match: what the demonstration counts without showing it.
      const shared = await one(
        `SELECT sum(least(w.n, e.n)) FROM ${tallied(west)} w JOIN ${tallied(east)} e USING (day, origin, destination)`,
      );
      const both = await one(
        `SELECT count(*) FROM '${west}' WHERE destination IN (SELECT DISTINCT destination FROM '${all}')`,
      );
      expect(shared).toBeGreaterThan(both * 0.9);
      expect(shared).toBeLessThan(both);
      connection.closeSync();
      instance.closeSync();

      const registration = join(directory, 'east', `${WEEK_TABLES.east}.dataset.json`);
      expect(parseRegistration(await readFile(registration, 'utf8'), registration).name).toBe(
        WEEK_TABLES.east,
      );
      const before = await stat(east);
      notes.length = 0;
      await prepareWeek(directory, flights, (_, note) => notes.push(note));
      expect(notes).toEqual([]);
      expect((await stat(east)).mtimeMs).toBe(before.mtimeMs);
      const bytes = await readFile(east);
      await rm(east);
      await prepareWeek(directory, flights, silent);
      // The same files once more: drawn by the seed, not by chance.
      expect((await readFile(east)).equals(bytes)).toBe(true);
    });
  });
});
