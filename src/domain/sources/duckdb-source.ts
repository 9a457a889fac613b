/**
 * The domain's first source: Parquet, CSV and JSON files through a locked DuckDB of their own.
 * One instance a dataset: a statement over one dataset could not reach another one's files.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  AggregateAnswer,
  AggregateQuery,
  Concentrations,
  DataSource,
  SourceDescription,
  UnitItems,
} from '../../catalog/data-source.ts';
import type {
  AnonymityExaminer,
  AnonymityFigures,
  AnonymityQuestion,
} from '../../catalog/anonymity.ts';
import {
  type DatasetRegistration,
  filesOf,
  grantedAtAll,
  grantedFor,
} from '../../catalog/dataset.ts';
import { assertInvariant, InputError, PolicyError, StateError } from '../../errors.ts';
import { canonicalBytes } from '../../system/canonical-json.ts';
import { anonymityStatement, readFigures } from './anonymity-sql.ts';
import { readUnitItems, unitItemsStatement } from './unit-sql.ts';
import { aggregateStatement, cellRows } from './aggregate-sql.ts';
import {
  concentrationStatement,
  emptyConcentrations,
  writeConcentration,
} from './concentration-sql.ts';
import { columnBook, textOf, type ColumnBook } from './column-sql.ts';
import { openDuckDbEngine, type DuckDbEngine } from './duckdb-engine.ts';
import type { EngineLimits } from './engine-limits.ts';
import { LaneWriter } from './lanes.ts';
import {
  consentingRelation,
  countStatement,
  describeStatement,
  filesRelation,
  readTypes,
  selectStatement,
  storedKinds,
} from './relation-sql.ts';
import { CHUNK_ROWS_MAX, refuseOverflow } from './source-limits.ts';
import { ContentHashes, findSourceFiles, isUnchanged, type SourceFile } from './source-files.ts';
import { sql, type Sql } from './sql-text.ts';

export interface DuckDbSourceOptions {
  readonly registration: DatasetRegistration;
  /** What relative file patterns are relative to: where the registration lies. */
  readonly directory: string;
  /** This dataset's own spill directory; what a crash left in it is removed. */
  readonly spillDirectory: string;
  readonly limits: EngineLimits;
}

/** The files as they were when last described, with the engine that may read exactly them. */
interface Version {
  readonly files: readonly SourceFile[];
  readonly engine: DuckDbEngine;
  readonly book: ColumnBook;
  /** The rows that consent to a purpose, and those that consent to anything. */
  readonly relationFor: (purpose: string | undefined) => Sql;
  readonly examined: Sql;
  readonly rowCount: number;
}

/**
 * Opens a source: finds its files, locks an engine to them, and checks columns and types.
 * @throws SetupError `source-missing` or `source-unreadable`, in one sentence for the data officer.
 */
export async function openDuckDbSource(
  options: DuckDbSourceOptions,
): Promise<DataSource & AnonymityExaminer> {
  await rm(options.spillDirectory, { recursive: true, force: true });
  await mkdir(join(options.spillDirectory, 'engine'), { recursive: true, mode: 0o700 });
  await chmod(options.spillDirectory, 0o700);
  const hashes = new ContentHashes();
  const version = await openVersion(options);
  return new DuckDbSource(options, hashes, version);
}

class DuckDbSource implements DataSource, AnonymityExaminer {
  readonly #options: DuckDbSourceOptions;
  readonly #hashes: ContentHashes;
  #version: Version | undefined;
  #renewal: Promise<Version> | undefined;

  constructor(options: DuckDbSourceOptions, hashes: ContentHashes, version: Version) {
    this.#options = options;
    this.#hashes = hashes;
    this.#version = version;
  }

