/**
 * Results that wait for officers: this domain's last messages of each run in a file, and what its
 * officer is shown and decided in the database. The file is whole and synced before the row exists,
 * and goes after the row says that the run is over: a crash between leaves a file without a row,
 * which the next start removes. The row says how many messages the file has: one that lost its end
 * since is never sent as a whole one.
 *
 * What is in the file is masked, or sealed, as it would have left; keys of the run are wiped before.
 */
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ReleaseReview } from '../computations/computation.ts';
import { type Descriptor, DescriptorSchema } from '../contracts/descriptor.ts';
import {
  type SignedReleaseDecision,
  SignedReleaseDecisionSchema,
} from '../contracts/officer-release.ts';
import { AbortError, CapacityError, StateError } from '../errors.ts';
import { MESSAGE_BYTES_MAX } from '../link/limits.ts';
import type { MigrationList } from '../store/migrations.ts';
import { type Row, type Store, StoreConflict } from '../store/store.ts';
import { syncDirectory } from '../system/atomic-file.ts';
import { HashSchema, type Hash, type RunId, RunIdSchema } from '../system/ids.ts';

export const HELD_MIGRATIONS: MigrationList = {
  area: 'held-results',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE held_result (
  run_id TEXT NOT NULL PRIMARY KEY, contract_hash TEXT NOT NULL, descriptor_hash TEXT NOT NULL,
  document TEXT NOT NULL, held_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL,
  decision TEXT, is_told BIGINT NOT NULL, ended_ms BIGINT)`,
    },
    {
      number: 2,
      // Null where an earlier version kept the file.
      sql: 'ALTER TABLE held_result ADD COLUMN message_count BIGINT',
    },
  ],
};

/** Results that wait at once; a run that would hold one more ends without. */
export const HELD_MAX = 256;
const HEADER_BYTES = 8;
const KIND_BYTES_MAX = 64;

const Line = z.strictObject({ zh: z.string(), en: z.string() });
const Cell = z.union([z.string(), z.number(), z.null()]);

export const HeldReviewSchema = z.strictObject({
  lines: z.array(Line).readonly(),
  table: z
    .strictObject({
      columns: z.array(z.string()).readonly(),
      rows: z.array(z.array(Cell).readonly()).readonly(),
    })
    .exactOptional(),
});

const DocumentSchema = z.strictObject({ descriptor: DescriptorSchema, review: HeldReviewSchema });

export interface HeldResult {
  readonly runId: RunId;
  readonly contractHash: Hash;
  readonly descriptorHash: Hash;
  readonly descriptor: Descriptor;
  readonly review: ReleaseReview;
  readonly heldMs: number;
  /** Until then officers may decide. */
  readonly untilMs: number;
  readonly decision: SignedReleaseDecision | undefined;
}

export interface HeldMessage {
  readonly kind: string;
  readonly payload: Uint8Array;
}

/** The last messages of one run, in their order. */
export interface HeldWriter {
  append(kind: string, payload: Uint8Array): Promise<void>;
  /**
   * Durable once this resolves.
   * @throws CapacityError `queue-full`, `disk-full`; StateError `already-exists` for a run id that was
   *   kept before
   */
  keep(held: Omit<HeldResult, 'runId' | 'decision'>): Promise<void>;
  /** The run ended otherwise: nothing of it stays, and of another run under its id all does. */
  drop(): Promise<void>;
}

export interface HeldBook {
  begin(runId: RunId): HeldWriter;
  list(): Promise<readonly HeldResult[]>;
  /** Undefined for a run that never waited here or is over. */
  find(runId: RunId): Promise<HeldResult | undefined>;
  /** The first decision stays. @throws StateError `already-exists`, `run-unknown` */
  decide(runId: RunId, signed: SignedReleaseDecision): Promise<void>;
  untold(): Promise<readonly SignedReleaseDecision[]>;
  told(runId: RunId): Promise<void>;
  /**
   * Each message as it is read, so what is damaged may show after some of them.
   * @throws AbortError `domain-failed` for a file that is not as it was kept; StateError `run-unknown`
   */
  messages(runId: RunId): AsyncGenerator<HeldMessage>;
  /** The run is over, however it ended: the decision stays as evidence, nothing else. */
  end(runId: RunId, nowMs: number): Promise<void>;
  endContract(contractHash: Hash, nowMs: number): Promise<void>;
  /** Those whose time was over before `untilMs`. */
  endOverdue(untilMs: number, nowMs: number): Promise<void>;
}

/**
 * @param directory - of the domain's own, created with mode 0700.
 * @param store - holds `HELD_MIGRATIONS`.
 */
export async function openHeldBook(directory: string, store: Store): Promise<HeldBook> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const fileOf = (runId: RunId): string => join(directory, `${runId}.held`);
  const select = async (where: string, ...params: (string | number)[]): Promise<HeldResult[]> => {
    const rows = await store.query(
      `SELECT * FROM held_result WHERE ended_ms IS NULL AND ${where} ORDER BY held_ms, run_id`,
      params,
    );
    return rows.map(parseRow);
  };
  const end = async (runId: RunId, nowMs: number): Promise<void> => {
    await store.execute([
      {
        sql: `UPDATE held_result SET ended_ms = ?, document = '' WHERE run_id = ? AND ended_ms IS NULL`,
        params: [nowMs, runId],
      },
    ]);
    await rm(fileOf(runId), { force: true });
  };
  const endAll = async (all: readonly HeldResult[], nowMs: number): Promise<void> => {
    for (const { runId } of all) await end(runId, nowMs);
  };
  const kept = new Set((await select('1 = 1')).map(({ runId }) => `${runId}.held`));
  for (const name of await readdir(directory)) {
    if (!kept.has(name)) await rm(join(directory, name), { force: true });
  }
  return {
    begin: (runId) => heldWriter(runId, fileOf(runId), directory, store),
    list: () => select('1 = 1'),
    find: async (runId) => (await select('run_id = ?', runId))[0],
    decide: async (runId, signed) => {
      const [held] = await select('run_id = ?', runId);
      if (held === undefined) throw overHere();
      if (held.decision !== undefined) throw decidedBefore(held.decision.release.decision);
      try {
        await store.execute([
          {
            sql: `UPDATE held_result SET decision = ?, is_told = 0
                  WHERE run_id = ? AND decision IS NULL AND ended_ms IS NULL`,
            params: [JSON.stringify(signed), runId],
            expectChanges: 1,
          },
        ]);
      } catch (error) {
        if (error instanceof StoreConflict) throw decidedBefore('at the same moment');
        throw error;
      }
    },
    untold: async () =>
      (await select('decision IS NOT NULL AND is_told = 0')).flatMap(
        ({ decision }) => decision ?? [],
      ),
    told: (runId) =>
      store.execute([
        { sql: 'UPDATE held_result SET is_told = 1 WHERE run_id = ?', params: [runId] },
      ]),
    messages: (runId) => keptMessages(store, runId, fileOf(runId)),
    end,
    endContract: async (hash, nowMs) => endAll(await select('contract_hash = ?', hash), nowMs),
    endOverdue: async (untilMs, nowMs) => endAll(await select('until_ms < ?', untilMs), nowMs),
  };
}

function heldWriter(runId: RunId, path: string, directory: string, store: Store): HeldWriter {
  let file: FileHandle | undefined;
  let count = 0;
  // Run ids are the gateway's choice: the descriptor's hash tells this run's row from another's.
  let keptHash: Hash | undefined;
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      throw asHeldError(error);
    }
  };
  return {
    append: (kind, payload) =>
      guarded(async () => {
        file ??= await open(path, 'wx', 0o600);
        const name = Buffer.from(kind);
        const header = Buffer.alloc(HEADER_BYTES);
        header.writeUInt32LE(name.length, 0);
        header.writeUInt32LE(payload.length, 4);
        await file.writeFile(Buffer.concat([header, name, payload]));
        count += 1;
      }),
    keep: (held) =>
      guarded(async () => {
        if (file === undefined) throw new AbortError('domain-failed', 'The run kept no result.');
        await file.sync();
        await file.close();
        await syncDirectory(directory);
        const [row] = await store.query(
          'SELECT count(*) AS n FROM held_result WHERE ended_ms IS NULL',
        );
        if (Number(row?.['n']) >= HELD_MAX) {
          throw new CapacityError('queue-full', 'Too many results wait for release here.');
        }
        const { contractHash, descriptorHash, descriptor, review, heldMs, untilMs } = held;
        const document = JSON.stringify({ descriptor, review });
        keptHash = descriptorHash;
        await store.execute([
          {
            sql: `INSERT INTO held_result (run_id, contract_hash, descriptor_hash, document, held_ms,
                    until_ms, is_told, message_count) VALUES (?, ?, ?, ?, ?, ?, 0, ?)`,
            params: [runId, contractHash, descriptorHash, document, heldMs, untilMs, count],
          },
        ]);
      }),
    drop: async () => {
      if (file === undefined) return;
      await file.close().catch(() => undefined);
      if (keptHash !== undefined) {
        const sql = 'DELETE FROM held_result WHERE run_id = ? AND descriptor_hash = ?';
        await store.execute([{ sql, params: [runId, keptHash] }]);
      }
      await rm(path, { force: true });
    },
  };
}

/** As many as were kept: a file that ends between two messages looks whole by itself. */
async function* keptMessages(
  store: Store,
  runId: RunId,
  path: string,
): AsyncGenerator<HeldMessage> {
  const [row] = await store.query(
    'SELECT message_count FROM held_result WHERE run_id = ? AND ended_ms IS NULL',
    [runId],
  );
  if (row === undefined) throw overHere();
  const due = row['message_count'];
  let count = 0;
  for await (const message of readMessages(path)) {
    yield message;
    count += 1;
  }
  if (due !== null && Number(due) !== count) throw damaged();
}

async function* readMessages(path: string): AsyncGenerator<HeldMessage> {
  const file = await open(path, 'r');
  try {
    for (;;) {
      const header = await exactly(file, HEADER_BYTES);
      if (header === undefined) return;
      const [nameBytes, payloadBytes] = [header.readUInt32LE(0), header.readUInt32LE(4)];
      if (nameBytes > KIND_BYTES_MAX || payloadBytes > MESSAGE_BYTES_MAX) throw damaged();
      const body = await exactly(file, nameBytes + payloadBytes);
      if (body === undefined) throw damaged();
      yield { kind: body.toString('utf8', 0, nameBytes), payload: body.subarray(nameBytes) };
    }
  } finally {
    await file.close();
  }
}

/** The next bytes; undefined at the end. */
async function exactly(file: FileHandle, lengthBytes: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(lengthBytes);
  let done = 0;
  while (done < lengthBytes) {
    const { bytesRead } = await file.read(bytes, done, lengthBytes - done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  if (done === 0 && lengthBytes > 0) return undefined;
  if (done < lengthBytes) throw damaged();
  return bytes;
}

function parseRow(row: Row): HeldResult {
  const { descriptor, review } = DocumentSchema.parse(JSON.parse(String(row['document'])));
  const decision = row['decision'];
  return {
    runId: RunIdSchema.parse(row['run_id']),
    contractHash: HashSchema.parse(row['contract_hash']),
    descriptorHash: HashSchema.parse(row['descriptor_hash']),
    descriptor,
    review,
    heldMs: Number(row['held_ms']),
    untilMs: Number(row['until_ms']),
    decision:
      decision === null
        ? undefined
        : SignedReleaseDecisionSchema.parse(JSON.parse(String(decision))),
  };
}

function overHere(): StateError {
  return new StateError('run-unknown', 'No result of such a run waits here.', {
    remedy: '`weir release list` shows those that do.',
  });
}

function decidedBefore(rule: string): StateError {
  return new StateError('already-exists', 'This result was decided on before.', { rule });
}

function damaged(): AbortError {
  return new AbortError('domain-failed', 'A held result is not as it was kept: it is damaged.', {
    rule: 'every message of the run, whole',
    remedy: 'Look after the disk of the domain’s directory, and run again.',
  });
}

function asHeldError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EEXIST' || error instanceof StoreConflict) {
    return new StateError(
      'already-exists',
      'A result of a run with this id was kept here before.',
      {
        remedy: 'Run again: the gateway gives the run another id.',
      },
    );
  }
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new CapacityError('disk-full', 'The disk is full: a result could not be kept.', {
    remedy: 'Free space in the domain’s directory and run again.',
  });
}
