/**
 * A gateway played by an attacker against real domains, one after the other in the same three
 * processes' parts: whatever it tries is refused with a type, nothing derived from data leaves,
 * and after each try an honest run gives the right result.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import type { SignedRunKey } from '../../src/contracts/descriptor.ts';
import { signContract, signDescriptor, signRunKey } from '../../src/contracts/signed-documents.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema, type PartyId, PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { type Cast, HOLDERS, makeCast } from '../fixtures/contract.ts';
import { asked, askFor, type Ask, digest, freshRunId, voided } from './support/attack-case.ts';
import { Attacker, codeOf, expectHonest } from './support/attacker.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-atk-'));
const [A, B, C] = HOLDERS as [PartyId, PartyId, PartyId];
let attacker: Attacker;

beforeAll(async () => {
  attacker = await Attacker.open(root);
});
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

const expectHonestRun = (): Promise<void> => expectHonest(attacker);

/** Nothing of the run was counted anywhere, and nothing derived from rows was sent. */
async function expectNothing(ask: Ask, counted: readonly number[]): Promise<void> {
  expect(await attacker.counted()).toEqual(counted);
  expect(attacker.derivedFrames(ask.runId)).toEqual([]);
}

const codesOf = (works: readonly Promise<unknown>[]): Promise<readonly string[]> =>
  Promise.all(works.map(codeOf));

it('plays honestly, and gets the result', () => expectHonestRun());

