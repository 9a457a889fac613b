/** The gateway's receipts as `reconcile` compares them with records, in the order of the records. */
import { SignedReceiptSchema, type Receipt } from '../contracts/receipt.ts';
import { verifyDocument } from '../contracts/signing.ts';
import { WeirError } from '../errors.ts';
import type { FaultyReceipt, ReceiptFacts } from '../ledger/reconcile.ts';
import type { Store } from '../store/store.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { readReceipts } from './run-rows.ts';

/**
 * Every stored receipt, its signature verified; one that does not hold comes with its fault.
 * @param gatewayKey - the gateway's own identity key: a receipt by another is no receipt.
 */
export async function* readReceiptFacts(
  store: Store,
  gatewayKey: Uint8Array,
): AsyncGenerator<ReceiptFacts | FaultyReceipt> {
  for await (const { recordSeq, json } of readReceipts(store)) {
    const receipt = verified(json, gatewayKey);
    yield receipt === undefined
      ? { recordSeq, fault: 'does not bear the gateway’s valid signature' }
      : factsOf(receipt);
  }
}

function verified(json: string, gatewayKey: Uint8Array): Receipt | undefined {
  const parsed = SignedReceiptSchema.safeParse(parseJson(json));
  if (!parsed.success) return undefined;
  const { receipt, jws } = parsed.data;
  if (receipt.gatewayKey !== encodeBase64url(gatewayKey)) return undefined;
  try {
    verifyDocument('weir/receipt/v1', receipt, jws, gatewayKey, 'gateway');
    return receipt;
  } catch (error) {
    if (error instanceof WeirError) return undefined;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function factsOf(receipt: Receipt): ReceiptFacts {
  return {
    runId: receipt.runId,
    recordSeq: BigInt(receipt.record.seq),
    recordHash: receipt.record.hash,
    audit: { size: BigInt(receipt.audit.size), hash: receipt.audit.hash },
    chargeMicros: BigInt(receipt.chargeMicros),
    currency: receipt.currency,
  };
}
