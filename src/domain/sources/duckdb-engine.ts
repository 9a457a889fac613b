/**
 * A locked DuckDB instance: in memory, with an allowlist of the dataset's own files, no extension
 * beyond those built in, bounded memory, threads, spill and time, and settings nobody can change.
 */
import { setImmediate } from 'node:timers/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBDataChunk } from '@duckdb/node-api';
import { AbortError, SetupError, StateError, WeirError } from '../../errors.ts';
import type { EngineLimits } from './engine-limits.ts';
import { integer, list, literal, sql, type Sql } from './sql-text.ts';

export interface EngineAccess {
  /** Real paths of the files that may be read: nothing else on the disk may. */
  readonly files: readonly string[];
  /**
   * Where DuckDB spills what exceeds its memory, in clear: its built-in crypto module only decrypts.
   * The directory is the domain's own, closed to others; DuckDB may write nowhere else.
   */
  readonly spillDirectory: string;
}

/** An interrupt that arrives before the engine began its statement is lost, so it is repeated. */
const INTERRUPT_EVERY_MS = 20;

/** Rows that are appended before other work of the process gets its turn. */
const APPENDED_AT_ONCE_MAX = 16_384;

/** One connection's work: statements, temporary tables, and results chunk by chunk. */
interface EngineSession {
  run(statement: Sql): Promise<void>;
  /** Fills an existing temporary table. Values never become part of a statement. */
  append(table: string, rows: Iterable<readonly [string, number]>): Promise<void>;
  /** Hands the result over chunk by chunk. */
  read(statement: Sql, take: (chunk: DuckDBDataChunk) => void): Promise<void>;
}

export interface DuckDbEngine {
  /**
   * Runs `work` on a connection of its own, which is gone afterwards with its temporary tables.
   * @throws the WeirError that `signal` aborted with, else StateError `run-cancelled`; AbortError `run-timed-out` after the
   * time limit, SetupError `source-missing` or `source-unreadable` where files cannot be read.
   */
  session<T>(
    signal: AbortSignal | undefined,
    work: (session: EngineSession) => Promise<T>,
  ): Promise<T>;
  /**
   * Chunks of a result as they are pulled: the engine waits for the consumer, and the time limit
   * holds for each chunk. Errors as in `session`.
   */
  stream(
    signal: AbortSignal | undefined,
    statement: Sql,
  ): AsyncGenerator<DuckDBDataChunk, void, undefined>;
  close(): void;
}

/** Opens an instance and locks it before it returns; no statement of a plan can run earlier. */
export async function openDuckDbEngine(
  access: EngineAccess,
  limits: EngineLimits,
): Promise<DuckDbEngine> {
  const instance = await DuckDBInstance.create(':memory:');
  try {
    const connection = await instance.connect();
    try {
      for (const statement of lockStatements(access, limits)) await connection.run(statement);
    } finally {
      connection.closeSync();
    }
  } catch (error) {
    instance.closeSync();
    throw error;
  }
  return {
    async session(signal, work) {
      const connection = await instance.connect();
      try {
        return await supervised(connection, signal, limits.statementMs, () =>
          work(sessionOn(connection)),
        );
      } finally {
        connection.closeSync();
      }
    },
    async *stream(signal, statement) {
      const connection = await instance.connect();
      const step = <T>(work: () => Promise<T>): Promise<T> =>
        supervised(connection, signal, limits.statementMs, work);
      try {
        const result = await step(() => connection.stream(statement));
        for (;;) {
          const chunk = await step(() => result.fetchChunk());
          if (chunk === null || chunk.rowCount === 0) return;
          yield chunk;
        }
      } finally {
        connection.closeSync();
      }
    },
    close: () => instance.closeSync(),
  };
}

