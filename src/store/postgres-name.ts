/**
 * A name that one process holds at a time on a database, as the process lock does on a directory. The
 * server gives it up when the holder's connection ends, however that comes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { CapacityError, SetupError } from '../errors.ts';
import type { Store } from './store.ts';

export interface HeldName {
  /** False while the connection is lost: then another process may have the name. */
  readonly isHeld: () => boolean;
  release(): Promise<void>;
}

export interface NameOptions {
  /** Secret: it may hold a password. */
  readonly url: string;
  readonly schema: string;
  readonly name: string;
  /** The connection was lost, and another process took the name before this one had it back. */
  readonly onTaken: () => void;
}

/** A holder that was killed is forgotten by the server within this, on one machine at once. */
const PATIENCE_MS = 3000;
const PAUSE_MS = 100;
const REGAIN_PAUSE_MS = 1000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A holder whose machine went dark is given up after half a minute, not after the system's hours. */
const KEEPALIVE =
  '-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3';

/** @throws SetupError `port-taken` where another process holds the name; CapacityError `store-unavailable` */
export async function holdName(options: NameOptions): Promise<HeldName> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const client = await take(options);
    if (client !== undefined) return kept(client, options);
    if (performance.now() >= untilMs) {
      throw new SetupError('port-taken', `A gateway ${options.name} is on this database already.`, {
        remedy: 'Give each gateway of one database an `instance` of its own in its configuration.',
      });
    }
    await sleep(PAUSE_MS);
  }
}

/** Whether some process holds the name now. */
export async function isNameHeld(
  store: Pick<Store, 'query'>,
  schema: string,
  name: string,
): Promise<boolean> {
  // The two halves of a lock's key are shown as unsigned numbers; `objsubid` 2 is a key of two.
  const rows = await store.query(
    `SELECT 1 AS held FROM pg_locks
      WHERE locktype = 'advisory' AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = (hashtext(?)::bigint & 4294967295)
        AND objid::bigint = (hashtext(?)::bigint & 4294967295)`,
    [schema, name],
  );
  return rows.length > 0;
}

/** Undefined where another holds it. */
async function take({ url, schema, name }: NameOptions): Promise<Client | undefined> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    options: KEEPALIVE,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>(
      'SELECT pg_try_advisory_lock(hashtext($1), hashtext($2)) AS held',
      [schema, name],
    );
    if (rows[0]?.held === true) return client;
    await client.end();
    return undefined;
  } catch (error) {
    await client.end().catch(() => undefined);
    const reason = error instanceof Error ? error.message : String(error);
    throw new CapacityError('store-unavailable', `PostgreSQL cannot be used now: ${reason}.`);
  }
}

/** Takes the name again whenever its connection is lost: a server that restarts forgets who held it. */
function kept(first: Client, options: NameOptions): HeldName {
  const life = new AbortController();
  let current = first;
  let isHeld = true;
  const keeping = (async (): Promise<void> => {
    while (!life.signal.aborted) {
      await ended(current);
      isHeld = false;
      const again = life.signal.aborted ? undefined : await regain(options, life.signal);
      if (again === undefined) return;
      current = again;
      isHeld = true;
    }
  })();
  return {
    isHeld: () => isHeld,
    release: async () => {
      life.abort();
      await current.end().catch(() => undefined);
      await keeping;
    },
  };
}

async function regain(options: NameOptions, signal: AbortSignal): Promise<Client | undefined> {
  let told = false;
  while (!signal.aborted) {
    await sleep(REGAIN_PAUSE_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return undefined;
    try {
      const client = await take(options);
      if (client !== undefined) return client;
      if (!told) options.onTaken();
      told = true;
    } catch {
      // The server is still away.
    }
  }
  return undefined;
}

function ended(client: Client): Promise<void> {
  return new Promise((resolve) => client.once('end', () => resolve()));
}
