import { describe, expect, it } from 'vitest';
import { planMigrations, type MigrationList } from '../../src/store/migrations.ts';

const lists: readonly MigrationList[] = [
  {
    area: 'a',
    migrations: [
      { number: 1, sql: 'one' },
      { number: 2, sql: 'two' },
    ],
  },
  { area: 'b', migrations: [{ number: 1, sql: 'three', postgres: 'drei' }] },
];

describe('planMigrations', () => {
  it('applies what is missing, in order, and nothing twice', () => {
    const all = planMigrations(lists, [], 'sqlite');
    expect(all.map((each) => each.sql)).toEqual(['one', 'two', 'three']);
    expect(planMigrations(lists, all.slice(0, 1), 'sqlite').map((each) => each.sql)).toEqual([
      'two',
      'three',
    ]);
    expect(planMigrations(lists, all, 'sqlite')).toEqual([]);
  });

  it('takes the words of the dialect', () => {
    expect(planMigrations(lists, [], 'postgres').map((each) => each.sql)).toContain('drei');
  });

  it('refuses a newer store, an unknown area and an altered migration, each with one sentence', () => {
    const all = planMigrations(lists, [], 'sqlite');
    const first = all[0];
    if (first === undefined) throw new Error('no migration');
    expect(() => planMigrations(lists, [{ ...first, number: 3 }], 'sqlite')).toThrow(
      /a\/3, which this version of weir does not know/,
    );
    expect(() => planMigrations(lists, [{ ...first, area: 'z' }], 'sqlite')).toThrow(/z\/1/);
    expect(() => planMigrations(lists, [{ ...first, checksum: '00' }], 'sqlite')).toThrow(
      /not the one this version of weir applies/,
    );
  });

  it('refuses gaps and two lists for one area', () => {
    const gap: MigrationList = { area: 'c', migrations: [{ number: 2, sql: 'x' }] };
    expect(() => planMigrations([gap], [], 'sqlite')).toThrow(/numbered/);
    expect(() => planMigrations([...lists, ...lists], [], 'sqlite')).toThrow(/claim the area/);
  });
});
