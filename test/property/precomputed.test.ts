/** What a domain keeps between runs of a contract, and how it counts what it evaluates. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownFilter, peerFilter } from '../../src/computations/psi/unbalanced/kept-filters.ts';
import { openFileArtifactStore } from '../../src/domain/file-artifact-store.ts';
import type { ArtifactStore } from '../../src/domain/artifact-store.ts';
import {
  EVALUATION_MIGRATIONS,
  evaluationsOf,
  openPrecomputed,
} from '../../src/domain/run-precomputed.ts';
import { PolicyError } from '../../src/errors.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { oprfMachine } from '../fixtures/psi-oprf.ts';
import { digestsOf, PARAMS } from '../fixtures/psi.ts';

const CONTRACT = {
  contractHash: HashSchema.parse('a'.repeat(64)),
};
const VERSION = HashSchema.parse('b'.repeat(64));
const OTHER = HashSchema.parse('c'.repeat(64));

let directory: string;
let store: SqliteStore;
let artifacts: ArtifactStore;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weir-kept-'));
  const file = join(directory, 'domain.sqlite');
  store = await openSqliteStore({ file, migrations: [EVALUATION_MIGRATIONS] });
  artifacts = await openFileArtifactStore(join(directory, 'artifacts'));
});
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});
const opened = (signal = new AbortController().signal) =>
  openPrecomputed(store, artifacts)({ ...CONTRACT, signal });

describe('the count of evaluations', () => {
  it('grows by what was asked, and never beyond what the contract allows', async () => {
    const counting = opened();
    await counting.meter(64, 200);
    await Promise.all([counting.meter(64, 200), counting.meter(64, 200)]);
    await expect(counting.meter(16, 200)).rejects.toMatchObject({
      code: 'contract-counter-exhausted',
      facts: { dimension: 'padded-items' },
    });
    expect(await evaluationsOf(store, CONTRACT.contractHash)).toBe(192);
    await counting.meter(8, 200);
    expect(await evaluationsOf(store, CONTRACT.contractHash)).toBe(200);
    // What was counted stays, whatever becomes of the filter.
    await counting.keepOnly([]);
    expect(await evaluationsOf(store, CONTRACT.contractHash)).toBe(200);
    expect(await evaluationsOf(store, OTHER)).toBe(0);
  });
});

describe('what is kept', () => {
  const making = (precomputed = opened(), version = VERSION) => ({
    precomputed,
    version,
    params: { ...PARAMS, mode: 'intersection' as const, setSizeMax: 1024 },
    machine: oprfMachine(),
    digests: () => digestsOf(['a', 'b', 'c']),
    onBuilt: () => {
      built += 1;
    },
  });
  let built = 0;

  it('is made once, however many ask at a time, and again for another version', async () => {
    built = 0;
    const one = openPrecomputed(store, artifacts);
    const { signal } = new AbortController();
    const runs = [0, 1, 2].map(() => ownFilter(making(one({ ...CONTRACT, signal }))));
    const filters = await Promise.all(runs);
    expect(built).toBe(1);
    expect(new Set(filters.map(({ key }) => Buffer.from(key).toString('hex'))).size).toBe(1);
    const next = await ownFilter(making(opened(), OTHER));
    expect(built).toBe(2);
    expect(next.key).not.toEqual(filters[0]?.key);
    const again = await ownFilter(making());
    expect(built).toBe(3);
    expect(again.key).not.toEqual(filters[0]?.key);
  });

  it('is made anew where a purge was cut short after it had written over the key', async () => {
    const whole = await ownFilter(making());
    await opened().write(VERSION, 'oprf-key', new Uint8Array(32));
    const next = await ownFilter(making());
    expect(next.key).not.toEqual(new Uint8Array(32));
    expect(next.key).not.toEqual(whole.key);
  });

  it('is not written by a run that its revocation has ended, nor left by one that it ends', async () => {
    const ended = new AbortController();
    const revoked = new PolicyError('contract-revoked', 'A holder has revoked the contract.');
    const late: ArtifactStore = {
      ...artifacts,
      write: async (key, content) => {
        await artifacts.write(key, content);
        ended.abort(revoked);
      },
    };
    const writing = openPrecomputed(store, late)({ ...CONTRACT, signal: ended.signal });
    const write = (): Promise<void> => writing.write(VERSION, 'oprf-key', new Uint8Array(32));
    await expect(write()).rejects.toBe(revoked);
    expect(await readdir(join(directory, 'artifacts'))).toEqual([]);
    await expect(write()).rejects.toBe(revoked);
    expect(await readdir(join(directory, 'artifacts'))).toEqual([]);
  });
});

describe('a purge', () => {
  it('goes through while a run that it ends is writing', async () => {
    await opened().write(VERSION, 'oprf-key', new Uint8Array(32).fill(7));
    // A file that is listed under the name it was written by, and has another by the next look.
    const files = createRequire(import.meta.url)('node:fs/promises') as { readdir: unknown };
    const before = files.readdir as typeof readdir;
    files.readdir = async (path: string) => [...(await before(path)), '.oprf-key.tmp'];
    syncBuiltinESMExports();
    try {
      await artifacts.purgeContract(CONTRACT.contractHash);
    } finally {
      files.readdir = before;
      syncBuiltinESMExports();
    }
    expect(await readdir(join(directory, 'artifacts'))).toEqual([]);
  });
});

describe('the copy of the peer’s filter', () => {
  const PIECES = [1, 2, 3].map((byte) => new Uint8Array(8).fill(byte));
  const DIGEST = new Uint8Array(32).fill(9);
  const whole = async (kept: ReturnType<typeof peerFilter>): Promise<number[]> =>
    (await Promise.all(PIECES.map((_, index) => kept.piece(index)))).map(([byte]) => byte ?? 0);

  it('is not taken from under a run by another one of the contract that is sent it too', async () => {
    const [first, second] = [peerFilter(opened(), VERSION), peerFilter(opened(), VERSION)];
    expect([await first.digest(), await second.digest()]).toEqual([undefined, undefined]);
    await first.begin();
    await first.keep(0, PIECES[0]!);
    await first.keep(1, PIECES[1]!);
    await second.begin();
    await first.keep(2, PIECES[2]!);
    await first.complete(DIGEST);
    expect(await whole(first)).toEqual([1, 2, 3]);
    await second.keep(0, PIECES[0]!);
    expect(await whole(first)).toEqual([1, 2, 3]);
    // One that is begun again and cut short is none, until it is complete.
    await second.begin();
    expect(await second.digest()).toBeUndefined();
    await second.complete(DIGEST);
    expect(await second.digest()).toEqual(DIGEST);
  });
});
