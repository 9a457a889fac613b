import { copyFile, rm } from 'node:fs/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSpendWitness, SPEND_WITNESS_MIGRATIONS } from '../../src/contracts/spend-witness.ts';
import type { SpendWitness } from '../../src/contracts/spend-witness.ts';
import { signSpend, spendHash } from '../../src/contracts/spend.ts';
import type { SignedSpend, Spend } from '../../src/contracts/spend.ts';
import { openStandingBook } from '../../src/domain/standing.ts';
import type { StandingBook } from '../../src/domain/standing.ts';
import {
  signPause,
  signRefusal,
  signRevocation,
  verifyRefusal,
} from '../../src/contracts/notices.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import type { Store } from '../../src/store/store.ts';
import { ANALYST, HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace, SELF } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';
import { postgresKind, sqliteKind } from '../support/test-stores.ts';
import type { TestStore } from '../support/test-stores.ts';

const cast = makeCast();
const contract = makeContract(cast);
const keys = cast.keyOf(SELF);
const postgres = await postgresKind();
afterAll(() => postgres.stop());
let opened: TestStore;
let store: Store;
let witness: SpendWitness;

async function makeChain(): Promise<SignedSpend[]> {
  const place = await makePlace();
  const domain = await openPlace(place, cast);
  for (let run = 0; run < 3; run += 1) await domain.counters.spend(makeCommand(contract));
  const chain = [...(await domain.counters.statements(0, 10))];
  await domain.close();
  await place.remove();
  return chain;
}
const show = (signed: SignedSpend): Promise<string> =>
  codeOf(() => witness.witness(signed, keys.publicKey));
const resign = (signed: SignedSpend, changes: Partial<Spend>): SignedSpend =>
  signSpend({ ...signed.spend, ...changes }, keys);

describe.each([sqliteKind, postgres])('the witness of spends on $name', (kind) => {
  beforeEach(async (context) => {
    if (kind.missing !== undefined) context.skip(kind.missing);
    opened = await kind.open([SPEND_WITNESS_MIGRATIONS]);
    store = opened.store;
    witness = openSpendWitness(store);
  });
  afterEach(() => (kind.missing === undefined ? opened.remove() : undefined));

  it('takes statements in any order and keeps them', async () => {
    const [one, two, three] = (await makeChain()) as [SignedSpend, SignedSpend, SignedSpend];
    for (const signed of [two, three, one, two]) expect(await show(signed)).toBe('accepted');
    expect(await Promise.all([show(one), show(one)])).toEqual(['accepted', 'accepted']);
    expect(await witness.latest(SELF)).toEqual(three);
    expect(await witness.statements(SELF, 1, 10)).toEqual([two, three]);
    expect(await witness.latest(HOLDERS[1]!)).toBeUndefined();
  });

  it('notices another history: of the same number, not chained, or later under an earlier number', async () => {
    const [one, two, three] = (await makeChain()) as [SignedSpend, SignedSpend, SignedSpend];
    await show(one);
    await show(three);
    expect(await show(resign(three, { runs: 0 }))).toBe('history-rolled-back');
    expect(await show(resign(two, { previous: spendHash(two.spend) }))).toBe('history-rolled-back');
    expect(await show(resign(two, { attempt: 2 }))).toBe('history-rolled-back');
    const later = new Date(Date.parse(three.spend.at) + 1000).toISOString();
    expect(await show(resign(two, { at: later }))).toBe('history-rolled-back');
    expect(await show(resign(three, { seq: 4 }))).toBe('history-rolled-back');
    const earlier = new Date(Date.parse(three.spend.at) - 1000).toISOString();
    expect(await show(resign(three, { seq: 9, at: earlier }))).toBe('history-rolled-back');
    expect(await show(two)).toBe('accepted');
    const stranger = signSpend(two.spend, cast.keyOf(HOLDERS[1]!));
    expect(await show(stranger)).toBe('signature-invalid');
  });

  it('at once with two histories keeps one', async () => {
    const [one] = (await makeChain()) as [SignedSpend];
    const other = resign(one, { attempt: 2 });
    const codes = await Promise.all([show(one), show(other)]);
    expect(codes.toSorted()).toEqual(['accepted', 'history-rolled-back']);
  });
});

async function restoreFrom(copy: string, place: Place): Promise<void> {
  for (const suffix of ['-wal', '-shm']) {
    await rm(`${place.databaseFile}${suffix}`, { force: true });
  }
  await copyFile(copy, place.databaseFile);
}