describe('before anything is counted', () => {
  let counted: readonly number[] = [];
  beforeAll(async () => {
    counted = await attacker.counted();
  });
  afterEach(async () => {
    await expectHonestRun();
    counted = await attacker.counted();
  });

  it('drops a party from the descriptor after prepare', async () => {
    const ask = askFor(attacker.cast);
    const runKeys = new Map(await attacker.prepareAll(ask));
    runKeys.delete(C);
    const descriptor = attacker.descriptor(ask, runKeys);
    const codes = await codesOf([A, B].map((party) => attacker.agree(party, descriptor, runKeys)));
    expect(codes).toEqual(['parties-below-minimum', 'parties-below-minimum']);
    await expectNothing(ask, counted);
  });

  it('swaps an ephemeral key for its own', async () => {
    const ask = askFor(attacker.cast);
    const honest = await attacker.prepareAll(ask);
    const ephemeralKey = encodeBase64url(systemRandom.bytes(32));
    const swapped = (party: PartyId, resign: boolean): Map<PartyId, SignedRunKey> => {
      const signed = honest.get(party)!;
      const runKey = { ...signed.runKey, party: { ...signed.runKey.party, ephemeralKey } };
      const jws = resign ? signRunKey(runKey, attacker.keys).jws : signed.jws;
      return new Map([...honest, [party, { runKey, jws }]]);
    };
    for (const resign of [false, true]) {
      const runKeys = swapped(B, resign);
      const descriptor = attacker.descriptor(ask, runKeys);
      expect(await codeOf(attacker.agree(A, descriptor, runKeys))).toBe('signature-invalid');
      // Another key in the descriptor than in what its party signed.
      expect(await codeOf(attacker.agree(A, descriptor, honest))).toBe('descriptor-mismatch');
    }
    const own = attacker.descriptor(ask, swapped(A, false));
    expect(await codeOf(attacker.agree(A, own, honest))).toBe('descriptor-mismatch');
    await expectNothing(ask, counted);
  });

  it('invents a holder, even one whose contract every officer signed', async () => {
    const ghost = PartyIdSchema.parse('aghost');
    const ghostly = makeCast([...HOLDERS, ghost]);
    const keyOf: Cast['keyOf'] = (party) =>
      party === ghost ? ghostly.keyOf(ghost) : attacker.cast.keyOf(party);
    const mixed: Cast = {
      keys: new Map([...attacker.cast.keys, [ghost, keyOf(ghost)]]),
      keyOf,
      publicKeyOf: (party) => encodeBase64url(keyOf(party).publicKey),
    };
    const { contract } = askFor(mixed).contract;
    const name = { zh: ghost, en: ghost };
    const holders = [...contract.holders, { id: ghost, name, signKey: mixed.publicKeyOf(ghost) }];
    const datasets = [...contract.datasets, { ...contract.datasets[0]!, holder: ghost }];
    const ask = askFor(mixed, { holders, datasets });
    const all = [...HOLDERS, ghost];
    const codes = await codesOf(HOLDERS.map((party) => attacker.prepare(party, ask, all)));
    expect(codes).toEqual(HOLDERS.map(() => 'party-not-pinned'));
    await expectNothing(ask, counted);
  });

  it('changes an argument of the request, or any field of the descriptor', async () => {
    const ask = askFor(attacker.cast);
    const { request, jws } = ask.request;
    const changed = { ...ask, request: { request: { ...request, arguments: { q: ['x'] } }, jws } };
    expect(await codeOf(attacker.prepare(A, changed))).toBe('signature-invalid');
    const runKeys = await attacker.prepareAll(ask);
    const descriptor = attacker.descriptor(ask, runKeys);
    const zero = HashSchema.parse('0'.repeat(64));
    const changes: Partial<Descriptor>[] = [
      { arguments: { region: ['north'] } },
      { contractHash: zero },
      { requestHash: zero },
      { dictionariesHash: zero },
      { shape: { cells: descriptor.shape.cells + 1, lanes: descriptor.shape.lanes } },
      { engine: 'other/1' },
      { parties: descriptor.parties.toReversed() },
    ];
    for (const change of changes) {
      const code = await codeOf(attacker.agree(A, { ...descriptor, ...change }, runKeys));
      expect([Object.keys(change), code]).toEqual([Object.keys(change), 'descriptor-mismatch']);
    }
    await expectNothing(ask, counted);
  });

  it('changes the contract by one byte', async () => {
    const ask = askFor(attacker.cast);
    const text = JSON.stringify(ask.contract.contract);
    for (const [from, to] of [
      ['"runsTotal":10', '"runsTotal":11'],
      ['"smallestCell":3', '"smallestCell":4'],
      ['Agreement 7/2026', 'Agreement 8/2026'],
      ['"minimum":"-1000000"', '"minimum":"-1000001"'],
    ] as const) {
      const contract = JSON.parse(text.replace(from, to)) as Ask['contract']['contract'];
      expect(contract).not.toEqual(ask.contract.contract);
      const changed = { ...ask, contract: { ...ask.contract, contract } };
      expect(await codeOf(attacker.prepare(A, changed))).toBe('signature-invalid');
    }
    await expectNothing(ask, counted);
  });

  it('forges or leaves out a signature under the contract', async () => {
    const ask = askFor(attacker.cast);
    const { contract, signatures } = ask.contract;
    const forged = { ...signContract(contract, C, attacker.keys) };
    const without = signatures.filter(({ party }) => party !== C);
    const withSignatures = (changed: typeof signatures): Ask => ({
      ...ask,
      contract: { contract, signatures: changed },
    });
    const tries = [withSignatures(without), withSignatures([...without, forged])];
    expect(await codesOf(tries.map((one) => attacker.prepare(A, one)))).toEqual([
      'signature-missing',
      'signature-invalid',
    ]);
    await expectNothing(ask, counted);
  });

  it('starts without all signatures, or with a forged one', async () => {
    const ask = askFor(attacker.cast);
    const { descriptor, signatures, channel } = await attacker.agreed(ask);
    const two = signatures.filter(({ party }) => party !== C);
    expect(await codeOf(attacker.start(A, ask, two))).toBe('signature-missing');
    const forged = [...two, signDescriptor(descriptor, C, attacker.keys)];
    expect(await codeOf(attacker.start(A, ask, forged))).toBe('signature-invalid');
    channel.abort(voided());
    await expectNothing(ask, counted);
  });

  it('starts what was never prepared or agreed', async () => {
    const ask = askFor(attacker.cast);
    expect(await codeOf(attacker.start(A, ask, []))).toBe('malformed-message');
    const jws = { party: A, jws: 'x' };
    expect(await codeOf(attacker.start(A, ask, [jws, jws]))).toBe('run-unknown');
    await attacker.prepare(A, ask);
    expect(await codeOf(attacker.start(A, ask, [jws, jws]))).toBe('round-mismatch');
    await expectNothing(ask, counted);
  });

  it('shows an audit log that went back', async () => {
    const honest = attacker.auditLog;
    const short = honest.slice(0, -1);
    for (const shown of [short, [...short, digest()], [...short, digest(), digest()]]) {
      attacker.auditLog = shown;
      // Asked on every new link.
      for (const party of HOLDERS) attacker.links.linkOf(party)?.close();
      await attacker.linked();
      const ask = askFor(attacker.cast);
      const codes = await codesOf(HOLDERS.map((party) => attacker.prepare(party, ask)));
      expect(codes).toEqual(HOLDERS.map(() => 'history-rolled-back'));
      await expectNothing(ask, counted);
    }
    attacker.auditLog = [...honest, digest()];
  });
});