function lockStatements(access: EngineAccess, limits: EngineLimits): Sql[] {
  const files = list(access.files.map(literal));
  return [
    sql`SET TimeZone = ${literal('UTC')}`,
    sql`SET threads = ${integer(limits.threads)}`,
    sql`SET memory_limit = ${literal(`${limits.memoryMiB}MiB`)}`,
    sql`SET temp_directory = ${literal(access.spillDirectory)}`,
    sql`SET max_temp_directory_size = ${literal(`${limits.spillMiB}MiB`)}`,
    // Rows must not outlive the statement that read them.
    sql`SET enable_external_file_cache = false`,
    sql`SET autoinstall_known_extensions = false`,
    sql`SET autoload_known_extensions = false`,
    sql`SET allow_community_extensions = false`,
    sql`SET allow_persistent_secrets = false`,
    // Exact files, not their directories: a neighbour of a dataset's file stays unreadable.
    sql`SET allowed_paths = [${files}]`,
    sql`SET allowed_directories = [${literal(access.spillDirectory)}]`,
    sql`SET enable_external_access = false`,
    sql`SET lock_configuration = true`,
  ];
}

function sessionOn(connection: DuckDBConnection): EngineSession {
  return {
    async run(statement) {
      await connection.run(statement);
    },
    async append(table, rows) {
      const appender = await connection.createAppender(table, 'main', 'temp');
      let appended = 0;
      for (const [text, number] of rows) {
        appender.appendVarchar(text);
        appender.appendInteger(number);
        appender.endRow();
        appended += 1;
        // A dictionary may have millions of labels: heartbeats must not wait for all of them.
        if (appended % APPENDED_AT_ONCE_MAX === 0) await setImmediate();
      }
      appender.closeSync();
    },
    async read(statement, take) {
      const result = await connection.stream(statement);
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) return;
        take(chunk);
      }
    },
  };
}

async function supervised<T>(
  connection: DuckDBConnection,
  signal: AbortSignal | undefined,
  statementMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(statementMs);
  const stopped = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  const refuseIfStopped = (): void => {
    if (signal?.aborted) throw stopReason(signal);
    if (stopped.aborted) throw new AbortError('run-timed-out', 'The query took too long.');
  };
  refuseIfStopped();
  let timer: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    connection.interrupt();
    timer = setInterval(() => connection.interrupt(), INTERRUPT_EVERY_MS);
  };
  stopped.addEventListener('abort', interrupt, { once: true });
  try {
    const answer = await work();
    // A consumer that stopped pulling may have ended early without an error: no partial answers.
    refuseIfStopped();
    return answer;
  } catch (error) {
    refuseIfStopped();
    throw sourceError(error);
  } finally {
    stopped.removeEventListener('abort', interrupt);
    clearInterval(timer);
  }
}

/** What the signal was aborted with, so that a domain's log names why its run ended. */
function stopReason(signal: AbortSignal): WeirError {
  const reason: unknown = signal.reason;
  if (reason instanceof WeirError) return reason;
  return new StateError('run-cancelled', 'The run was cancelled.');
}

/** The engine's own messages quote rows and paths, so that none of their text is passed on. */
function sourceError(error: unknown): unknown {
  if (error instanceof WeirError || !(error instanceof Error)) return error;
  const message = error.message;
  if (/^(IO Error: (No files found|Cannot open file))/.test(message)) {
    return new SetupError(
      'source-missing',
      'A file of the dataset is missing: put it back or correct the registration.',
    );
  }
  if (/^(IO|Invalid Input|Conversion|Serialization|Permission) Error/.test(message)) {
    return new SetupError(
      'source-unreadable',
      'A file of the dataset cannot be read in its declared format.',
      { remedy: 'Check `format` and `delimiter`; CSV is to be UTF-8 (iconv -f GBK -t UTF-8).' },
    );
  }
  if (message.startsWith('Out of Memory Error')) {
    return new SetupError(
      'source-unreadable',
      'The query needs more memory or spill space than the domain allows its source.',
    );
  }
  return error;
}