describe('standing and notices', () => {
  let place: Place;
  let domain: Opened;
  let book: StandingBook;
  beforeEach(async () => {
    place = await makePlace();
    domain = await openPlace(place, cast);
    book = openStandingBook(domain.store, domain.counters);
  });
  afterEach(async () => {
    await domain.close();
    await place.remove();
  });
  const hash = contractHash(contract);
  const notice = {
    contractId: contract.id,
    contractHash: hash,
    party: HOLDERS[1]!,
    reason: 'withdrawn',
    at: '2026-06-15T12:00:00Z',
  };
  const revocation = { format: 'weir-revocation/1' as const, ...notice };

  it('lets an officer pause, and a holder revoke for good', async () => {
    expect(await book.standingOf(hash)).toBe('in-force');
    const pause = (standing: 'suspended' | 'resumed', by = HOLDERS[1]!): Promise<void> =>
      book.pause(
        signPause({ format: 'weir-pause/1', standing, ...notice }, cast.keyOf(by)),
        contract,
      );
    await pause('suspended');
    expect(await book.standingOf(hash)).toBe('suspended');
    expect((await book.pauses(undefined, 10)).map((one) => one.pause.standing)).toEqual([
      'suspended',
    ]);
    await pause('resumed');
    expect(await book.standingOf(hash)).toBe('in-force');
    expect((await book.pauses(undefined, 10)).map((one) => one.pause.standing)).toEqual([
      'resumed',
    ]);
    expect(await codeOf(() => pause('suspended', SELF))).toBe('signature-invalid');
    expect(await book.standingOf(hash)).toBe('in-force');
    await pause('suspended');
    await book.revoke(signRevocation(revocation, cast.keyOf(HOLDERS[1]!)), contract);
    await pause('resumed');
    await pause('suspended');
    expect(await book.standingOf(hash)).toBe('revoked');
    expect(await book.pauses(undefined, 10)).toEqual([]);
    const [kept, ...more] = await book.revocations(undefined, 10);
    expect([kept?.revocation.reason, more]).toEqual(['withdrawn', []]);
    expect(await book.revocations(hash, 10)).toEqual([]);
  });

  it('takes a revocation that is told again without an entry of the chain', async () => {
    const signed = signRevocation(revocation, cast.keyOf(HOLDERS[1]!));
    await book.revoke(signed, contract);
    const { head } = await domain.counters.state();
    for (let told = 0; told < 3; told += 1) await book.revoke(signed, contract);
    expect((await domain.counters.state()).head).toEqual(head);
  });

  it('notices a restored backup that would undo a revocation, though nothing ran since', async () => {
    await domain.counters.spend(makeCommand(contract));
    const copy = `${place.databaseFile}.copy`;
    await domain.store.copyTo(copy);
    await book.revoke(signRevocation(revocation, cast.keyOf(HOLDERS[1]!)), contract);
    await domain.close();
    await restoreFrom(copy, place);
    domain = await openPlace(place, cast);
    expect((await domain.counters.state()).kind).toBe('rolled-back');
    // A revocation is taken all the same.
    book = openStandingBook(domain.store, domain.counters);
    await book.revoke(signRevocation(revocation, cast.keyOf(HOLDERS[1]!)), contract);
    expect(await book.standingOf(hash)).toBe('revoked');
  });

  it('takes a number of the chain for each pause and revocation, which witnesses skip', async () => {
    await domain.counters.spend(makeCommand(contract));
    const pause = { format: 'weir-pause/1' as const, standing: 'suspended' as const, ...notice };
    await book.pause(signPause(pause, cast.keyOf(HOLDERS[1]!)), contract);
    await domain.counters.spend(makeCommand(contract));
    const statements = await domain.counters.statements(0, 10);
    expect(statements.map(({ spend }) => spend.seq)).toEqual([1, 3]);
    for (const signed of statements) await domain.counters.present(signed);
    await domain.close();
    domain = await openPlace(place, cast);
    expect((await domain.counters.state()).kind).toBe('ready');
  });

  it('takes notices only from a holder of this very contract', async () => {
    const revoke = (changes: object, by = HOLDERS[1]!): Promise<string> =>
      codeOf(() =>
        book.revoke(signRevocation({ ...revocation, ...changes }, cast.keyOf(by)), contract),
      );
    expect(await revoke({}, SELF)).toBe('signature-invalid');
    expect(await revoke({ party: ANALYST }, ANALYST)).toBe('party-not-in-contract');
    expect(await revoke({ contractHash: '0'.repeat(64) })).toBe('party-not-in-contract');
    const refusal = { format: 'weir-refusal/1' as const, ...notice };
    const signed = signRefusal(refusal, cast.keyOf(HOLDERS[1]!));
    verifyRefusal(signed, contract);
    // A refusal's signature is no revocation.
    const dressed = { revocation, jws: signed.jws };
    expect(await codeOf(() => book.revoke(dressed, contract))).toBe('signature-invalid');
    expect(await book.standingOf(hash)).toBe('in-force');
  });
});
