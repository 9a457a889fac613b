/**
 * Read-only sessions on a holder's PostgreSQL: one connection each, one snapshot, results by cursor.
 * Credentials are in a file of the domain that nobody else may read; names resolve to PostgreSQL's
 * own functions only; nothing that the server says about a row gets into an error.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Client, DatabaseError, type ClientConfig } from 'pg';
import { z } from 'zod';
import { AbortError, SetupError, StateError, WeirError } from '../../errors.ts';
import { isLoopback } from '../../system/loopback.ts';
import { integer, sql, type Sql } from './sql-text.ts';

/** Rows of a result in memory at once. */
const FETCH_ROWS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** The first version whose numeric has infinities. */
const SERVER_VERSION_MIN = 140_000;

const ConnectionSchema = z.strictObject({
  host: z.string().min(1).max(255),
  port: z.int().min(1).max(65_535).default(5432),
  database: z.string().min(1).max(63),
  user: z.string().min(1).max(63),
  password: z.string().max(1024).optional(),
  /** PEM file of the authority that issued the server's certificate, relative to this file. */
  caFile: z.string().max(4096).optional(),
});

/** Secret: it holds a password. */
export type PostgresAccess = ClientConfig & { readonly statementMs: number };

/**
 * Reads a connection file: JSON with host, port, database, user, password, caFile.
 * @throws SetupError `source-missing`, `config-invalid`, `tls-required`, a sentence each; none of
 * them holds what is in the file.
 */
export function readConnectionFile(path: string, statementMs: number): PostgresAccess {
  const parsed = ConnectionSchema.safeParse(readPrivateJson(path));
  if (!parsed.success) {
    const at = parsed.error.issues[0]?.path.join('.') ?? '';
    throw invalid(path, `${at === '' ? 'the document' : at} is not as it should be`);
  }
  const { caFile, password, ...plain } = parsed.data;
  if (caFile === undefined && !isLoopback(plain.host)) {
    throw new SetupError('tls-required', `${path} names a server elsewhere, without a caFile.`, {
      path,
      remedy: 'Name the authority that issued the server’s certificate.',
    });
  }
  return {
    ...plain,
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined
      ? {}
      : { ssl: { ca: readFileSync(resolve(dirname(path), caFile), 'utf8') } }),
    statementMs,
  };
}

function readPrivateJson(path: string): unknown {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) throw invalid(path, 'others may read it: chmod 600');
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError('source-missing', `The connection file ${path} cannot be read.`, { path });
  }
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(path, 'it is not valid JSON');
  }
}

function invalid(path: string, what: string): SetupError {
  return new SetupError('config-invalid', `The connection file ${path}: ${what}.`, { path });
}

/** A row's columns as PostgreSQL writes them. */
export type TextRow = readonly (string | null)[];

export interface PostgresSession {
  /** Everything that visible transactions have written; the same text, the same data. */
  readonly snapshot: string;
  rows(statement: Sql, values?: readonly unknown[]): Promise<readonly TextRow[]>;
  /** At most `FETCH_ROWS` rows at a time, or `most`; who asks slowly holds the reader back. */
  stream(
    statement: Sql,
    values: readonly unknown[],
    most?: number,
  ): AsyncGenerator<readonly TextRow[], void, undefined>;
}

/**
 * Runs `work` in one read-only transaction on a connection of its own.
 * @throws the WeirError that `signal` aborted with, else StateError `run-cancelled`; AbortError
 * `run-timed-out` after the time limit; SetupError `source-missing`, `source-unreadable`
 */
export async function postgresSession<T>(
  access: PostgresAccess,
  signal: AbortSignal | undefined,
  work: (session: PostgresSession) => Promise<T>,
): Promise<T> {
  const opened = await openSession(access, signal);
  try {
    return await work(opened.session);
  } catch (error) {
    throw translated(error, signal);
  } finally {
    await opened.close();
  }
}

/** The same where rows are handed on one by one, and the caller may stop early. */
export async function* postgresStream<Item>(
  access: PostgresAccess,
  signal: AbortSignal | undefined,
  work: (session: PostgresSession) => AsyncGenerator<Item, void, undefined>,
): AsyncGenerator<Item, void, undefined> {
  const opened = await openSession(access, signal);
  try {
    for await (const item of work(opened.session)) {
      yield item;
      // What is left may be read before the server hears of it.
      if (signal?.aborted) throw cancelled(signal);
    }
  } catch (error) {
    throw translated(error, signal);
  } finally {
    await opened.close();
  }
}

