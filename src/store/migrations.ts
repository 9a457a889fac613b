/**
 * Schema changes: forward only, numbered within an area, checksummed, each applied in a
 * transaction. Every area brings its own list; a store is opened with all lists it holds.
 * The SQL is the subset both dialects read: TEXT, BIGINT, BYTEA, BOOLEAN-free; no rowid tricks.
 */
import { createHash } from 'node:crypto';
import { SetupError } from '../errors.ts';
import type { Database } from './database.ts';
import type { Row } from './store.ts';

export interface Migration {
  /** 1, 2, 3 … without gaps. A published one never changes: its checksum is in every store. */
  readonly number: number;
  readonly sql: string;
  /** Where PostgreSQL needs other words, or more (functions). */
  readonly postgres?: string;
}

export interface MigrationList {
  /** The folder that owns the tables: `ledger`, `audit`, `contracts` … */
  readonly area: string;
  readonly migrations: readonly Migration[];
}

export interface AppliedMigration {
  readonly area: string;
  readonly number: number;
  readonly checksum: string;
}

export interface PlannedMigration extends AppliedMigration {
  readonly sql: string;
}

/** Where a store keeps what was applied to it. */
export const MIGRATION_TABLE = `CREATE TABLE IF NOT EXISTS schema_migration (
  area TEXT NOT NULL, number BIGINT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (area, number))`;
export const MIGRATION_INSERT =
  'INSERT INTO schema_migration (area, number, checksum) VALUES (?, ?, ?)';
export const MIGRATION_SELECT = 'SELECT area, number, checksum FROM schema_migration';

/**
 * The migrations still to apply, in order of area and number.
 * @throws SetupError `config-invalid` where the store is newer than this program, or its applied
 *   migrations are not the ones this program knows.
 */
export function planMigrations(
  lists: readonly MigrationList[],
  applied: readonly AppliedMigration[],
  dialect: 'sqlite' | 'postgres',
): readonly PlannedMigration[] {
  const known = new Map<string, PlannedMigration>();
  const areas = new Set<string>();
  for (const list of lists) {
    if (areas.has(list.area)) throw new SetupError('config-invalid', twice(list.area));
    areas.add(list.area);
    for (const [index, migration] of list.migrations.entries()) {
      if (migration.number !== index + 1) throw new SetupError('config-invalid', gap(list.area));
      const sql = dialect === 'postgres' ? (migration.postgres ?? migration.sql) : migration.sql;
      const checksum = createHash('sha256').update(sql).digest('hex');
      known.set(`${list.area}/${migration.number}`, {
        ...migration,
        area: list.area,
        checksum,
        sql,
      });
    }
  }
  const done = new Set<string>();
  for (const each of applied) {
    const name = `${each.area}/${each.number}`;
    const match = known.get(name);
    if (match === undefined) throw new SetupError('config-invalid', newer(name));
    if (match.checksum !== each.checksum) throw new SetupError('config-invalid', altered(name));
    done.add(name);
  }
  return [...known].filter(([name]) => !done.has(name)).map(([, migration]) => migration);
}

/** Brings an SQLite database to the lists' newest schema. @throws SetupError `config-invalid` */
export function migrate(db: Database, lists: readonly MigrationList[]): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    db.exec(MIGRATION_TABLE);
    const applied = db.all(MIGRATION_SELECT, []).map(parseApplied);
    for (const migration of planMigrations(lists, applied, 'sqlite')) {
      db.exec(migration.sql);
      db.run(MIGRATION_INSERT, [migration.area, migration.number, migration.checksum]);
    }
    db.exec('COMMIT');
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** A row of `schema_migration`. */
export function parseApplied(row: Row): AppliedMigration {
  return {
    area: String(row['area']),
    number: Number(row['number']),
    checksum: String(row['checksum']),
  };
}

const newer = (name: string): string =>
  `The store holds schema ${name}, which this version of weir does not know: run the version that wrote it, or a later one.`;
const altered = (name: string): string =>
  `The store's schema ${name} is not the one this version of weir applies: restore the store from a backup, or run the version that wrote it.`;
const twice = (area: string): string => `Two migration lists claim the area ${area}.`;
const gap = (area: string): string => `The migrations of ${area} are not numbered 1, 2, 3 ….`;
