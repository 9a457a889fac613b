/** A gateway that swaps keys, parties or documents between an analyst with its own set and the holder. */
import { describe, expect, it } from 'vitest';
import { verifyInvitation } from '../../src/computations/own-set/analyst.ts';
import { estimateOwnSet } from '../../src/computations/own-set/estimate.ts';
import { describeRun } from '../../src/contracts/describe-run.ts';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import type { RunRequest } from '../../src/contracts/request.ts';
import { contractHash, signDescriptor, signRequest } from '../../src/contracts/signed-documents.ts';
import { type DomainView, verifyPrepare } from '../../src/domain/verify-run.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { createExchangeKeys } from '../../src/system/exchange-keys.ts';
import { HashSchema, PartyIdSchema, RunIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { ANALYST, makeCast, NOW_MS, signByAll } from '../fixtures/contract.ts';
import { CLINIC, ownSetContract } from '../fixtures/own-set-contract.ts';

const cast = makeCast([CLINIC]);
const contract = ownSetContract({}, {}, cast);
const runId = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa');
const fingerprint = HashSchema.parse('c'.repeat(64));
const freshKey = (): string => encodeBase64url(createExchangeKeys(systemRandom).publicKey);
const request: RunRequest = {
  format: 'weir-request/1',
  contractId: contract.id,
  contractHash: contractHash(contract),
  arguments: { items: ['16'] },
  nonce: encodeBase64url(systemRandom.bytes(32)),
  expiresAt: new Date(NOW_MS + 60_000).toISOString(),
  analystKey: freshKey(),
};
const descriptor: Descriptor = describeRun({
  contract,
  request,
  runId,
  attempt: 1,
  parties: [{ id: CLINIC, ephemeralKey: freshKey(), datasetFingerprint: fingerprint }],
  shape: estimateOwnSet(contract, request.arguments),
});
const [party] = descriptor.parties;
if (party === undefined) throw new Error('no party');

const invitation = (shown: Descriptor, signed: Descriptor = shown, keys = cast.keyOf(CLINIC)) =>
  new TextEncoder().encode(
    JSON.stringify({ descriptor: shown, signatures: [signDescriptor(signed, CLINIC, keys)] }),
  );
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
};

describe('the analyst takes part in the run it asked for', () => {
  const asked = (bytes: Uint8Array, of: RunRequest = request, id = runId): string =>
    codeOf(() => verifyInvitation(bytes, contract, of, id));

  it('as the holder signed it', () => {
    expect(asked(invitation(descriptor))).toBe('accepted');
  });

  it.each<[string, Descriptor, string]>([
    [
      'under a key that the gateway put in the holder’s place',
      { ...descriptor, parties: [{ ...party, ephemeralKey: freshKey() }] },
      'signature-invalid',
    ],
    [
      'under a key of low order',
      { ...descriptor, parties: [{ ...party, ephemeralKey: 'A'.repeat(43) }] },
      'descriptor-mismatch',
    ],
    [
      'with a party besides the holder',
      {
        ...descriptor,
        parties: [party, { ...party, id: PartyIdSchema.parse('zoo'), ephemeralKey: freshKey() }],
      },
      'descriptor-mismatch',
    ],
    [
      'by another party',
      { ...descriptor, parties: [{ ...party, id: PartyIdSchema.parse('zoo') }] },
      'descriptor-mismatch',
    ],
    ['with another size', { ...descriptor, arguments: { items: ['32'] } }, 'descriptor-mismatch'],
    ['without noise', { ...descriptor, noise: 'none' }, 'descriptor-mismatch'],
    ['by another engine', { ...descriptor, engine: 'psi-ecdh/1' }, 'descriptor-mismatch'],
  ])('not %s', (_, shown, code) => {
    expect(asked(invitation(shown, descriptor))).toBe(code);
  });

  it('not by a signature of a stranger, nor in an answer to another request or run', () => {
    const stranger = eddsaSuite.generate(systemRandom);
    expect(asked(invitation(descriptor, descriptor, stranger))).toBe('signature-invalid');
    const other = { ...request, nonce: encodeBase64url(systemRandom.bytes(32)) };
    expect(asked(invitation(descriptor), other)).toBe('descriptor-mismatch');
    const run = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000ab');
    expect(asked(invitation(descriptor), request, run)).toBe('descriptor-mismatch');
    expect(asked(new TextEncoder().encode('{}'))).toBe('transcript-mismatch');
    expect(asked(new Uint8Array([0xff]))).toBe('transcript-mismatch');
  });
});

describe('the holder answers the analyst that signed', () => {
  const view: DomainView = {
    self: CLINIC,
    publicKey: cast.keyOf(CLINIC).publicKey,
    pinnedKey: () => undefined,
    standing: 'in-force',
    dataset: { name: 'patients', fingerprint, rowCount: 1000, checkPlan: () => undefined },
    minimumParties: 2,
    nowMs: NOW_MS,
  };
  const prepared = (sent: RunRequest, changes: Partial<DomainView> = {}): string =>
    codeOf(() => {
      const { jws } = signRequest(request, cast.keyOf(ANALYST));
      const signed = signByAll(contract, cast);
      const message = { contract: signed, request: { request: sent, jws }, runId, attempt: 1 };
      verifyPrepare(message, { ...view, ...changes });
    });

  it('under its own key, and under no key that the gateway put in its place', () => {
    expect(prepared(request)).toBe('accepted');
    expect(prepared({ ...request, analystKey: freshKey() })).toBe('signature-invalid');
    const { analystKey: _key, ...without } = request;
    expect(prepared(without)).toBe('signature-invalid');
  });

  it('but not below its own floor of parties, of which the analyst is one', () => {
    expect(prepared(request, { minimumParties: 3 })).toBe('parties-below-minimum');
  });
});
