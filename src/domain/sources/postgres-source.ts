/**
 * A table of the holder's PostgreSQL as a source: grouped passes are pushed down, key columns come
 * by cursor, and every answer is of the very data that was described before it.
 */
import { mkdir, mkdtemp, rm, chmod } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type {
  AnonymityExaminer,
  AnonymityFigures,
  AnonymityQuestion,
} from '../../catalog/anonymity.ts';
import type {
  AggregateAnswer,
  AggregateQuery,
  Concentrations,
  DataSource,
  SourceDescription,
  UnitItems,
} from '../../catalog/data-source.ts';
import { type DatasetRegistration, grantedAtAll, grantedFor } from '../../catalog/dataset.ts';
import {
  AbortError,
  assertInvariant,
  InputError,
  PolicyError,
  SetupError,
  StateError,
} from '../../errors.ts';
import { canonicalBytes } from '../../system/canonical-json.ts';
import { cellsOf } from './aggregate-sql.ts';
import { emptyConcentrations, writeConcentration } from './concentration-sql.ts';
import { columnBook, type ColumnBook } from './column-sql.ts';
import type { EngineLimits } from './engine-limits.ts';
import { CHUNK_ROWS_MAX, refuseOverflow } from './source-limits.ts';
import {
  postgresSession,
  postgresStream,
  readConnectionFile,
  type PostgresAccess,
  type PostgresSession,
  type TextRow,
} from './postgres-engine.ts';
import { storedPostgresKinds } from './postgres-sql.ts';
import {
  postgresAggregate,
  postgresAnonymity,
  postgresColumns,
  postgresConcentration,
  postgresRelation,
  postgresUnitItems,
  tableName,
  versionStatement,
} from './postgres-statements.ts';
import { literal, sql, type Sql } from './sql-text.ts';
import { TextLanes } from './text-lanes.ts';

export interface PostgresSourceOptions {
  readonly registration: DatasetRegistration;
  /** What the connection file's path is relative to: where the registration lies. */
  readonly directory: string;
  /** This dataset's own spill directory; what a crash left in it is removed. */
  readonly spillDirectory: string;
  readonly limits: Pick<EngineLimits, 'statementMs'>;
}

/** The table as it was when last described. */
interface Version {
  readonly book: ColumnBook;
  readonly relationFor: (purpose: string | undefined) => Sql;
  readonly examined: Sql;
  readonly types: readonly (readonly [string, string])[];
  readonly rowCount: number;
  readonly content: readonly string[];
  readonly snapshot: string;
}

/** Tables and materialised views: data that changes only by a transaction of this database. */
const STORED_KINDS = ['r', 'm'];

/**
 * Opens a source: reads the credentials, checks columns and types.
 * @throws SetupError `source-missing`, `source-unreadable`, `config-invalid`, `tls-required`
 */
export async function openPostgresSource(
  options: PostgresSourceOptions,
): Promise<DataSource & AnonymityExaminer> {
  const { source } = options.registration;
  if (source.kind !== 'postgres')
    throw new SetupError('config-invalid', 'Not a PostgreSQL source.');
  await rm(options.spillDirectory, { recursive: true, force: true });
  await mkdir(options.spillDirectory, { recursive: true, mode: 0o700 });
  await chmod(options.spillDirectory, 0o700);
  const file = resolve(options.directory, source.connectionFile);
  const access = readConnectionFile(file, options.limits.statementMs);
  const opened = new PostgresSource(options, access, tableName(source.schema, source.table));
  await opened.describe();
  return opened;
}

class PostgresSource implements DataSource, AnonymityExaminer {
  readonly #options: PostgresSourceOptions;
  readonly #access: PostgresAccess;
  readonly #table: Sql;
  #version: Version | undefined;
  #isClosed = false;

  constructor(options: PostgresSourceOptions, access: PostgresAccess, table: Sql) {
    this.#options = options;
    this.#access = access;
    this.#table = table;
  }