  async describe(signal?: AbortSignal): Promise<SourceDescription> {
    const { registration } = this.#options;
    const version = await this.#currentVersion();
    const files: { file: string; sha256: string }[] = [];
    for (const file of version.files) {
      const hash = await this.#hashes.of(file, signal);
      files.push({ file: file.label, sha256: hash.toString('hex') });
    }
    await refuseDrift(version);
    const { columns, consent } = registration;
    const source = filesOf(registration);
    return {
      columns: columns.map(({ name, type }) => ({ name, type })),
      rowCount: version.rowCount,
      // How the bytes are read is part of what the data says.
      versionMaterial: canonicalBytes({
        reading: {
          format: source.format,
          delimiter: source.delimiter ?? ',',
          columns,
          consent: consent ?? null,
        },
        files,
      }),
    };
  }

  /**
   * One grouped pass.
   * @throws InputError `column-unknown`, `parameter-invalid`, `too-many-cells`, or
   * `overflow-possible` where rows × bounds leave a lane; PolicyError `dataset-drifted` where a file
   * changed since it was described; and what the engine throws.
   */
  async aggregate(query: AggregateQuery, signal?: AbortSignal): Promise<AggregateAnswer> {
    const version = this.#openVersion();
    await refuseDrift(version);
    refuseOverflow(query, version.rowCount);
    const { statement, tables, cells } = aggregateStatement(
      version.book,
      version.relationFor(query.purpose),
      query,
    );
    const lanes = new LaneWriter(query, cells);
    const engineMs = await version.engine.session(signal, async (session) => {
      const started = performance.now();
      for (const { name, labels, positions } of tables) {
        await session.run(sql`CREATE TEMP TABLE ${name} (label VARCHAR, position INTEGER)`);
        await session.append(name, pairs(labels, positions));
      }
      await session.read(statement, (chunk) => lanes.write(chunk));
      return performance.now() - started;
    });
    await refuseDrift(version);
    return lanes.answer(engineMs);
  }

  async unitItems(
    query: AggregateQuery,
    take: (items: UnitItems) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const version = this.#openVersion();
    await refuseDrift(version);
    const { tables, from } = cellRows(version.book, version.relationFor(query.purpose), query);
    const statement = unitItemsStatement(version.book, query, from);
    await version.engine.session(signal, async (session) => {
      for (const { name, labels, positions } of tables) {
        await session.run(sql`CREATE TEMP TABLE ${name} (label VARCHAR, position INTEGER)`);
        await session.append(name, pairs(labels, positions));
      }
      await session.read(statement, (chunk) => take(readUnitItems(chunk, 1 + query.sums.length)));
    });
    await refuseDrift(version);
  }

  async concentrations(
    query: AggregateQuery,
    largest: number,
    signal?: AbortSignal,
  ): Promise<readonly Concentrations[]> {
    const version = this.#openVersion();
    await refuseDrift(version);
    refuseOverflow(query, version.rowCount);
    const { tables, from, cells } = cellRows(
      version.book,
      version.relationFor(query.purpose),
      query,
    );
    const all = query.sums.map(() => emptyConcentrations(cells));
    await version.engine.session(signal, async (session) => {
      for (const { name, labels, positions } of tables) {
        await session.run(sql`CREATE TEMP TABLE ${name} (label VARCHAR, position INTEGER)`);
        await session.append(name, pairs(labels, positions));
      }
      for (const [index, answer] of all.entries()) {
        const statement = concentrationStatement(version.book, query, from, index, largest);
        await session.read(statement, (chunk) => {
          for (const row of chunk.getRows()) writeConcentration(answer, row);
        });
      }
    });
    await refuseDrift(version);
    return all;
  }

  async examine(question: AnonymityQuestion, signal?: AbortSignal): Promise<AnonymityFigures> {
    const version = this.#openVersion();
    await refuseDrift(version);
    const statement = anonymityStatement(version.book, version.examined, question);
    let figures: AnonymityFigures | undefined;
    await version.engine.session(signal, (session) =>
      session.read(statement, (chunk) => {
        figures = readFigures(chunk, question);
      }),
    );
    await refuseDrift(version);
    assertInvariant(figures !== undefined, 'an examination has one row');
    return figures;
  }