describe('two stories for one request', () => {
  afterEach(expectHonestRun);

  it('shows two descriptors for one request to different domains', async () => {
    const ask = askFor(attacker.cast, { minimumParties: 2 });
    const runKeys = await attacker.prepareAll(ask);
    const all = attacker.descriptor(ask, runKeys);
    const others = new Map([...runKeys].filter(([party]) => party !== A));
    const two = attacker.descriptor(ask, others);
    const signatureOfA = await attacker.agree(A, all, runKeys);
    const signatures = await attacker.agreeAll(two, others);
    // B and C have said their word: they sign no second descriptor of this attempt.
    expect(await codeOf(attacker.agree(B, all, runKeys))).toBe('round-mismatch');
    const mixed = [signatureOfA, ...signatures];
    expect(await codeOf(attacker.start(A, ask, mixed))).toBe('signature-invalid');
    expect(await codeOf(attacker.start(B, ask, mixed))).toBe('party-not-in-contract');
    expect(attacker.derivedFrames(ask.runId)).toEqual([]);
  });

  it('prepares one request under two run ids', async () => {
    const ask = askFor(attacker.cast);
    const other = { ...ask, runId: freshRunId() };
    const runKeys = new Map([
      [A, await attacker.prepare(A, ask)],
      [B, await attacker.prepare(B, other)],
      [C, await attacker.prepare(C, other)],
    ]);
    const descriptor = attacker.descriptor(ask, runKeys);
    expect(await codeOf(attacker.agree(A, descriptor, runKeys))).toBe('descriptor-mismatch');
    expect(attacker.derivedFrames(ask.runId)).toEqual([]);
  });
});

describe('after something was sent', () => {
  afterEach(expectHonestRun);

  /** A run that the attacker voids as soon as all have sent their masked counts. */
  async function voidedRun(minimumParties: number): Promise<Ask> {
    const ask = askFor(attacker.cast, { minimumParties });
    const before = attacker.endCounts();
    const { signatures, channel } = await attacker.agreed(ask);
    await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
    await Promise.all(HOLDERS.map((party) => channel.receive(party, 'round1.counts')));
    channel.abort(voided());
    expect(await attacker.ends(before)).toEqual(HOLDERS.map(() => 'run-cancelled'));
    return ask;
  }

  /** Tries a whole run; the codes that the domains refuse it with, at whichever step. */
  async function tried(ask: Ask, parties: readonly PartyId[]): Promise<readonly string[]> {
    const runKeys = await attacker.prepareAll(ask, parties);
    const descriptor = attacker.descriptor(ask, runKeys);
    const signatures = await attacker.agreeAll(descriptor, runKeys);
    const channel = attacker.openChannel(ask, parties);
    const codes = await codesOf(parties.map((party) => attacker.start(party, ask, signatures)));
    channel.abort(voided());
    return codes;
  }

  it('says that C left, to get C’s part by subtraction', async () => {
    const ask = await voidedRun(2);
    const sent = attacker.derivedFrames(ask.runId).length;
    const without = { ...ask, attempt: 2 };
    expect(await tried(without, [A, B])).toEqual(['party-set-changed', 'party-set-changed']);
    expect(await tried({ ...without, runId: freshRunId() }, [A, B])).toEqual([
      'request-replayed',
      'request-replayed',
    ]);
    expect(attacker.derivedFrames(ask.runId).length).toBe(sent);
  });

  it('voids and repeats, for a second look at the masks', async () => {
    const ask = await voidedRun(3);
    const sent = attacker.derivedFrames(ask.runId).length;
    const counted = await attacker.counted();
    const again = await tried({ ...ask, attempt: 2 }, HOLDERS);
    expect(again).toEqual(HOLDERS.map(() => 'party-set-changed'));
    expect(attacker.derivedFrames(ask.runId).length).toBe(sent);
    expect(await attacker.counted()).toEqual(counted);
  });

  it('replays a request that was answered, under another run id', async () => {
    const ask = askFor(attacker.cast);
    await attacker.runHonestly(ask);
    const counted = await attacker.counted();
    const again = { ...ask, runId: freshRunId() };
    expect(await tried(again, HOLDERS)).toEqual(HOLDERS.map(() => 'request-replayed'));
    await expectNothing(again, counted);
  });

  it('prepares again while the run is at work', async () => {
    const ask = askFor(attacker.cast);
    const { signatures, channel } = await attacker.agreed(ask);
    await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
    const codes = [
      await codeOf(attacker.prepare(A, ask)),
      await codeOf(attacker.prepare(A, { ...ask, attempt: 2 })),
      await codeOf(attacker.start(A, ask, signatures)),
    ];
    expect(codes).toEqual(['request-replayed', 'request-replayed', 'round-mismatch']);
    channel.abort(voided());
  });

  it('runs once more than the limit, though every request is the analyst’s own', async () => {
    const limits = {
      runsTotal: 2,
      runsPerDay: 2,
      runsPerMonth: 2,
      rowsTotal: 10_000,
      computeMilliUnitsTotal: 1_000_000,
      microRhoTotal: 0,
    };
    const first = askFor(attacker.cast, { limits });
    await attacker.runHonestly(first);
    await attacker.runHonestly(asked(attacker.cast, first.contract));
    const counted = await attacker.counted();
    const third = asked(attacker.cast, first.contract);
    const codes = await tried(third, HOLDERS);
    expect(codes).toEqual(HOLDERS.map(() => 'contract-counter-exhausted'));
    await expectNothing(third, counted);
  });
});
