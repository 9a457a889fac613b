import { createRequire } from 'node:module';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, it } from 'vitest';
import { parseRegistration } from '../../src/catalog/dataset.ts';
import { boundsOf, dictionariesOf, publishedOf } from '../../src/catalog/published.ts';
import { FLIGHT_HOLDERS, prepareFlights } from '../../src/cli/demo/flights-data.ts';
import { FLIGHT_TABLES } from '../../src/cli/demo/flights-registration.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { inTemporaryDirectory, plainAnswer } from '../support/source-tables.ts';

const silent = (): void => undefined;

function sourceFile(): string {
  const main = createRequire(import.meta.url).resolve('vega-datasets');
  return join(dirname(dirname(main)), 'data', 'flights-3m.parquet');
}

describe('demo flights', () => {
  it('gives every flight to one holder a table, once, and makes anew what was damaged', async () => {
    await inTemporaryDirectory(async (directory) => {
      const notes: string[] = [];
      const made = await prepareFlights(directory, (_, note) => notes.push(note));
      expect(made.unassigned).toEqual({ departures: 0, arrivals: 0 });
      for (const table of FLIGHT_TABLES) {
        const parts = made.files.filter((file) => file.table === table);
        expect(parts.reduce((rows, part) => rows + part.rows, 0)).toBe(3_000_000);
      }
      const part = join(directory, 'west', 'departures.parquet');
      const registration = join(directory, 'west', 'departures.dataset.json');
      const before = await stat(part);
      await writeFile(registration, '{"edited":true}');
      notes.length = 0;
      expect(await prepareFlights(directory, (_, note) => notes.push(note))).toEqual(made);
      expect((await stat(part)).mtimeMs).toBe(before.mtimeMs);
      expect(await readFile(registration, 'utf8')).toBe('{"edited":true}');
      expect(notes.some((note) => note.startsWith('writing'))).toBe(false);
      await truncate(part, before.size - 1);
      expect((await prepareFlights(directory, silent)).files).toEqual(made.files);
      expect((await stat(part)).size).toBe(before.size);
    });
  });

  it('adds up, through the domains’ own sources, to the union of the parts', async () => {
    await inTemporaryDirectory(async (directory) => {
      await prepareFlights(directory, silent);
      const total = { flights: 0n, delay: 0n, squares: 0n };
      for (const holder of FLIGHT_HOLDERS) {
        const folder = join(directory, holder);
        const path = join(folder, 'departures.dataset.json');
        const registration = parseRegistration(await readFile(path, 'utf8'), path);
        const source = await openDuckDbSource({
          registration,
          directory: folder,
          spillDirectory: join(folder, 'spill'),
          limits: DEFAULT_ENGINE_LIMITS,
        });
        const published = publishedOf(
          registration,
          await source.describe(),
          { holder: PartyIdSchema.parse(holder), fingerprintSecret: new Uint8Array(32) },
          '2026-01-01T00:00:00Z',
        );
        expect(published.rowsMax).toBe(holder === 'east' ? 2 ** 21 : 2 ** 20);
        const [hour] = dictionariesOf(published).filter(({ column }) => column === 'hour');
        const [delay] = boundsOf(published).filter(({ column }) => column === 'delay');
        if (hour === undefined || delay === undefined) throw new Error('not published');
        const answer = plainAnswer(
          await source.aggregate({
            groups: [hour],
            chosen: [undefined],
            sums: [{ ...delay, squares: true }],
          }),
        );
        const sum = (cells: readonly bigint[]) => cells.reduce((all, cell) => all + cell, 0n);
        expect(answer.counts.at(-1)).toBe(0n);
        total.flights += sum(answer.counts);
        total.delay += sum(answer.columns[0]?.sums ?? []);
        total.squares += sum(answer.columns[0]?.squares ?? []);
        await source.close();
      }
      const instance = await DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      const reader = await connection.runAndReadAll(
        `SELECT count(*), sum(delay), sum(delay * delay) FROM '${sourceFile()}'`,
      );
      expect(reader.getRows()).toEqual([[total.flights, total.delay, total.squares]]);
      connection.closeSync();
      instance.closeSync();
    });
  });
});
