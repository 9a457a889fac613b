import { flattenedVerify, importJWK } from 'jose';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContractSchema } from '../../src/contracts/contract.ts';
import type { SignedContract } from '../../src/contracts/contract.ts';
import { payloadOf, signDocument, verifyDocument } from '../../src/contracts/signing.ts';
import {
  checkValidity,
  contractHash,
  signContract,
  signDescriptor,
  signRequest,
  signRunKey,
  verifyAllSignatures,
  verifyDescriptor,
  verifyRequest,
  verifyRunKey,
} from '../../src/contracts/signed-documents.ts';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { canonicalBytes } from '../../src/system/canonical-json.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import type { SignatureContext } from '../../src/system/signature-suite.ts';
import {
  ANALYST,
  HOLDERS,
  makeCast,
  makeContract,
  makeRequest,
  NOW_MS,
  RECIPIENT_KEY,
  signByAll,
} from '../fixtures/contract.ts';
import { CLINIC, ownSetContract } from '../fixtures/own-set-contract.ts';

const cast = makeCast();
const contract = makeContract(cast);
const signed = signByAll(contract, cast);
const now = { nowMs: NOW_MS };
const keys = eddsaSuite.generate(systemRandom);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return 'accepted';
};

describe('detached JWS', () => {
  const document = { b: 1, a: ['x', null] };
  const jws = signDocument('weir/contract/v1', document, keys);

  it('verifies with any JOSE library once the payload is put back', async () => {
    const [header = '', , signature = ''] = jws.split('.');
    const key = await importJWK(
      { kty: 'OKP', crv: 'Ed25519', x: encodeBase64url(keys.publicKey) },
      'EdDSA',
    );
    const answer = await flattenedVerify(
      { protected: header, payload: payloadOf(document), signature },
      key,
    );
    expect(answer.protectedHeader).toEqual({ alg: 'EdDSA', typ: 'weir/contract/v1' });
    expect(new TextDecoder().decode(answer.payload)).toBe('{"a":["x",null],"b":1}');
  });

  it('never serves in another context, nor as a framed signature of the same key', () => {
    const others: SignatureContext[] = ['weir/receipt/v1', 'weir/request/v1', 'weir/spend/v1'];
    for (const context of others) {
      expect(codeOf(() => verifyDocument(context, document, jws, keys.publicKey))).toBe(
        'signature-invalid',
      );
    }
    const framed = eddsaSuite.sign('weir/contract/v1', canonicalBytes(document), keys);
    const header = jws.slice(0, jws.indexOf('.'));
    const forged = `${header}..${encodeBase64url(framed)}`;
    expect(codeOf(() => verifyDocument('weir/contract/v1', document, forged, keys.publicKey))).toBe(
      'signature-invalid',
    );
    expect(() => eddsaSuite.signJwsInput('\u0010weir/contract/v1{}', keys)).toThrow(/invariant/);
  });

  it('has one form only: any changed, added or removed character is refused', () => {
    const at = fc.nat(jws.length - 1);
    const replacement = fc.constantFrom(...Array.from('ABCxyz019-_.=+/ '));
    const refused = (text: string): void => {
      expect(codeOf(() => verifyDocument('weir/contract/v1', document, text, keys.publicKey))).toBe(
        'signature-invalid',
      );
    };
    fc.assert(
      fc.property(at, replacement, (index, character) => {
        const changed = jws.slice(0, index) + character + jws.slice(index + 1);
        if (changed !== jws) refused(changed);
        refused(jws.slice(0, index) + character + jws.slice(index));
        refused(jws.slice(0, index) + jws.slice(index + 1));
      }),
    );
    // The last character carries four idle bits: the other 15 spellings of the same bytes.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const character of alphabet) {
      const changed = jws.slice(0, -1) + character;
      if (changed !== jws) refused(changed);
    }
    refused(`${jws}=`);
    refused('A'.repeat(1_000_000));
  });

  it('refuses a header with other or more members, even when correctly signed', () => {
    const payload = payloadOf(document);
    for (const header of [
      { alg: 'none', typ: 'weir/contract/v1' },
      { alg: 'HS256', typ: 'weir/contract/v1' },
      { alg: 'EdDSA' },
      { alg: 'EdDSA', typ: 'weir/contract/v1', kid: 'a' },
      { alg: 'EdDSA', typ: 'weir/contract/v1', crit: ['b64'], b64: false },
    ]) {
      const text = encodeBase64url(canonicalBytes(header));
      const signature = encodeBase64url(eddsaSuite.signJwsInput(`${text}.${payload}`, keys));
      const forged = `${text}..${signature}`;
      expect(
        codeOf(() => verifyDocument('weir/contract/v1', document, forged, keys.publicKey)),
      ).toBe('signature-invalid');
    }
  });
});

