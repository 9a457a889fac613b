import { generateKeyPairSync } from 'node:crypto';
import { CompactEncrypt, importJWK } from 'jose';
import { describe, expect, it } from 'vitest';
import {
  countersignReceipt,
  ReceiptSchema,
  signReceipt,
  verifyCountersignature,
  verifyReceipt,
} from '../../src/contracts/receipt.ts';
import type { KnownRun, Receipt, SignedReceipt } from '../../src/contracts/receipt.ts';
import { openResult, sealedResultHash, sealResult } from '../../src/contracts/sealed-result.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { decodeBase64url, encodeBase64url } from '../../src/system/base64url.ts';
import { signDocument } from '../../src/contracts/signing.ts';
import { canonicalBytes } from '../../src/system/canonical-json.ts';
import { HashSchema, RunIdSchema } from '../../src/system/ids.ts';
import type { Hash, PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import type { KeyPair } from '../../src/system/signature-suite.ts';
import { ANALYST, HOLDERS, makeCast, makeContract, signByAll } from '../fixtures/contract.ts';
import { codeOf } from '../fixtures/counting.ts';

const cast = makeCast();
const contract = makeContract(cast);
const signedContract = signByAll(contract, cast);
const gateway = eddsaSuite.generate(systemRandom);
const hashOf = (digit: string): Hash => HashSchema.parse(digit.repeat(64));
const place = {
  runId: RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa'),
  contractHash: contractHash(contract),
};
const receipt: Receipt = {
  format: 'weir-receipt/1',
  gatewayKey: encodeBase64url(gateway.publicKey),
  runId: place.runId,
  attempt: 1,
  contractId: contract.id,
  contractHash: place.contractHash,
  requestHash: hashOf('1'),
  descriptorHash: hashOf('2'),
  parties: [...HOLDERS],
  spends: HOLDERS.map((party, index) => ({ party, seq: index + 1, hash: hashOf('3') })),
  outcome: 'posted',
  code: null,
  units: { runs: '1', rows: '3145728' },
  chargeMicros: '1000000',
  currency: 'CNY',
  record: { seq: '7', hash: hashOf('4') },
  audit: { size: '12', hash: hashOf('5') },
  resultHash: hashOf('6'),
  at: '2026-06-15T12:00:01Z',
};
const knownTo = (party: PartyId): KnownRun => ({
  runId: receipt.runId,
  attempt: 1,
  contractHash: receipt.contractHash,
  requestHash: receipt.requestHash,
  descriptorHash: hashOf('2'),
  spend: { seq: HOLDERS.indexOf(party) + 1, hash: hashOf('3') },
});
const isPinned = (key: Uint8Array): boolean => Buffer.from(key).equals(gateway.publicKey);
const counter = (
  signed: SignedReceipt,
  party: PartyId,
  known = knownTo(party),
  pinned = isPinned,
): ReturnType<typeof countersignReceipt> =>
  countersignReceipt(signed, known, party, cast.keyOf(party), pinned);

describe('a receipt', () => {
  const bare = signReceipt(receipt, gateway);
  const full = { ...bare, countersignatures: HOLDERS.map((party) => counter(bare, party)) };
  const verify = (signed: SignedReceipt, more: object = {}): Promise<string> =>
    codeOf(() => verifyReceipt(signed, { contract: signedContract, ...more }));

  it('verifies offline from the contract alone once a holder vouches for the gateway’s key', async () => {
    expect(verifyReceipt(full, { contract: signedContract })).toMatchObject({
      countersignedBy: HOLDERS,
      missing: [],
    });
    expect(await verify(bare)).toBe('signature-missing');
    expect(await verify(bare, { gatewayKey: gateway.publicKey })).toBe('accepted');
    const other = eddsaSuite.generate(systemRandom);
    expect(await verify(full, { gatewayKey: other.publicKey })).toBe('party-not-pinned');
    expect(await verify(full, { resultHash: hashOf('6') })).toBe('accepted');
    expect(await verify(full, { resultHash: hashOf('7') })).toBe('descriptor-mismatch');
    // Another contract of the same parties, and this one without all of its signatures.
    const elsewhere = signByAll(makeContract(cast, { legalBasis: 'Another' }), cast);
    expect(await verify(full, { contract: elsewhere })).toBe('descriptor-mismatch');
    const unsigned = { contract, signatures: signedContract.signatures.slice(1) };
    expect(await verify(full, { contract: unsigned })).toBe('signature-missing');
    const partial = { ...bare, countersignatures: full.countersignatures.slice(0, 1) };
    expect(verifyReceipt(partial, { contract: signedContract }).missing).toEqual(HOLDERS.slice(1));
  });

  it('is vouched for by holders alone: the analyst’s own word is none, for a key of its own least of all', async () => {
    const own = eddsaSuite.generate(systemRandom);
    const claimed = { ...receipt, gatewayKey: encodeBase64url(own.publicKey), parties: [ANALYST] };
    const jws = signDocument('weir/countersign/v1', claimed, cast.keyOf(ANALYST));
    const forged = { ...signReceipt(claimed, own), countersignatures: [{ party: ANALYST, jws }] };
    expect(await verify(forged)).toBe('party-not-in-contract');
    const [countersignature] = forged.countersignatures;
    const counted = codeOf(() => verifyCountersignature(claimed, countersignature!, contract));
    expect(await counted).toBe('party-not-in-contract');
    // The control: by a holder the same claim would stand.
    const [holder] = HOLDERS;
    const joined = { ...claimed, parties: [holder!] };
    const vouched = {
      ...signReceipt(joined, own),
      countersignatures: [
        { party: holder!, jws: signDocument('weir/countersign/v1', joined, cast.keyOf(holder!)) },
      ],
    };
    expect(await verify(vouched)).toBe('accepted');
  });

  it('is refused with any single byte of it changed', async () => {
    const bytes = canonicalBytes(receipt);
    let parsed = 0;
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = bytes.slice();
      changed[index] = (changed[index] ?? 0) ^ 1;
      let value: unknown;
      try {
        value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(changed));
      } catch {
        continue;
      }
      const read = ReceiptSchema.safeParse(value);
      if (!read.success) continue;
      parsed += 1;
      expect(await verify({ ...full, receipt: read.data })).not.toBe('accepted');
    }
    expect(parsed).toBeGreaterThan(300);
  });

  it('is refused with a countersignature doubled, forged, of a stranger or of the gateway’s kind', async () => {
    const [first] = full.countersignatures as [SignedReceipt['countersignatures'][0]];
    const withCounters = (list: SignedReceipt['countersignatures']): Promise<string> =>
      verify({ ...full, countersignatures: list });
    expect(await withCounters([first, first])).toBe('party-not-in-contract');
    expect(await withCounters([{ ...first, party: HOLDERS[1]! }])).toBe('signature-invalid');
    expect(await withCounters([{ ...first, party: ANALYST }])).toBe('party-not-in-contract');
    expect(await withCounters([{ ...first, jws: full.jws }])).toBe('signature-invalid');
    expect(await codeOf(() => verifyCountersignature(receipt, first, contract))).toBe('accepted');
  });

  it('is countersigned only for the run a domain took part in, under a pinned gateway', async () => {
    const [self] = HOLDERS as [PartyId];
    const known = knownTo(self);
    const code = (changes: Partial<KnownRun>): Promise<string> =>
      codeOf(() => counter(bare, self, { ...known, ...changes }));
    expect(await code({})).toBe('accepted');
    expect(await code({ attempt: 2 })).toBe('descriptor-mismatch');
    const runId = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000ab');
    expect(await code({ runId })).toBe('descriptor-mismatch');
    expect(await code({ contractHash: hashOf('9') })).toBe('descriptor-mismatch');
    expect(await code({ requestHash: hashOf('9') })).toBe('descriptor-mismatch');
    expect(await code({ descriptorHash: hashOf('9') })).toBe('descriptor-mismatch');
    expect(await code({ spend: { seq: 9, hash: hashOf('3') } })).toBe('descriptor-mismatch');
    expect(await code({ spend: { seq: 1, hash: hashOf('9') } })).toBe('descriptor-mismatch');
    const without = signReceipt({ ...receipt, parties: HOLDERS.slice(1) }, gateway);
    expect(await codeOf(() => counter(without, self))).toBe('descriptor-mismatch');
    expect(await codeOf(() => counter(bare, self, known, () => false))).toBe('party-not-pinned');
    const forged = { ...bare, receipt: { ...receipt, chargeMicros: '1' } };
    expect(await codeOf(() => counter(forged, self))).toBe('signature-invalid');
    const other = eddsaSuite.generate(systemRandom);
    expect(await codeOf(() => signReceipt(receipt, other))).toBe('malformed-message');
  });
});