  async describe(signal?: AbortSignal): Promise<SourceDescription> {
    this.#refuseClosed();
    const { registration } = this.#options;
    const version = await this.#session(signal, (session) => this.#look(session));
    this.#refuseClosed();
    this.#version = version;
    const { columns, consent } = registration;
    return {
      columns: columns.map(({ name, type }) => ({ name, type })),
      rowCount: version.rowCount,
      // How the columns are read is part of what the data says.
      versionMaterial: canonicalBytes({
        reading: { types: version.types, columns, consent: consent ?? null },
        content: version.content,
      }),
    };
  }

  /** @throws as the DuckDB source's */
  async aggregate(query: AggregateQuery, signal?: AbortSignal): Promise<AggregateAnswer> {
    const version = this.#described();
    refuseOverflow(query, version.rowCount);
    const { statement, values, cells } = postgresAggregate(
      version.book,
      version.relationFor(query.purpose),
      query,
    );
    const lanes = new TextLanes(query, cells);
    const engineMs = await this.#session(signal, async (session) => {
      await this.#refuseDrift(session, version);
      const started = performance.now();
      for await (const rows of session.stream(statement, values)) {
        for (const row of rows) lanes.write(row);
      }
      return performance.now() - started;
    });
    return lanes.answer(engineMs);
  }

  async unitItems(
    query: AggregateQuery,
    take: (items: UnitItems) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const version = this.#described();
    const { statement, values } = postgresUnitItems(
      version.book,
      version.relationFor(query.purpose),
      query,
    );
    await this.#session(signal, async (session) => {
      await this.#refuseDrift(session, version);
      for await (const rows of session.stream(statement, values)) {
        take(unitItemsOf(rows, 1 + query.sums.length));
      }
    });
  }

  async concentrations(
    query: AggregateQuery,
    largest: number,
    signal?: AbortSignal,
  ): Promise<readonly Concentrations[]> {
    const version = this.#described();
    refuseOverflow(query, version.rowCount);
    const relation = version.relationFor(query.purpose);
    const all = query.sums.map(() => emptyConcentrations(cellsOf(query)));
    await this.#session(signal, async (session) => {
      await this.#refuseDrift(session, version);
      for (const [index, answer] of all.entries()) {
        const asked = postgresConcentration(version.book, relation, query, index, largest);
        for await (const rows of session.stream(asked.statement, asked.values)) {
          for (const row of rows) writeConcentration(answer, row);
        }
      }
    });
    return all;
  }

  async examine(question: AnonymityQuestion, signal?: AbortSignal): Promise<AnonymityFigures> {
    const version = this.#described();
    const statement = postgresAnonymity(version.book, version.examined, question);
    return this.#session(signal, async (session) => {
      await this.#refuseDrift(session, version);
      const [row] = await session.rows(statement);
      assertInvariant(row !== undefined, 'figures are one row');
      const figure = (index: number): number => Number(row[index]);
      return {
        rows: figure(0),
        units: figure(1),
        classes: figure(2),
        k: figure(3),
        unique: figure(4),
        below5: figure(5),
        below10: figure(6),
        l: question.sensitive.map((column, index) => ({ column, distinct: figure(7 + index) })),
      };
    });
  }

  async *streamColumns(
    columns: readonly string[],
    chunkRows: number,
    signal?: AbortSignal,
    purpose?: string,
  ): AsyncGenerator<readonly TextRow[], void, undefined> {
    if (!Number.isInteger(chunkRows) || chunkRows < 1 || chunkRows > CHUNK_ROWS_MAX) {
      throw new InputError('parameter-invalid', 'The chunk size is out of range.');
    }
    const version = this.#described();
    const statement = postgresColumns(version.book, version.relationFor(purpose), columns);
    const refuse = (session: PostgresSession): Promise<void> => this.#refuseDrift(session, version);
    const stream = postgresStream(this.#access, signal, async function* (session) {
      await refuse(session);
      let pending: TextRow[] = [];
      for await (const rows of session.stream(statement, [], chunkRows)) {
        for (const row of rows) {
          pending.push(row);
          if (pending.length < chunkRows) continue;
          yield pending;
          pending = [];
        }
      }
      if (pending.length > 0) yield pending;
    });
    try {
      yield* stream;
    } catch (error) {
      throw atWork(error);
    }
  }

  async spillDirectory(): Promise<string> {
    this.#refuseClosed();
    return mkdtemp(join(this.#options.spillDirectory, 'protocol-'));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await rm(this.#options.spillDirectory, { recursive: true, force: true });
  }

  /** The table in this session's snapshot; its rows are read again only where some may have changed. */
  async #look(session: PostgresSession): Promise<Version> {
    const { registration } = this.#options;
    const types = await this.#types(session);
    const known = this.#version;
    const isSame =
      known !== undefined &&
      known.snapshot === session.snapshot &&
      JSON.stringify(known.types) === JSON.stringify(types);
    if (isSame && (await this.#isStored(session))) return known;
    const book = columnBook(registration, storedPostgresKinds(registration, new Map(types)));
    const { consent } = registration;
    const consenting = (granted: readonly string[]): Sql =>
      postgresRelation(registration, this.#table, book, granted);
    const [content = []] = await session.rows(versionStatement(registration, this.#table));
    return {
      book,
      relationFor: (purpose) =>
        consenting(consent === undefined ? [] : grantedFor(consent, purpose)),
      examined: consenting(consent === undefined ? [] : grantedAtAll(consent)),
      types,
      rowCount: Number(content[0]),
      content: content.map(String),
      snapshot: session.snapshot,
    };
  }

  /** Names and types of the registered columns, as the table has them now. */
  async #types(session: PostgresSession): Promise<(readonly [string, string])[]> {
    const wanted = new Set(
      this.#options.registration.columns.map(({ name, sourceName }) => sourceName ?? name),
    );
    const rows = await session.rows(
      sql`SELECT CAST(attname AS text), format_type(atttypid, NULL) FROM pg_attribute
          WHERE attrelid = CAST(${literal(this.#table)} AS regclass) AND attnum > 0
          AND NOT attisdropped ORDER BY attnum`,
    );
    return rows
      .map(([name, type]): readonly [string, string] => [String(name), String(type)])
      .filter(([name]) => wanted.has(name));
  }

  async #isStored(session: PostgresSession): Promise<boolean> {
    const [row] = await session.rows(
      sql`SELECT CAST(relkind AS text) FROM pg_class
          WHERE oid = CAST(${literal(this.#table)} AS regclass)`,
    );
    return STORED_KINDS.includes(row?.[0] ?? '');
  }

  /** In the very snapshot that is about to be answered from. */
  async #refuseDrift(session: PostgresSession, version: Version): Promise<void> {
    const now = await this.#look(session);
    const isSame =
      JSON.stringify([now.types, now.content]) === JSON.stringify([version.types, version.content]);
    if (isSame) return;
    throw new PolicyError('dataset-drifted', 'The data changed since it was described.', {
      remedy: 'run again: the next run describes the data as it is now',
    });
  }

  async #session<T>(
    signal: AbortSignal | undefined,
    work: (session: PostgresSession) => Promise<T>,
  ): Promise<T> {
    try {
      return await postgresSession(this.#access, signal, work);
    } catch (error) {
      throw this.#version === undefined ? error : atWork(error);
    }
  }

  #described(): Version {
    this.#refuseClosed();
    assertInvariant(this.#version !== undefined, 'a source is described when it opens');
    return this.#version;
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw new StateError('run-cancelled', 'The source is closed.');
  }
}

/** What would stop a start ends a run instead: its reason is for the other parties as well. */
function atWork(error: unknown): unknown {
  if (!(error instanceof SetupError)) return error;
  const { column } = error.facts;
  if (column === undefined) return new AbortError('domain-failed', error.message, error.facts);
  // Its sentence may hold the table's own names, which stay here.
  return new PolicyError('dataset-drifted', 'The table is not as it was registered.', {
    column,
    remedy: 'The holder registers the table as it is now.',
  });
}

/** Digests in hexadecimal as bytes: the same 16 as the files' source makes of the same unit. */
function unitItemsOf(rows: readonly TextRow[], kinds: number): UnitItems {
  return {
    cells: Uint32Array.from(rows, (row) => Number(row[0])),
    items: Array.from({ length: kinds }, (_, kind) => {
      const hex = rows.map((row) => row[1 + kind] ?? '');
      // The files' engine gives the second half first.
      const swapped = hex.map((digest) => digest.slice(16) + digest.slice(0, 16));
      return new Uint8Array(Buffer.from(swapped.join(''), 'hex'));
    }),
  };
}