async function openSession(
  access: PostgresAccess,
  signal: AbortSignal | undefined,
): Promise<{ session: PostgresSession; close: () => Promise<void> }> {
  if (signal?.aborted) throw cancelled(signal);
  const client = new Client({
    ...clientConfig(access),
    // Everything as text: what it means is the statement's affair.
    types: { getTypeParser: () => (value: unknown) => value },
  });
  // Without a listener, a connection that breaks between two queries would end the process.
  client.on('error', () => undefined);
  const stop = (): void => void cancel(access, client);
  signal?.addEventListener('abort', stop, { once: true });
  const close = async (): Promise<void> => {
    signal?.removeEventListener('abort', stop);
    await client.end().catch(() => undefined);
  };
  try {
    await client.connect();
    const snapshot = await begin(client, access.statementMs);
    return { session: sessionOver(client, snapshot), close };
  } catch (error) {
    await close();
    throw translated(error, signal);
  }
}

async function begin(client: Client, statementMs: number): Promise<string> {
  // The pg_catalog alone: a function of the same name elsewhere must never be found first.
  await client.query(
    `SET search_path = pg_catalog; SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC';
     SET standard_conforming_strings = on; SET extra_float_digits = 1;
     SET statement_timeout = ${Math.trunc(statementMs)};
     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`,
  );
  const rows = await textRows(client, {
    text: `SELECT current_setting('server_version_num'), current_setting('server_encoding'),
           CAST(pg_current_snapshot() AS text)`,
  });
  const [version, encoding, snapshot] = rows[0] ?? [];
  if (Number(version) < SERVER_VERSION_MIN || encoding !== 'UTF8' || typeof snapshot !== 'string') {
    throw new SetupError(
      'source-unreadable',
      'The PostgreSQL server is older than 14, or its database is not in UTF8.',
    );
  }
  return snapshot;
}

async function textRows(
  client: Client,
  query: { readonly text: string; readonly values?: unknown[] },
): Promise<TextRow[]> {
  const { rows } = await client.query<(string | null)[]>({ ...query, rowMode: 'array' });
  return rows;
}

function sessionOver(client: Client, snapshot: string): PostgresSession {
  let cursors = 0;
  return {
    snapshot,
    rows: (statement, values = []) => textRows(client, { text: statement, values: [...values] }),
    async *stream(statement, values, most = FETCH_ROWS) {
      const name = `c${cursors++}` as Sql;
      const declare = sql`DECLARE ${name} NO SCROLL CURSOR FOR ${statement}`;
      await client.query({ text: declare, values: [...values] });
      const fetch = sql`FETCH FORWARD ${integer(Math.min(most, FETCH_ROWS))} FROM ${name}`;
      const text = fetch.replace(/[()]/g, '');
      for (;;) {
        const rows = await textRows(client, { text });
        if (rows.length === 0) break;
        yield rows;
      }
      await client.query(sql`CLOSE ${name}`);
    },
  };
}

/** The server stops the statement; then the connection goes, whether or not it could be told. */
async function cancel(access: PostgresAccess, client: Client): Promise<void> {
  const { processID: pid } = client as unknown as { readonly processID: number | null };
  const messenger = new Client(clientConfig(access));
  messenger.on('error', () => undefined);
  try {
    await messenger.connect();
    if (pid !== null) await messenger.query('SELECT pg_cancel_backend($1)', [pid]);
  } catch {
    // Then the statement's own time limit ends it.
  } finally {
    await messenger.end().catch(() => undefined);
    await client.end().catch(() => undefined);
  }
}

function clientConfig({ statementMs: _limit, ...config }: PostgresAccess): ClientConfig {
  return { ...config, application_name: 'weir', connectionTimeoutMillis: CONNECT_TIMEOUT_MS };
}

/** Only the SQLSTATE goes on: messages and details may quote values. */
function translated(error: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted) return cancelled(signal);
  if (error instanceof WeirError) return error;
  if (!(error instanceof DatabaseError)) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    return /^E[A-Z]+$/.test(code) || /terminated|timeout|ended/i.test(String(error))
      ? new SetupError('source-missing', 'The PostgreSQL server does not answer.')
      : (error as Error);
  }
  const state = error.code ?? '';
  if (state === '57014') {
    return new AbortError('run-timed-out', 'The statement took longer than the domain allows.');
  }
  if (/^(3D|3F|42P01)/.test(state)) {
    return new SetupError('source-missing', 'The PostgreSQL table or database is not there.', {
      rule: `SQLSTATE ${state}`,
    });
  }
  return new SetupError('source-unreadable', 'PostgreSQL refuses the statement or the login.', {
    rule: `SQLSTATE ${state}`,
  });
}

function cancelled(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  if (reason instanceof WeirError) return reason;
  return new StateError('run-cancelled', 'The statement was cancelled.');
}
