/** A gateway in the hands of an attacker asks a real domain to vouch for what never was. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import { type Receipt, SignedReceiptSchema, signReceipt } from '../../src/contracts/receipt.ts';
import { encodeCountersign, RUN_METHODS } from '../../src/contracts/run-messages.ts';
import { contractHash, descriptorHash, requestHash } from '../../src/contracts/signed-documents.ts';
import { type SignedSpend, spendHash } from '../../src/contracts/spend.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { extendHead } from '../../src/system/hash-link.ts';
import { HashSchema, type PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { type Ask, askFor, digest, freshRunId } from './support/attack-case.ts';
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

function receiptOf(ask: Ask, descriptor: Descriptor, spends: readonly SignedSpend[]): Receipt {
  const start = { size: 0n, hash: HashSchema.parse('0'.repeat(64)) };
  const head = extendHead(start, attacker.auditLog);
  const { contract } = ask.contract;
  return {
    format: 'weir-receipt/1',
    gatewayKey: encodeBase64url(attacker.keys.publicKey),
    runId: ask.runId,
    attempt: ask.attempt,
    contractId: contract.id,
    contractHash: contractHash(contract),
    requestHash: requestHash(ask.request.request),
    descriptorHash: descriptorHash(descriptor),
    parties: [...HOLDERS],
    spends: spends.map(({ spend }) => ({
      party: spend.party,
      seq: spend.seq,
      hash: spendHash(spend),
    })),
    outcome: 'posted',
    code: null,
    units: { runs: '1' },
    chargeMicros: '1',
    currency: 'CNY',
    record: { seq: '1', hash: digest() },
    audit: { size: String(head.size), hash: head.hash },
    resultHash: digest(),
    at: new Date().toISOString(),
  };
}

it('asks to countersign a false receipt', async () => {
  const ask = askFor(attacker.cast);
  const { descriptor, spends } = await attacker.runHonestly(ask);
  const truth = receiptOf(ask, descriptor, spends);
  const countersign = (
    receipt: Receipt,
    by = attacker.keys,
    shown: readonly SignedSpend[] = spends,
  ): Promise<string> => {
    const body = encodeCountersign(signReceipt(receipt, by), shown);
    return codeOf(attacker.request(A, RUN_METHODS.countersign, body));
  };
  const otherSpend = { party: A, seq: truth.spends[0]!.seq, hash: digest() };
  const foreign = truth.spends.filter(({ party }) => party !== A);
  const lies: [Partial<Receipt>, string][] = [
    [{ runId: freshRunId() }, 'descriptor-mismatch'],
    [{ attempt: 2 }, 'descriptor-mismatch'],
    [{ contractHash: digest() }, 'descriptor-mismatch'],
    [{ requestHash: digest() }, 'descriptor-mismatch'],
    [{ descriptorHash: digest() }, 'descriptor-mismatch'],
    [{ descriptorHash: null }, 'descriptor-mismatch'],
    [{ parties: [B, C] }, 'descriptor-mismatch'],
    [{ spends: [otherSpend, ...foreign] }, 'descriptor-mismatch'],
    [{ spends: foreign }, 'descriptor-mismatch'],
    [{ spends: [{ ...otherSpend, seq: 9999 }, ...foreign] }, 'descriptor-mismatch'],
    [{ audit: { ...truth.audit, hash: digest() } }, 'history-rolled-back'],
    [{ audit: { size: '99', hash: digest() } }, 'history-rolled-back'],
  ];
  for (const [lie, code] of lies) {
    const told = Object.keys(lie);
    expect([told, await countersign({ ...truth, ...lie })]).toEqual([told, code]);
  }
  const other = eddsaSuite.generate(systemRandom);
  const gatewayKey = encodeBase64url(other.publicKey);
  expect(await countersign({ ...truth, gatewayKey }, other)).toBe('party-not-pinned');
  const { jws } = signReceipt({ ...truth, gatewayKey }, other);
  const forged = SignedReceiptSchema.parse({ receipt: truth, jws, countersignatures: [] });
  expect(
    await codeOf(attacker.request(A, RUN_METHODS.countersign, encodeCountersign(forged, spends))),
  ).toBe('signature-invalid');
  // Another domain's count is its own signed word, or nobody's.
  const [ofA, ofB, ofC] = spends as [SignedSpend, SignedSpend, SignedSpend];
  const bent = { ...ofB, spend: { ...ofB.spend, runs: 0 } };
  const claims = truth.spends.with(1, { ...truth.spends[1]!, hash: spendHash(bent.spend) });
  expect(await countersign(truth, attacker.keys, [ofA, ofC])).toBe('descriptor-mismatch');
  expect(await countersign(truth, attacker.keys, [ofA, bent, ofC])).toBe('descriptor-mismatch');
  const bentReceipt = { ...truth, spends: claims };
  expect(await countersign(bentReceipt, attacker.keys, [ofA, bent, ofC])).toBe('signature-invalid');
  // The control: the truth is countersigned.
  expect(await countersign(truth)).toBe('answered');
  await expectHonest(attacker);
});
