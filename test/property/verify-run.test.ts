import { describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import { describeRun } from '../../src/contracts/describe-run.ts';
import type { DescriptorParty } from '../../src/contracts/describe-run.ts';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import { signContract, signDescriptor, signRequest } from '../../src/contracts/signed-documents.ts';
import {
  makeRunKey,
  verifyAgree,
  verifyPrepare,
  verifyStart,
} from '../../src/domain/verify-run.ts';
import type { DomainView, PrepareMessage } from '../../src/domain/verify-run.ts';
import { PolicyError, WeirError } from '../../src/errors.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema, RunIdSchema } from '../../src/system/ids.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import {
  ANALYST,
  HOLDERS,
  makeCast,
  makeContract,
  makeRequest,
  NOW_MS,
  signByAll,
} from '../fixtures/contract.ts';
import type { Cast } from '../fixtures/contract.ts';

const SELF = HOLDERS[0]!;
const cast = makeCast();
const shape = { engine: 'secure-sum/1', cells: 18, lanes: 2 };
const fingerprint = HashSchema.parse('c'.repeat(64));

function viewOf(changes: Partial<DomainView> = {}, by: Cast = cast): DomainView {
  return {
    self: SELF,
    publicKey: by.keyOf(SELF).publicKey,
    pinnedKey: (party) => by.keys.get(party)?.publicKey,
    standing: 'in-force',
    dataset: { name: 'departures', fingerprint, rowCount: 1_048_576, checkPlan: () => undefined },
    minimumParties: 3,
    nowMs: NOW_MS,
    ...changes,
  };
}

function messageOf(contract: Contract, by: Cast = cast): PrepareMessage {
  return {
    contract: signByAll(contract, by),
    request: signRequest(makeRequest(contract), by.keyOf(ANALYST)),
    runId: RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa'),
    attempt: 1,
  };
}

/** The error's code with what it names, or `accepted`. */
function outcome(work: () => unknown): { code: string; party?: string; rule?: string } {
  try {
    work();
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    const { party, rule } = error.facts;
    return {
      code: error.code,
      ...(party === undefined ? {} : { party }),
      ...(rule === undefined ? {} : { rule }),
    };
  }
  return { code: 'accepted' };
}

describe('prepare', () => {
  const contract = makeContract(cast);
  const message = messageOf(contract);
  const prepare = (view: DomainView, given: PrepareMessage = message): ReturnType<typeof outcome> =>
    outcome(() => verifyPrepare(given, view));

  it('accepts what everybody signed', () => {
    expect(prepare(viewOf())).toEqual({ code: 'accepted' });
  });

  it('refuses a holder that is not pinned, pinned with another key, or invented', () => {
    const [, second] = HOLDERS;
    for (const pinnedKey of [() => undefined, () => eddsaSuite.generate(systemRandom).publicKey]) {
      expect(prepare(viewOf({ pinnedKey }))).toMatchObject({
        code: 'party-not-pinned',
        party: second,
      });
    }
    // A gateway invents two holders and signs for them: everything verifies, nobody is pinned.
    const invented = makeCast([SELF, 'ghost-a' as PartyId, 'ghost-b' as PartyId]);
    const self = cast.keyOf(SELF);
    const mixed: Cast = {
      ...invented,
      keyOf: (party) => (party === SELF ? self : invented.keyOf(party)),
      publicKeyOf: (party) =>
        encodeBase64url((party === SELF ? self : invented.keyOf(party)).publicKey),
    };
    const ghosts = [SELF, 'ghost-a' as PartyId, 'ghost-b' as PartyId];
    const ghostly = messageOf(makeContract(mixed, {}, ghosts), mixed);
    expect(prepare(viewOf(), ghostly)).toMatchObject({
      code: 'party-not-pinned',
      party: 'ghost-a',
    });
    // The own key is the domain's own, whatever the contract says.
    const { publicKey } = eddsaSuite.generate(systemRandom);
    expect(prepare(viewOf({ publicKey }))).toMatchObject({ code: 'party-not-pinned', party: SELF });
  });

  it('refuses what is suspended, revoked, early, late, or too small', () => {
    expect(prepare(viewOf({ standing: 'suspended' })).code).toBe('contract-not-active');
    expect(prepare(viewOf({ standing: 'revoked' })).code).toBe('contract-revoked');
    const { notBefore, notAfter } = contract.validity;
    expect(prepare(viewOf({ nowMs: Date.parse(notBefore) - 1 })).code).toBe('contract-not-active');
    expect(prepare(viewOf({ nowMs: Date.parse(notAfter) })).code).toBe('contract-expired');
    expect(prepare(viewOf({ minimumParties: 4 })).code).toBe('parties-below-minimum');
  });

  it('refuses its own dataset where it is missing, drifted, grown, or its rules forbid', () => {
    const { dataset } = viewOf();
    const withDataset = (changes: object): DomainView =>
      viewOf({ dataset: { ...dataset!, ...changes } });
    expect(prepare(viewOf({ dataset: undefined })).code).toBe('dataset-unknown');
    expect(prepare(withDataset({ name: 'arrivals' })).code).toBe('dataset-unknown');
    expect(prepare(withDataset({ rowCount: 1_048_577 })).code).toBe('dataset-drifted');
    const checkPlan = (): never => {
      throw new PolicyError('grade-forbids-protocol', 'core');
    };
    expect(prepare(withDataset({ checkPlan })).code).toBe('grade-forbids-protocol');
    const pinned = makeContract(cast, {
      datasets: contract.datasets.map((terms) => ({ ...terms, version: fingerprint })),
    });
    expect(prepare(viewOf(), messageOf(pinned)).code).toBe('accepted');
    const other = HashSchema.parse('d'.repeat(64));
    expect(prepare(withDataset({ fingerprint: other }), messageOf(pinned)).code).toBe(
      'dataset-drifted',
    );
  });

  it('refuses a request that is not this analyst’s, expired, too long-lived or outside', () => {
    const request = makeRequest(contract);
    const by = (party: PartyId, changed = request): PrepareMessage => ({
      ...message,
      request: signRequest(changed, cast.keyOf(party)),
    });
    expect(prepare(viewOf(), by(SELF)).code).toBe('signature-invalid');
    expect(prepare(viewOf({ nowMs: NOW_MS + 600_000 }), message).code).toBe('request-expired');
    const longest = NOW_MS + 86_400_000;
    const until = (ms: number): PrepareMessage =>
      by(ANALYST, { ...request, expiresAt: new Date(ms).toISOString() });
    expect(prepare(viewOf(), until(longest)).code).toBe('accepted');
    expect(prepare(viewOf(), until(longest + 1)).code).toBe('parameter-invalid');
    const outside = by(ANALYST, { ...request, arguments: { hours: ['9'] } });
    expect(prepare(viewOf(), outside).code).toBe('plan-outside-contract');
  });

  it('refuses a contract that contradicts itself, though all signed it', () => {
    const twisted = makeContract(cast, { timeZone: 'Asia/Atlantis' });
    expect(prepare(viewOf(), messageOf(twisted)).code).toBe('malformed-message');
    const { contract: signed } = message;
    const forged = signContract(contract, HOLDERS[1]!, cast.keyOf(SELF));
    const signatures = signed.signatures.with(2, forged);
    expect(prepare(viewOf(), { ...message, contract: { contract, signatures } })).toMatchObject({
      code: 'signature-invalid',
      party: HOLDERS[1],
    });
  });
});

describe('agree and start', () => {
  const contract = makeContract(cast, { minimumParties: 2 });
  const view = viewOf({ minimumParties: 2 });
  const message = messageOf(contract);
  const prepared = verifyPrepare(message, view);
  const entryOf = (id: PartyId): DescriptorParty => ({
    id,
    ephemeralKey: encodeBase64url(systemRandom.bytes(32)),
    datasetFingerprint: fingerprint,
  });
  const entries = HOLDERS.map(entryOf);
  const ownEntry = entries[0]!;
  const { runId, attempt, request } = prepared;
  const descriptor = describeRun({ contract, request, runId, attempt, parties: entries, shape });
  const agree = (given: Descriptor, by = view): ReturnType<typeof outcome> =>
    outcome(() => verifyAgree(given, prepared, ownEntry, shape, by));

  it('accepts what this domain derives itself, with the rest of the parties too', () => {
    expect(agree(descriptor)).toEqual({ code: 'accepted' });
    const parties = descriptor.parties.slice(0, 2);
    expect(agree({ ...descriptor, parties })).toEqual({ code: 'accepted' });
    expect(makeRunKey(prepared, ownEntry)).toMatchObject({ runId, attempt, party: ownEntry });
  });

  const zero = HashSchema.parse('0'.repeat(64));
  const changes: [keyof Descriptor, Partial<Descriptor>][] = [
    ['runId', { runId: RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000ab') }],
    ['attempt', { attempt: 2 }],
    ['contractHash', { contractHash: zero }],
    ['requestHash', { requestHash: zero }],
    ['arguments', { arguments: { hours: ['6'] } }],
    ['dictionariesHash', { dictionariesHash: zero }],
    ['protocol', { protocol: 'sealed-sum' }],
    [
      'noise',
      {
        noise: {
          mechanism: 'discrete-gaussian',
          microRhoPerRun: 1,
          deltaExponent: 10,
          cellsPerUnit: 1,
          rowsPerCell: 1,
          honestDomains: 1,
        },
      },
    ],
    ['shape', { shape: { cells: 19, lanes: 2 } }],
    ['shape', { shape: { cells: 18, lanes: 3 } }],
    ['engine', { engine: 'other/1' }],
  ];
  it.each(changes)('refuses another %s', (rule, change) => {
    expect(agree({ ...descriptor, ...change })).toMatchObject({
      code: 'descriptor-mismatch',
      rule,
    });
  });

  it('names every field of the descriptor in these tests', () => {
    const fixed = ['format', 'parties'];
    const named = new Set([...changes.map(([name]) => name as string), ...fixed]);
    expect([...named].toSorted()).toEqual(Object.keys(descriptor).toSorted());
  });

  it('refuses changed, repeated, foreign, unordered or too few parties', () => {
    const { parties } = descriptor;
    const withParties = (changed: Descriptor['parties'], by = view): string =>
      agree({ ...descriptor, parties: changed }, by).code;
    const swapped = { ...ownEntry, ephemeralKey: encodeBase64url(systemRandom.bytes(32)) };
    expect(withParties(parties.with(0, swapped))).toBe('descriptor-mismatch');
    expect(withParties(parties.slice(1))).toBe('descriptor-mismatch');
    expect(withParties(parties.toReversed())).toBe('descriptor-mismatch');
    expect(withParties([parties[0]!, parties[0]!])).toBe('descriptor-mismatch');
    expect(withParties(parties.slice(0, 1))).toBe('parties-below-minimum');
    expect(withParties(parties.slice(0, 2), viewOf({ minimumParties: 3 }))).toBe(
      'parties-below-minimum',
    );
    expect(withParties([...parties, entryOf('zoo' as PartyId)])).toBe('party-not-in-contract');
    const shared = { ...parties[1]!, ephemeralKey: ownEntry.ephemeralKey };
    expect(withParties(parties.with(1, shared))).toBe('descriptor-mismatch');
    const weak = { ...parties[1]!, ephemeralKey: encodeBase64url(new Uint8Array(32)) };
    expect(withParties(parties.with(1, weak))).toBe('descriptor-mismatch');
  });

  it('agrees with another holder on the version that the contract pins, and on no other', () => {
    const datasets = contract.datasets.map((terms) => ({ ...terms, version: fingerprint }));
    const pinned = makeContract(cast, { minimumParties: 2, datasets });
    const given = verifyPrepare(messageOf(pinned), view);
    const withSecond = (datasetFingerprint: DescriptorParty['datasetFingerprint']) => {
      const parties = entries.with(1, { ...entries[1]!, datasetFingerprint });
      const terms = { contract: pinned, request: given.request, runId, attempt, parties, shape };
      return outcome(() => verifyAgree(describeRun(terms), given, ownEntry, shape, view));
    };
    expect(withSecond(fingerprint).code).toBe('accepted');
    expect(withSecond(HashSchema.parse('d'.repeat(64)))).toMatchObject({
      code: 'dataset-drifted',
      party: HOLDERS[1],
    });
  });

  it('keeps the contract’s minimum of parties where the holder’s own floor is lower', () => {
    const all = makeContract(cast, { minimumParties: 3 });
    const given = verifyPrepare(messageOf(all), view);
    const withParties = (parties: Descriptor['parties']) => {
      const terms = { contract: all, request: given.request, runId, attempt, parties, shape };
      return outcome(() => verifyAgree(describeRun(terms), given, ownEntry, shape, view)).code;
    };
    expect(withParties(entries)).toBe('accepted');
    expect(withParties(entries.slice(0, 2))).toBe('parties-below-minimum');
  });

  it('starts only what it agreed to, with all signatures, while it still holds', () => {
    const agreed = verifyAgree(descriptor, prepared, ownEntry, shape, view);
    const signatures = HOLDERS.map((id) => signDescriptor(descriptor, id, cast.keyOf(id)));
    const start = (given = descriptor, signed = signatures, by = view): string =>
      outcome(() => verifyStart(given, signed, agreed, prepared, by)).code;
    expect(start()).toBe('accepted');
    expect(start(descriptor, signatures.slice(1))).toBe('signature-missing');
    const forged = signDescriptor(descriptor, HOLDERS[1]!, cast.keyOf(SELF));
    expect(start(descriptor, signatures.with(1, forged))).toBe('signature-invalid');
    // All signed another descriptor as well: this domain still starts only the one it agreed to.
    const other = { ...descriptor, parties: descriptor.parties.slice(0, 2) };
    const others = HOLDERS.slice(0, 2).map((id) => signDescriptor(other, id, cast.keyOf(id)));
    expect(start(other, others)).toBe('descriptor-mismatch');
    expect(start(descriptor, signatures, viewOf({ standing: 'revoked' }))).toBe('contract-revoked');
    expect(start(descriptor, signatures, viewOf({ nowMs: NOW_MS + 600_000 }))).toBe(
      'request-expired',
    );
    const over = viewOf({ nowMs: Date.parse(contract.validity.notAfter) });
    expect(start(descriptor, signatures, over)).toBe('contract-expired');
    const unpinned = viewOf({ pinnedKey: () => undefined });
    expect(start(descriptor, signatures, unpinned)).toBe('party-not-pinned');
    const grown = viewOf({ dataset: { ...view.dataset!, rowCount: 1_048_577 } });
    expect(start(descriptor, signatures, grown)).toBe('dataset-drifted');
  });
});