  async *streamColumns(
    columns: readonly string[],
    chunkRows: number,
    signal?: AbortSignal,
    purpose?: string,
  ): AsyncGenerator<readonly (readonly (string | null)[])[], void, undefined> {
    if (!Number.isInteger(chunkRows) || chunkRows < 1 || chunkRows > CHUNK_ROWS_MAX) {
      throw new InputError('parameter-invalid', 'The chunk size is out of range.');
    }
    const version = this.#openVersion();
    await refuseDrift(version);
    const texts = columns.map((name) => textOf(version.book, name));
    let pending: (string | null)[][] = [];
    for await (const chunk of version.engine.stream(
      signal,
      selectStatement(version.relationFor(purpose), texts),
    )) {
      const values = columns.map((_, index) => chunk.getColumnValues(index));
      const { rowCount } = chunk;
      for (let row = 0; row < rowCount; row += 1) {
        pending.push(values.map((column) => (column[row] ?? null) as string | null));
        if (pending.length < chunkRows) continue;
        yield pending;
        pending = [];
      }
    }
    await refuseDrift(version);
    if (pending.length > 0) yield pending;
  }

  async spillDirectory(): Promise<string> {
    this.#openVersion();
    return mkdtemp(join(this.#options.spillDirectory, 'protocol-'));
  }

  async close(): Promise<void> {
    this.#version?.engine.close();
    this.#version = undefined;
    await rm(this.#options.spillDirectory, { recursive: true, force: true });
  }

  #openVersion(): Version {
    if (this.#version === undefined) throw new StateError('run-cancelled', 'The source is closed.');
    return this.#version;
  }

  /** The files as they are now. Callers at once share one look, so that none opens a second engine. */
  async #currentVersion(): Promise<Version> {
    this.#renewal ??= this.#renewed(this.#openVersion()).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** The known version, or where files changed, theirs, under a lock of its own. */
  async #renewed(known: Version): Promise<Version> {
    const { directory, registration } = this.#options;
    const files = await findSourceFiles(directory, filesOf(registration).files);
    const isSame =
      files.length === known.files.length &&
      files.every((file, index) => {
        const before = known.files[index];
        return before?.path === file.path && before.stamp === file.stamp;
      });
    if (isSame) return known;
    const version = await openVersion(this.#options);
    if (this.#version === undefined) {
      version.engine.close();
      return this.#openVersion();
    }
    // Statements in flight hold their own connection; they end as drifted.
    known.engine.close();
    this.#version = version;
    return version;
  }
}

async function openVersion(options: DuckDbSourceOptions): Promise<Version> {
  const { registration, directory, spillDirectory, limits } = options;
  const files = await findSourceFiles(directory, filesOf(registration).files);
  const paths = files.map((file) => file.path);
  const engine = await openDuckDbEngine(
    { files: paths, spillDirectory: join(spillDirectory, 'engine') },
    limits,
  );
  try {
    const relation = filesRelation(registration, paths);
    const types = new Map<string, string>();
    let rowCount = 0;
    await engine.session(undefined, async (session) => {
      await session.read(describeStatement(relation), (chunk) => readTypes(chunk, types));
      await session.read(countStatement(relation), (chunk) => {
        rowCount = Number(chunk.getColumnVector(0).getItem(0));
      });
    });
    const book = columnBook(registration, storedKinds(registration, types));
    const { consent } = registration;
    const consentText = consent === undefined ? undefined : textOf(book, consent.column);
    const consenting = (granted: readonly string[]): Sql =>
      consentingRelation(registration, relation, consentText, granted);
    return {
      files,
      engine,
      book,
      relationFor: (purpose) =>
        consenting(consent === undefined ? [] : grantedFor(consent, purpose)),
      examined: consenting(consent === undefined ? [] : grantedAtAll(consent)),
      rowCount,
    };
  } catch (error) {
    engine.close();
    throw error;
  }
}

function* pairs(
  labels: readonly string[],
  positions: readonly number[],
): Generator<readonly [string, number]> {
  for (const [index, label] of labels.entries()) yield [label, positions[index] ?? -1];
}

async function refuseDrift(version: Version): Promise<void> {
  if (await isUnchanged(version.files)) return;
  throw new PolicyError('dataset-drifted', 'The data changed since it was described.', {
    remedy: 'run again: the next run describes the data as it is now',
  });
}