describe('signed contract', () => {
  it('is accepted when the analyst and every holder signed, in any order', () => {
    expect(codeOf(() => verifyAllSignatures(signed))).toBe('accepted');
    const reversed = { contract, signatures: signed.signatures.toReversed() };
    expect(codeOf(() => verifyAllSignatures(reversed))).toBe('accepted');
  });

  it('is refused with any single byte of it changed', () => {
    const bytes = canonicalBytes(contract);
    let parsed = 0;
    for (let index = 0; index < bytes.length; index += 1) {
      for (const turn of [0x01, 0x02, 0x10, 0x20]) {
        const changed = bytes.slice();
        changed[index] = (changed[index] ?? 0) ^ turn;
        let document: unknown;
        try {
          document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(changed));
        } catch {
          continue;
        }
        const read = ContractSchema.safeParse(document);
        if (!read.success) continue;
        parsed += 1;
        const code = codeOf(() => verifyAllSignatures({ ...signed, contract: read.data }));
        expect(['signature-invalid', 'party-not-in-contract']).toContain(code);
      }
    }
    // The guard is not idle: most changes inside texts, numbers and keys still parse.
    expect(parsed).toBeGreaterThan(1000);
  });

  it('is refused with a signature missing, forged, doubled, of a stranger, or for another contract', () => {
    const withSignatures = (signatures: SignedContract['signatures']): string =>
      codeOf(() => verifyAllSignatures({ contract, signatures }));
    for (let index = 0; index < signed.signatures.length; index += 1) {
      expect(withSignatures(signed.signatures.toSpliced(index, 1))).toBe('signature-missing');
      const party = signed.signatures[index]!.party;
      const forged = signContract(contract, party, keys);
      expect(withSignatures(signed.signatures.with(index, forged))).toBe('signature-invalid');
    }
    expect(withSignatures([...signed.signatures, signed.signatures[0]!])).toBe('signature-invalid');
    const stranger = signContract(contract, 'stranger' as typeof ANALYST, keys);
    expect(withSignatures([...signed.signatures, stranger])).toBe('party-not-in-contract');
    expect(withSignatures(signed.signatures.with(0, stranger))).toBe('party-not-in-contract');
    const other = signByAll(makeContract(cast, { legalBasis: 'Another' }), cast);
    expect(withSignatures(other.signatures)).toBe('signature-invalid');
    expect(withSignatures([])).toBe('signature-missing');
  });

  it('is in force from notBefore up to, not including, notAfter', () => {
    const begin = Date.parse(contract.validity.notBefore);
    const end = Date.parse(contract.validity.notAfter);
    const at = (nowMs: number): string => codeOf(() => checkValidity(contract, { nowMs }));
    expect(at(begin - 1)).toBe('contract-not-active');
    expect(at(begin)).toBe('accepted');
    expect(at(end - 1)).toBe('accepted');
    expect(at(end)).toBe('contract-expired');
  });
});

