/** What is kept between runs goes once its contract cannot run here any more, and not before. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { signPause, signRevocation } from '../../src/contracts/notices.ts';
import { openAnchor } from '../../src/domain/anchor.ts';
import type { ArtifactStore } from '../../src/domain/artifact-store.ts';
import { COUNTER_MIGRATIONS } from '../../src/domain/counter-rows.ts';
import { type Counters, openCounters } from '../../src/domain/counters.ts';
import { openFileArtifactStore } from '../../src/domain/file-artifact-store.ts';
import { purgeEnded, type Purging } from '../../src/domain/purge.ts';
import { keepSigned, SIGNED_CONTRACT_MIGRATIONS } from '../../src/domain/signed-contracts.ts';
import {
  openStandingBook,
  STANDING_MIGRATIONS,
  type StandingBook,
} from '../../src/domain/standing.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type Hash, HashSchema } from '../../src/system/ids.ts';
import { makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';
import { makeCommand, makePlace, type Place, SELF } from '../fixtures/counting.ts';

const cast = makeCast();
const VERSION = HashSchema.parse('b'.repeat(64));
/** Contracts that differ in how many runs they allow. */
const allowing = (runsTotal: number): Contract => {
  const contract = makeContract(cast);
  const runs = { runsTotal, runsPerDay: runsTotal, runsPerMonth: runsTotal };
  return { ...contract, limits: { ...contract.limits, ...runs } };
};

let place: Place;
let store: SqliteStore;
let counters: Counters;
let standing: StandingBook;
let artifacts: ArtifactStore;
let close: () => Promise<void>;
beforeEach(async () => {
  place = await makePlace();
  const migrations = [COUNTER_MIGRATIONS, STANDING_MIGRATIONS, SIGNED_CONTRACT_MIGRATIONS];
  store = await openSqliteStore({ file: place.databaseFile, migrations });
  const anchor = await openAnchor(place.anchorFile);
  const identity = cast.keyOf(SELF);
  counters = await openCounters({ store, anchor, self: SELF, identity });
  standing = openStandingBook(store, counters);
  artifacts = await openFileArtifactStore(join(place.directory, 'artifacts'));
  close = async () => {
    await store.close();
    await anchor.close();
  };
});
afterEach(async () => {
  await close();
  await place.remove();
});

async function keep(contract: Contract, signedMs = NOW_MS): Promise<Hash> {
  await keepSigned(store, contract, 'jws', signedMs);
  const hash = contractHash(contract);
  await write(hash);
  return hash;
}
const write = (hash: Hash): Promise<void> =>
  artifacts.write(
    { contractHash: hash, datasetFingerprint: VERSION, name: 'key' },
    new Uint8Array(32),
  );
/** @returns what is kept afterwards. */
async function purgedAt(nowMs: number, atWork: readonly Hash[] = []): Promise<readonly Hash[]> {
  const purging: Purging = {
    state: { store, standing, counters },
    sessions: { isAtWork: (hash) => atWork.includes(hash) },
    artifacts,
    clock: { ...systemClock, now: () => nowMs },
  };
  await purgeEnded(purging);
  return artifacts.contracts();
}
const notice = (contract: Contract) => ({
  contractId: contract.id,
  contractHash: contractHash(contract),
  party: SELF,
  reason: 'a test',
  at: new Date(NOW_MS).toISOString(),
});

describe('a purge', () => {
  it('keeps what a contract with a run left may use again, and takes it with the last one', async () => {
    const contract = allowing(2);
    const hash = await keep(contract);
    await counters.spend(makeCommand(contract));
    expect(await purgedAt(NOW_MS)).toEqual([hash]);
    await counters.spend(makeCommand(contract));
    // The last run is at work: it has what it began with until it ends.
    expect(await purgedAt(NOW_MS, [hash])).toEqual([hash]);
    expect(await purgedAt(NOW_MS)).toEqual([]);
    expect(await readdir(join(place.directory, 'artifacts'))).toEqual([]);
  });

  it('keeps what waits for another day, where the runs of one are used up', async () => {
    const twice = allowing(2);
    const limits = { ...twice.limits, runsPerDay: 1, runsPerMonth: 1 };
    const contract = { ...twice, limits };
    const hash = await keep(contract);
    await counters.spend(makeCommand(contract));
    expect(await purgedAt(NOW_MS)).toEqual([hash]);
  });

  it('takes what is past the last day, but not from a run that is still at work', async () => {
    const contract = allowing(2);
    const hash = await keep(contract);
    const endMs = Date.parse(contract.validity.notAfter);
    expect(await purgedAt(endMs - 1)).toEqual([hash]);
    expect(await purgedAt(endMs, [hash])).toEqual([hash]);
    expect(await purgedAt(endMs)).toEqual([]);
  });

  it('keeps what is suspended and takes what is revoked', async () => {
    const contract = allowing(2);
    const hash = await keep(contract);
    const identity = cast.keyOf(SELF);
    const pause = signPause(
      { format: 'weir-pause/1', standing: 'suspended', ...notice(contract) },
      identity,
    );
    await standing.pause(pause, contract);
    expect(await purgedAt(NOW_MS)).toEqual([hash]);
    const revocation = signRevocation(
      { format: 'weir-revocation/1', ...notice(contract) },
      identity,
    );
    await standing.revoke(revocation, contract);
    expect(await purgedAt(NOW_MS)).toEqual([]);
  });

  it('takes what no officer signed for, or an earlier version named otherwise', async () => {
    const known = await keep(allowing(2));
    await write(contractHash(allowing(3)));
    await write(HashSchema.parse('d'.repeat(64)));
    expect(await purgedAt(NOW_MS)).toEqual([known]);
  });

  it('finds the oldest of more contracts than are ever listed', async () => {
    const over = await keep(allowing(1), NOW_MS - 1);
    await counters.spend(makeCommand(allowing(1)));
    const hash = await keep(allowing(2), NOW_MS - 1);
    for (let runs = 3; runs <= 1010; runs += 1) {
      await keepSigned(store, allowing(runs), 'jws', NOW_MS);
    }
    expect([...(await artifacts.contracts())].toSorted()).toEqual([over, hash].toSorted());
    expect(await purgedAt(NOW_MS)).toEqual([hash]);
  });
});