function exchangeKeys(): KeyPair {
  const { privateKey } = generateKeyPairSync('x25519');
  const jwk = privateKey.export({ format: 'jwk' });
  return {
    publicKey: decodeBase64url(String(jwk.x), 32),
    secretKey: decodeBase64url(String(jwk.d), 32),
  };
}

describe('a sealed result', () => {
  const keys = exchangeKeys();
  const recipient = { id: ANALYST, encryptionKey: encodeBase64url(keys.publicKey) };
  const release = {
    columns: ['hour', 'flights', 'mean'],
    rows: [
      ['7', 12, '0.125'],
      ['8', null, null],
    ],
    suppressedCells: 1,
    releasedCells: 1,
  };

  it('opens for the recipient, for this run and contract, and for nobody and nothing else', async () => {
    const sealed = await sealResult(place, release, recipient);
    expect((await openResult(sealed, place, keys)).release).toEqual(release);
    const open = (text: string, where: typeof place = place, by: KeyPair = keys): Promise<string> =>
      codeOf(() => openResult(text, where, by));
    const other = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000ab');
    expect(await open(sealed, { ...place, runId: other })).toBe('decryption-failed');
    expect(await open(sealed, { ...place, contractHash: hashOf('1') })).toBe('decryption-failed');
    expect(await open(sealed, place, exchangeKeys())).toBe('decryption-failed');
    for (let index = 0; index < sealed.length; index += 5) {
      const turned = sealed[index] === 'A' ? 'B' : 'A';
      const changed = sealed.slice(0, index) + turned + sealed.slice(index + 1);
      expect(await open(changed)).toBe('decryption-failed');
    }
    expect(await open('')).toBe('decryption-failed');
    expect(sealed).not.toContain(encodeBase64url(Buffer.from('flights')));
    expect(sealedResultHash(sealed)).not.toBe(
      sealedResultHash(await sealResult(place, release, recipient)),
    );
  });

  it('refuses another algorithm, compression or member in the header, and content of another run', async () => {
    const key = await importJWK(
      { kty: 'OKP', crv: 'X25519', x: recipient.encryptionKey },
      'ECDH-ES',
    );
    const header = {
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      typ: 'weir-result/1',
      run: place.runId,
      contract: place.contractHash,
      kid: ANALYST,
    };
    const document = { format: 'weir-result/1', ...place, release };
    const make = (changes: object, body: object = document): Promise<string> =>
      new CompactEncrypt(new TextEncoder().encode(JSON.stringify(body)))
        .setProtectedHeader({ ...header, ...changes })
        .encrypt(key);
    const open = async (text: Promise<string>): Promise<string> =>
      codeOf(async () => openResult(await text, place, keys));
    expect(await open(make({}))).toBe('accepted');
    expect(await open(make({ alg: 'ECDH-ES+A256KW' }))).toBe('decryption-failed');
    expect(await open(make({ enc: 'A128GCM' }))).toBe('decryption-failed');
    expect(await open(make({ cty: 'more' }))).toBe('decryption-failed');
    const moved = { ...document, runId: '0190c9a0-0000-7000-8000-0000000000ab' };
    expect(await open(make({}, moved))).toBe('decryption-failed');
    expect(await open(make({}, { ...document, more: 1 }))).toBe('decryption-failed');
  });
});
