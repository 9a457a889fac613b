/** What a domain believes of the notices that a gateway brings it, on real stores and pins. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import { signPause, signRevocation } from '../../src/contracts/notices.ts';
import { contractHash, signContract } from '../../src/contracts/signed-documents.ts';
import { COUNTER_MIGRATIONS } from '../../src/domain/counter-rows.ts';
import { openCounters } from '../../src/domain/counters.ts';
import { openAnchor } from '../../src/domain/anchor.ts';
import { openPins } from '../../src/domain/pins.ts';
import { hearPause, hearRevocation } from '../../src/domain/revocations.ts';
import { keepSigned, SIGNED_CONTRACT_MIGRATIONS } from '../../src/domain/signed-contracts.ts';
import { openStandingBook, STANDING_MIGRATIONS } from '../../src/domain/standing.ts';
import type { Standing } from '../../src/domain/standing.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';
import type { Cast } from '../fixtures/contract.ts';
import { codeOf, makePlace, SELF } from '../fixtures/counting.ts';

const PEER = HOLDERS[1]!;
const cast = makeCast();
const contract = makeContract(cast);
/** The same names, none of the keys: what a gateway can make by itself. */
const strangers = makeCast();
const strange = makeContract(strangers);

async function openDomain() {
  const place = await makePlace();
  const store = await openSqliteStore({
    file: place.databaseFile,
    migrations: [COUNTER_MIGRATIONS, STANDING_MIGRATIONS, SIGNED_CONTRACT_MIGRATIONS],
  });
  const anchor = await openAnchor(place.anchorFile);
  const identity = cast.keyOf(SELF);
  const counters = await openCounters({ store, anchor, self: SELF, identity });
  const standing = openStandingBook(store, counters);
  const pins = await openPins(join(place.directory, 'pins.json'));
  const close = async (): Promise<void> => {
    await store.close();
    await anchor.close();
    await place.remove();
  };
  return { state: { store, standing, pins, identity }, close };
}

let domain: Awaited<ReturnType<typeof openDomain>>;
let stopped: string[];
let ended: string[];
beforeEach(async () => {
  domain = await openDomain();
  stopped = [];
  ended = [];
});
afterEach(() => domain.close());

const sessions = {
  abortContract: (hash: string, reason: { readonly code: string }): void => {
    stopped.push(`${hash} ${reason.code}`);
  },
};
const noticeOf = (of: Contract, party: PartyId, atMs = NOW_MS) => ({
  contractId: of.id,
  contractHash: contractHash(of),
  party,
  reason: 'over',
  at: new Date(atMs).toISOString(),
});
const revoke = (of: Contract, by: Cast, party = PEER): Promise<string> => {
  const revocation = { format: 'weir-revocation/1' as const, ...noticeOf(of, party) };
  const signed = signRevocation(revocation, by.keyOf(party));
  const onEnd = async (hash: string): Promise<void> => void ended.push(hash);
  return codeOf(() => hearRevocation(domain.state, sessions, onEnd, { signed, contract: of }));
};
const pause = (of: Contract, standing: 'suspended' | 'resumed', party = PEER): Promise<string> => {
  const atMs = standing === 'resumed' ? NOW_MS + 1 : NOW_MS;
  const told = { format: 'weir-pause/1' as const, standing, ...noticeOf(of, party, atMs) };
  const signed = signPause(told, cast.keyOf(party));
  return codeOf(() => hearPause(domain.state, sessions, SELF, { signed, contract: of }));
};
const sign = async (of: Contract, by = cast): Promise<void> => {
  const { jws } = signContract(of, SELF, by.keyOf(SELF));
  await keepSigned(domain.state.store, of, jws, NOW_MS);
};
const standingOf = (of: Contract): Promise<Standing> =>
  domain.state.standing.standingOf(contractHash(of));

describe('a revocation that a gateway brings', () => {
  it('of a contract signed here stops its runs and ends what waits', async () => {
    await sign(contract);
    expect(await revoke(contract, cast)).toBe('accepted');
    expect(await standingOf(contract)).toBe('revoked');
    expect(stopped).toEqual([`${contractHash(contract)} contract-revoked`]);
    expect(ended).toEqual([contractHash(contract)]);
  });

  it('of strangers fills no store', async () => {
    await domain.state.pins.trust('holders', PEER, cast.keyOf(PEER).publicKey);
    expect(await revoke(strange, strangers)).toBe('accepted');
    expect(await domain.state.standing.revocations(undefined, 10)).toEqual([]);
    expect([stopped, ended]).toEqual([[], []]);
    // The control: the pinned holder's is kept, though the signing of it is forgotten.
    expect(await revoke(contract, cast)).toBe('accepted');
    expect(await standingOf(contract)).toBe('revoked');
  });
});

describe('a pause that a gateway brings', () => {
  it('of a contract signed here stops its runs', async () => {
    await sign(contract);
    expect(await pause(contract, 'suspended')).toBe('accepted');
    expect(await standingOf(contract)).toBe('suspended');
    expect(stopped).toEqual([`${contractHash(contract)} contract-not-active`]);
    expect(await pause(contract, 'resumed')).toBe('accepted');
    expect(stopped).toHaveLength(1);
  });

  it('of a contract not signed here is not kept', async () => {
    expect(await pause(contract, 'suspended')).toBe('accepted');
    expect(await domain.state.store.query('SELECT party FROM peer_pause')).toEqual([]);
    expect(stopped).toEqual([]);
  });

  it('of the own officer is not taken back from the gateway, which may bring an old one', async () => {
    await sign(contract);
    expect(await pause(contract, 'suspended', SELF)).toBe('accepted');
    expect(await standingOf(contract)).toBe('in-force');
    expect(stopped).toEqual([]);
  });
});
