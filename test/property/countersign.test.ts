import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signReceipt } from '../../src/contracts/receipt.ts';
import type { Receipt } from '../../src/contracts/receipt.ts';
import { openSpendWitness, SPEND_WITNESS_MIGRATIONS } from '../../src/contracts/spend-witness.ts';
import { signSpend, spendHash } from '../../src/contracts/spend.ts';
import type { SignedSpend, Spend } from '../../src/contracts/spend.ts';
import { encodeCountersign } from '../../src/contracts/run-messages.ts';
import { countersigner } from '../../src/domain/countersign.ts';
import { openPins } from '../../src/domain/pins.ts';
import type { Pins } from '../../src/domain/pins.ts';
import { StateError } from '../../src/errors.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace, SELF } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';

const cast = makeCast();
const contract = makeContract(cast);
const gateway = eddsaSuite.generate(systemRandom);
const gatewayKey = encodeBase64url(gateway.publicKey);
const PEERS = HOLDERS.filter((party) => party !== SELF);
const zero = HashSchema.parse('0'.repeat(64));

let place: Place;
let opened: Opened;
let store: SqliteStore;
let pins: Pins;
beforeEach(async () => {
  place = await makePlace();
  opened = await openPlace(place, cast);
  store = await openSqliteStore({
    file: `${place.directory}/witness.db`,
    migrations: [SPEND_WITNESS_MIGRATIONS],
  });
  pins = await openPins(`${place.directory}/pins.json`);
  for (const party of PEERS) await pins.trust('holders', party, cast.keyOf(party).publicKey);
});
afterEach(async () => {
  await opened.close();
  await store.close();
  await place.remove();
});

/** A run that this domain counted, and what its peers said of theirs. */
async function makeRun(peerSeq = 1): Promise<{ receipt: Receipt; spends: SignedSpend[] }> {
  const own = await opened.counters.spend(makeCommand(contract));
  const spends = [
    own,
    ...PEERS.map((party) =>
      signSpend({ ...own.spend, party, seq: peerSeq, previous: zero }, cast.keyOf(party)),
    ),
  ];
  const { runId, attempt, contractHash, requestHash, descriptorHash } = own.spend;
  return {
    spends,
    receipt: { ...receiptOf(spends), runId, attempt, contractHash, requestHash, descriptorHash },
  };
}

function receiptOf(spends: readonly SignedSpend[]): Receipt {
  const { spend } = spends[0]!;
  return {
    format: 'weir-receipt/1',
    gatewayKey,
    runId: spend.runId,
    attempt: 1,
    contractId: contract.id,
    contractHash: spend.contractHash,
    requestHash: spend.requestHash,
    descriptorHash: spend.descriptorHash,
    parties: [...HOLDERS],
    spends: spends.map((one) => ({
      party: one.spend.party,
      seq: one.spend.seq,
      hash: spendHash(one.spend),
    })),
    outcome: 'posted',
    code: null,
    units: { runs: '1' },
    chargeMicros: '0',
    currency: 'CNY',
    record: { seq: '1', hash: zero },
    audit: { size: '1', hash: zero },
    resultHash: null,
    at: '2026-06-15T12:00:00Z',
  };
}

const countersign = (
  { receipt, spends }: { receipt: Receipt; spends: readonly SignedSpend[] },
  vouch?: () => Promise<void>,
): Promise<string> => answerTo(encodeCountersign(signReceipt(receipt, gateway), spends), vouch);
const answerTo = (body: unknown, vouch = (): Promise<void> => Promise.resolve()): Promise<string> =>
  codeOf(() =>
    countersigner(
      {
        counters: opened.counters,
        identity: cast.keyOf(SELF),
        pins,
        spendWitness: openSpendWitness(store),
      },
      { party: SELF, gateway: { publicKey: gatewayKey } },
      vouch,
    )(body),
  );
const resigned = (signed: SignedSpend, changes: Partial<Spend>): SignedSpend =>
  signSpend({ ...signed.spend, ...changes }, cast.keyOf(signed.spend.party));

describe('a domain that countersigns', () => {
  it('signs a receipt of its own run once all parties’ statements stand behind it', async () => {
    const run = await makeRun();
    expect(await countersign(run)).toBe('accepted');
    expect(await countersign(run)).toBe('accepted');
    expect(await countersign({ ...run, spends: run.spends.slice(0, 2) })).toBe(
      'descriptor-mismatch',
    );
    const other = resigned(run.spends[1]!, { runs: 0 });
    expect(await countersign({ ...run, spends: run.spends.with(1, other) })).toBe(
      'descriptor-mismatch',
    );
    expect(await answerTo({ receipt: signReceipt(run.receipt, gateway), spends: [null] })).toBe(
      'malformed-message',
    );
  });

  it('refuses a statement that was signed for other parties than the receipt has', async () => {
    const run = await makeRun();
    const fewer = resigned(run.spends[1]!, { parties: HOLDERS.slice(0, 2) });
    const spends = run.spends.with(1, fewer);
    const named = { ...run.receipt, spends: receiptOf(spends).spends };
    // The receipt names the very statement, but what it says of its parties is not what was signed.
    expect(await countersign({ receipt: named, spends })).toBe('descriptor-mismatch');
    expect(await countersign(run)).toBe('accepted');
  });

  it('refuses a statement of another run, by another key, or of a peer that is not pinned', async () => {
    const run = await makeRun();
    const [own, peer, third] = run.spends as [SignedSpend, SignedSpend, SignedSpend];
    const foreign = [own, resigned(peer, { descriptorHash: zero }), third];
    expect(await countersign({ receipt: receiptOf(foreign), spends: foreign })).toBe(
      'descriptor-mismatch',
    );
    const forged = [own, { ...peer, jws: third.jws }, third];
    expect(await countersign({ ...run, spends: forged })).toBe('signature-invalid');
    await pins.distrust('holders', peer.spend.party);
    expect(await countersign(run)).toBe('party-not-pinned');
  });

  it('notices a peer whose counter was rolled back', async () => {
    expect(await countersign(await makeRun(1))).toBe('accepted');
    expect(await countersign(await makeRun(2))).toBe('history-rolled-back');
    expect(await countersign(await makeRun(1))).toBe('history-rolled-back');
  });

  it('refuses a head that is not one of the gateway’s log, and a run it did not count', async () => {
    const run = await makeRun();
    const refuse = (): Promise<void> =>
      Promise.reject(new StateError('history-rolled-back', 'another log'));
    expect(await countersign(run, refuse)).toBe('history-rolled-back');
    const moved = { ...run.receipt, requestHash: zero };
    expect(await countersign({ ...run, receipt: moved })).toBe('descriptor-mismatch');
    const spends = run.receipt.spends.slice(1);
    expect(await countersign({ ...run, receipt: { ...run.receipt, spends } })).toBe(
      'descriptor-mismatch',
    );
  });
});
