/** Reconciliation over real runs: the gateway's own receipts, records and audit entries. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RUN_METHODS } from '../../src/contracts/run-messages.ts';
import type { SignedReceipt } from '../../src/contracts/receipt.ts';
import { PolicyError } from '../../src/errors.ts';
import { reconcile } from '../../src/ledger/reconcile.ts';
import { readRun } from '../../src/runs/run-rows.ts';
import { readReceiptFacts } from '../../src/runs/receipt-facts.ts';
import { decodeBase64url } from '../../src/system/base64url.ts';
import type { RunId } from '../../src/system/ids.ts';
import { ANALYST } from '../fixtures/contract.ts';
import { openRunWorld, type RunWorld } from '../support/run-world.ts';

let world: RunWorld;
let receipts: SignedReceipt[];

async function ended(): Promise<RunId> {
  const { runId } = await world.runs.start(world.command());
  for (;;) {
    const run = await readRun(world.state.store, runId);
    if (run?.receiptJson !== undefined) return runId;
    await sleep(2);
  }
}

beforeEach(async () => {
  world = await openRunWorld();
  receipts = [];
  for (let at = 0; at < 2; at += 1) {
    const { receipt } = await world.runs.result(await ended(), ANALYST);
    receipts.push(receipt as unknown as SignedReceipt);
  }
  world.bend = (_party, method, honest) => {
    if (method === RUN_METHODS.start) throw new PolicyError('contract-revoked', 'Revoked.');
    return honest();
  };
  await ended();
});
afterEach(async () => {
  await world.runs.drain(60_000);
  await world.close();
});

const check = () => {
  const key = decodeBase64url(receipts[0]?.receipt.gatewayKey ?? '', 32);
  const { store } = world.state;
  return reconcile({ store, receipts: readReceiptFacts(store, key) });
};

describe('reconciling real runs', () => {
  it('finds that every posted run has its record, its entry and its receipt', async () => {
    expect(await check()).toMatchObject({ ok: true, records: 3n, receipts: 3n });
  });

  it('names the run whose receipt is gone', async () => {
    const [, second] = receipts;
    await world.state.store.execute([
      {
        sql: 'UPDATE runs SET receipt_json = NULL WHERE run_id = ?',
        params: [second?.receipt.runId ?? ''],
        expectChanges: 1,
      },
    ]);
    const at = BigInt(second?.receipt.record.seq ?? '0');
    expect(await check()).toMatchObject({ ok: false, kind: 'receipt', at });
  });

  it('takes no receipt that was changed in the store', async () => {
    await world.state.store.execute([
      {
        sql: `UPDATE runs SET receipt_json = replace(receipt_json, '"chargeMicros":"', '"chargeMicros":"1') WHERE run_id = ?`,
        params: [receipts[0]?.receipt.runId ?? ''],
        expectChanges: 1,
      },
    ]);
    const at = BigInt(receipts[0]?.receipt.record.seq ?? '0');
    expect(await check()).toMatchObject({ ok: false, kind: 'receipt', at });
  });
});
