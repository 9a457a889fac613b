import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mockRegistration, mockRows } from '../../src/catalog/mock-rows.ts';
import { boundsOf, dictionariesOf } from '../../src/catalog/published.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { publishFlights } from '../support/published-flights.ts';
import { inTemporaryDirectory, plainAnswer } from '../support/source-tables.ts';

describe('mock rows', () => {
  const [first, second] = HOLDERS;
  if (first === undefined || second === undefined) throw new Error('no holders');
  const dataset = publishFlights(first);

  it('are the same for the same seed, and others for another seed or holder', () => {
    const rows = [...mockRows(dataset, 50, 'seed')];
    expect([...mockRows(dataset, 50, 'seed')]).toEqual(rows);
    expect([...mockRows(dataset, 50, 'seed 2')]).not.toEqual(rows);
    expect([...mockRows(publishFlights(second), 50, 'seed')]).not.toEqual(rows);
  });

  it('fill every published partition through the very source that reads real data', async () => {
    await inTemporaryDirectory(async (directory) => {
      const lines = [...mockRows(dataset, 5000, 'seed')].map((row) => JSON.stringify(row));
      await writeFile(join(directory, 'mock.json'), lines.join('\n'));
      const source = await openDuckDbSource({
        registration: mockRegistration(dataset, 'mock.json'),
        directory,
        spillDirectory: join(directory, 'spill'),
        limits: DEFAULT_ENGINE_LIMITS,
      });
      const wide = boundsOf(dataset).map((entry) => ({ ...entry, squares: true }));
      for (const partition of dataset.partitions) {
        const groups = partition.flatMap((name) =>
          dictionariesOf(dataset).filter(({ column }) => column === name),
        );
        const chosen = groups.map(() => undefined);
        const answer = plainAnswer(await source.aggregate({ groups, chosen, sums: wide }));
        expect(answer.counts.reduce((all, cell) => all + cell, 0n)).toBe(5000n);
        const filled = answer.counts.filter((cell) => cell > 0n).length;
        expect(filled).toBeGreaterThan(answer.counts.length / 2);
      }
      await source.close();
    });
  });

  it('stay within the published bounds, so that clamping changes none of them', () => {
    for (const row of mockRows(dataset, 5000, 'seed')) {
      for (const { column, minimum, maximum } of boundsOf(dataset)) {
        const value = row[column];
        if (value === null || value === undefined) continue;
        expect(Number(value)).toBeGreaterThanOrEqual(Number(minimum));
        expect(Number(value)).toBeLessThanOrEqual(Number(maximum));
      }
    }
  });

  it.each(['integer', 'text', 'date', 'timestamp', 'decimal'] as const)(
    'name persons by a column of type %s, and labels of every type, as the source reads them',
    async (type) => {
      const labelled = { usage: ['group' as const] };
      const visits = publishFlights(first, {
        name: 'visits',
        privacyUnit: 'patient',
        personalInformation: 'personal',
        anonymisationAssessment: 'none: made for a test',
        partitions: [['year'], ['day']],
        columns: [
          { name: 'patient', type, usage: ['join'] },
          { name: 'year', type: 'integer', labels: ['2023', '2024'], ...labelled },
          { name: 'day', type: 'date', labels: ['2024-01-01', '2024-02-29'], ...labelled },
        ],
      });
      await inTemporaryDirectory(async (directory) => {
        const lines = [...mockRows(visits, 1000, 'seed')].map((row) => JSON.stringify(row));
        await writeFile(join(directory, 'mock.json'), lines.join('\n'));
        const source = await openDuckDbSource({
          registration: mockRegistration(visits, 'mock.json'),
          directory,
          spillDirectory: join(directory, 'spill'),
          limits: DEFAULT_ENGINE_LIMITS,
        });
        const persons = new Set<string | null>();
        for await (const rows of source.streamColumns(['patient'], 100))
          for (const [person] of rows) persons.add(person ?? null);
        expect(persons.has(null)).toBe(false);
        expect(persons.size).toBeGreaterThan(100);
        for (const column of ['year', 'day']) {
          const groups = dictionariesOf(visits).filter((one) => one.column === column);
          const perUnit = { cellsMax: 1, rowsPerCellMax: 1 };
          const query = { groups, chosen: [undefined], sums: [] };
          // Each label has its rows, few are of none; and each person is counted, once.
          const [low = 0n, high = 0n, other = 0n] = plainAnswer(
            await source.aggregate(query),
          ).counts;
          expect(Math.min(Number(low), Number(high))).toBeGreaterThan(100);
          expect(Number(other)).toBeLessThan(50);
          const { counts } = plainAnswer(await source.aggregate({ ...query, perUnit }));
          expect(counts.reduce((all, cell) => all + cell, 0n)).toBe(BigInt(persons.size));
        }
        await source.close();
      });
    },
  );
});