describe('signed request', () => {
  it('is accepted from this analyst for this contract until it expires', () => {
    const request = signRequest(makeRequest(contract), cast.keyOf(ANALYST));
    const at = (nowMs: number): string => codeOf(() => verifyRequest(request, contract, { nowMs }));
    expect(at(NOW_MS)).toBe('accepted');
    const end = Date.parse(request.request.expiresAt);
    expect(at(end - 1)).toBe('accepted');
    expect(at(end)).toBe('request-expired');
    const other = makeContract(cast, { legalBasis: 'Another' });
    expect(codeOf(() => verifyRequest(request, other, now))).toBe('descriptor-mismatch');
    const changed = { ...request, request: { ...request.request, arguments: { hours: ['8'] } } };
    expect(codeOf(() => verifyRequest(changed, contract, now))).toBe('signature-invalid');
    const byHolder = signRequest(makeRequest(contract), cast.keyOf(HOLDERS[0]!));
    expect(codeOf(() => verifyRequest(byHolder, contract, now))).toBe('signature-invalid');
    const id = '0190c9a0-0000-7000-8000-000000000002' as typeof contract.id;
    const elsewhere = signRequest(makeRequest(contract, { contractId: id }), cast.keyOf(ANALYST));
    expect(codeOf(() => verifyRequest(elsewhere, contract, now))).toBe('descriptor-mismatch');
  });

  it('carries a key of the run, or a hash of weights, exactly where its contract has them', () => {
    const clinic = makeCast([CLINIC]);
    const ownSet = ownSetContract({}, {}, clinic);
    const weighted = makeContract(cast, {
      protocol: {
        name: 'secret-weights',
        weighingKeyHash: contractHash(contract),
        weights: { maximum: '10', scale: 0 },
      },
    });
    const check = (by: typeof cast, of: typeof contract, changes: object): string =>
      codeOf(() => {
        const request = signRequest(makeRequest(of, changes), by.keyOf(ANALYST));
        return verifyRequest(request, of, now);
      });
    const analystKey = RECIPIENT_KEY;
    const weightsHash = contractHash(contract);
    const weak = encodeBase64url(new Uint8Array(32));
    expect(check(clinic, ownSet, { analystKey })).toBe('accepted');
    expect(check(clinic, ownSet, {})).toBe('parameter-invalid');
    expect(check(clinic, ownSet, { analystKey: weak })).toBe('parameter-invalid');
    expect(check(cast, contract, { analystKey })).toBe('parameter-invalid');
    expect(check(cast, weighted, { weightsHash })).toBe('accepted');
    expect(check(cast, weighted, {})).toBe('parameter-invalid');
    expect(check(cast, contract, { weightsHash })).toBe('parameter-invalid');
  });
});

describe('run key and descriptor', () => {
  const zero = '0'.repeat(64) as Descriptor['contractHash'];
  const party = (id: (typeof HOLDERS)[number]): Descriptor['parties'][number] => ({
    id,
    ephemeralKey: cast.publicKeyOf(id),
    datasetFingerprint: zero,
  });
  const descriptor: Descriptor = {
    format: 'weir-descriptor/1',
    runId: '0190c9a0-0000-7000-8000-000000000002' as Descriptor['runId'],
    attempt: 1,
    contractHash: zero,
    requestHash: zero,
    protocol: 'secure-sum',
    arguments: {},
    parties: HOLDERS.map(party),
    dictionariesHash: zero,
    shape: { cells: 1, lanes: 1 },
    noise: 'none',
    engine: 'x',
  };
  const signatures = HOLDERS.map((id) => signDescriptor(descriptor, id, cast.keyOf(id)));

  it('needs every party of the descriptor once and nobody else', () => {
    const check = (given: typeof signatures, of = descriptor): string =>
      codeOf(() => verifyDescriptor(of, given, contract));
    expect(check(signatures)).toBe('accepted');
    expect(check(signatures.slice(1))).toBe('signature-missing');
    expect(check([...signatures, signatures[0]!])).toBe('party-not-in-contract');
    const analyst = signDescriptor(descriptor, ANALYST, cast.keyOf(ANALYST));
    expect(check([...signatures, analyst])).toBe('party-not-in-contract');
    expect(check(signatures, { ...descriptor, attempt: 2 })).toBe('signature-invalid');
    // A party that the contract does not name cannot be smuggled in by naming it in the descriptor.
    const swollen = { ...descriptor, parties: [...descriptor.parties, party(ANALYST)] };
    const all = [...HOLDERS, ANALYST].map((id) => signDescriptor(swollen, id, cast.keyOf(id)));
    expect(check(all, swollen)).toBe('party-not-in-contract');
  });

  it('binds a run key to run, attempt and party', () => {
    const id = HOLDERS[0]!;
    const { runId, contractHash, requestHash } = descriptor;
    const format = 'weir-run-key/1' as const;
    const runKey = { format, runId, attempt: 1, contractHash, requestHash, party: party(id) };
    const given = signRunKey(runKey, cast.keyOf(id));
    expect(codeOf(() => verifyRunKey(given, contract))).toBe('accepted');
    const moved = { ...given, runKey: { ...runKey, attempt: 2 } };
    expect(codeOf(() => verifyRunKey(moved, contract))).toBe('signature-invalid');
    const other = { ...given, runKey: { ...runKey, party: party(HOLDERS[1]!) } };
    expect(codeOf(() => verifyRunKey(other, contract))).toBe('signature-invalid');
  });
});
