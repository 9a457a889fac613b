/** The gateway's receipts as `reconcile` compares them with records, in the order of the records. */
import { SignedReceiptSchema } from '../contracts/receipt.ts';
import { verifyDocument } from '../contracts/signing.ts';
import { IdentityError } from '../errors.ts';
import type { ReceiptFacts } from '../ledger/reconcile.ts';
import type { Store } from '../store/store.ts';
import { encodeBase64url } from '../system/base64url.ts';

const PAGE_RECEIPTS = 200;

/**
 * Every stored receipt, its signature verified.
 * @param gatewayKey - the gateway's own identity key: a receipt by another is no receipt.
 * @throws IdentityError `signature-invalid`; ZodError where a stored receipt is none.
 */
export async function* readReceiptFacts(
  store: Store,
  gatewayKey: Uint8Array,
): AsyncGenerator<ReceiptFacts> {
  for (let after = 0n; ; ) {
    const rows = await store.query(
      `SELECT record_seq, receipt_json FROM runs
       WHERE receipt_json IS NOT NULL AND record_seq > ? ORDER BY record_seq LIMIT ?`,
      [after, PAGE_RECEIPTS],
    );
    for (const row of rows) {
      yield factsOf(String(row['receipt_json']), gatewayKey);
      after = row['record_seq'] as bigint;
    }
    if (rows.length < PAGE_RECEIPTS) return;
  }
}

function factsOf(json: string, gatewayKey: Uint8Array): ReceiptFacts {
  const { receipt, jws } = SignedReceiptSchema.parse(JSON.parse(json));
  if (receipt.gatewayKey !== encodeBase64url(gatewayKey)) {
    throw new IdentityError('signature-invalid', 'A stored receipt names another gateway key.');
  }
  verifyDocument('weir/receipt/v1', receipt, jws, gatewayKey, 'gateway');
  return {
    runId: receipt.runId,
    recordSeq: BigInt(receipt.record.seq),
    recordHash: receipt.record.hash,
    audit: { size: BigInt(receipt.audit.size), hash: receipt.audit.hash },
    chargeMicros: BigInt(receipt.chargeMicros),
    currency: receipt.currency,
  };
}
