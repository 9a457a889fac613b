/** The embedded store: SQLite in a thread of its own, so that a sync never blocks the event loop. */
import { Worker } from 'node:worker_threads';
import { CapacityError } from '../errors.ts';
import { workerUrl, type WorkerName } from '../pool/worker-url.ts';
import type { MigrationList } from './migrations.ts';
import {
  decodeFault,
  OPENED_ID,
  type ThreadReply,
  type ThreadRequest,
  type ThreadSetup,
} from './sqlite-messages.ts';
import type { Row, SqlValue, Statement, Store } from './store.ts';

/** Requests that wait or are being synced; one more is refused rather than held. */
export const STORE_QUEUE_MAX = 16_384;

export interface SqliteStoreOptions {
  /** The database's path; created with mode 0600 where it does not exist. */
  readonly file: string;
  /** Every list the file holds: one that it holds and that is not given is a newer program's. */
  readonly migrations: readonly MigrationList[];
  /** Modules loaded into the thread, callable under their name. */
  readonly programs?: Readonly<Record<string, WorkerName>>;
  /** At most {@link STORE_QUEUE_MAX}, which is the default. */
  readonly queueMax?: number;
}

export interface SqliteStore extends Store {
  /** Runs a program's function as a batch of its own; resolves after the sync. */
  call(program: string, name: string, argument: unknown): Promise<unknown>;
  /** Writes a consistent copy of the committed state to a new file, mode 0600. */
  copyTo(file: string): Promise<void>;
}

type RequestBody = ThreadRequest extends infer Each
  ? Each extends unknown
    ? Omit<Each, 'id'>
    : never
  : never;

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

/**
 * Opens the store and brings its schema up to date.
 * @throws SetupError `config-invalid` where the schema is newer or altered; CapacityError
 *   `store-unavailable`, `disk-full`.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const thread = new StoreThread(options);
  await thread.opened;
  return {
    query: async (sql: string, params: readonly SqlValue[] = []) =>
      (await thread.ask({ kind: 'query', sql, params })) as readonly Row[],
    execute: async (statements: readonly Statement[]) => {
      await thread.ask({ kind: 'execute', statements });
    },
    call: (program, name, argument) => thread.ask({ kind: 'call', program, name, argument }),
    copyTo: async (file) => {
      await thread.ask({ kind: 'copy', file });
    },
    close: () => thread.close(),
  };
}

/** Owns the worker and what waits for it. */
class StoreThread {
  readonly opened: Promise<unknown>;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #queueMax: number;
  #outgoing: ThreadRequest[] = [];
  #nextId = OPENED_ID + 1;
  #stopped: CapacityError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SqliteStoreOptions) {
    this.#queueMax = Math.min(options.queueMax ?? STORE_QUEUE_MAX, STORE_QUEUE_MAX);
    const programs = Object.entries(options.programs ?? {});
    const setup: ThreadSetup = {
      file: options.file,
      migrations: options.migrations,
      programs: Object.fromEntries(programs.map(([name, file]) => [name, workerUrl(file).href])),
    };
    this.opened = new Promise((resolve, reject) => {
      this.#waiting.set(OPENED_ID, { resolve, reject });
    });
    this.#worker = new Worker(workerUrl('sqlite-thread'), { workerData: setup, execArgv: [] });
    this.#worker.on('message', (replies: readonly ThreadReply[]) => {
      for (const reply of replies) this.#settle(reply);
    });
    this.#worker.on('error', (error) => {
      const reason = error instanceof Error ? error.message : String(error);
      this.#fail(new CapacityError('store-unavailable', `The store stopped: ${reason}.`));
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#fail(new CapacityError('store-unavailable', 'The store is closed.'));
        resolve();
      });
    });
  }

  ask(body: RequestBody): Promise<unknown> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (this.#closing !== undefined) {
      return Promise.reject(new CapacityError('shutting-down', 'The store is closing.'));
    }
    if (this.#waiting.size >= this.#queueMax) {
      const facts = { retryAfterS: 1 };
      return Promise.reject(new CapacityError('queue-full', 'The store is busy.', facts));
    }
    return this.#send(body);
  }

  /** Resolves once everything asked for before is answered and the file is closed. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      const asked = this.#stopped === undefined ? this.#send({ kind: 'close' }) : undefined;
      this.#closing = Promise.resolve(asked).then(
        () => this.#ended,
        () => this.#ended,
      );
    }
    return this.#closing;
  }

  #send(body: RequestBody): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { resolve, reject });
      // One message for all requests of this turn of the event loop: a message costs more than a row.
      if (this.#outgoing.length === 0) queueMicrotask(() => this.#flush());
      this.#outgoing.push({ ...body, id });
    });
  }

  #flush(): void {
    const requests = this.#outgoing;
    this.#outgoing = [];
    try {
      this.#worker.postMessage(requests);
    } catch (error) {
      // Something in a request cannot be cloned: a bug of one caller, told to all of this turn.
      const reason = error instanceof Error ? error.message : String(error);
      for (const { id } of requests) {
        const fault = { kind: 'error', family: 'invariant', code: 'internal' } as const;
        this.#settle({ id, ok: false, fault: { ...fault, message: reason, facts: {} } });
      }
    }
  }

  #settle(reply: ThreadReply): void {
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting.resolve(reply.answer);
    else waiting.reject(decodeFault(reply.fault));
  }

  #fail(error: CapacityError): void {
    this.#stopped ??= error;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const each of waiting) each.reject(this.#stopped);
  }
}
