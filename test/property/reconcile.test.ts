/** Records, audit entries and receipts are broken one way at a time; the first that is wrong is named. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEntries } from '../../src/audit/chain-table.ts';
import { GENESIS_HASH, leafHash } from '../../src/audit/hash-chain.ts';
import { reconcile, RECEIPT_DUE_MS, type ReceiptFacts } from '../../src/ledger/reconcile.ts';
import type { LedgerStore, Recorded } from '../../src/ledger/ledger-store.ts';
import { recordHash } from '../../src/ledger/record.ts';
import type { SqlValue, Statement } from '../../src/store/store.ts';
import type { Hash } from '../../src/system/ids.ts';
import {
  account,
  draft,
  reserveCommand,
  runIdOf,
  settleCommand,
  units,
} from '../support/ledger-commands.ts';
import { postgresKind, sqliteKind, type TestStore } from '../support/test-stores.ts';

const RUNS = 6;
const postgres = await postgresKind();
afterAll(() => postgres.stop());

async function* from(receipts: readonly ReceiptFacts[]): AsyncGenerator<ReceiptFacts> {
  yield* receipts;
}

/** Six posted runs, a refusal, an expiry with a late post, a correction. */
async function fill(ledger: LedgerStore): Promise<ReceiptFacts[]> {
  const receipts: ReceiptFacts[] = [];
  const quota = account('c', 'runs', 100);
  const post = async (at: number): Promise<void> => {
    const runId = runIdOf(at);
    const settled = await ledger.settle(settleCommand(runId, 'posted', { runs: 1 }));
    if (settled.kind !== 'settled') throw new Error('settled before');
    receipts.push(receiptOf(at, settled));
  };
  for (let at = 1; at <= RUNS; at += 1) {
    await ledger.reserve(reserveCommand(`k${at}`, runIdOf(at), [[quota, 1]]));
    if (at === 3) {
      await ledger.settle(settleCommand(runIdOf(at), 'expired'));
      await ledger.recordDenied(draft('denied', 'denied', undefined), {
        kind: 'call.denied',
        atMs: 1,
        facts: {},
      });
    }
    await post(at);
  }
  const record = { ...draft('fixed', 'posted', runIdOf(1), { runs: units(1) }), chargeMicros: 5n };
  await ledger.correct({
    supersedes: 1n,
    record,
    audit: { kind: 'run.corrected', atMs: 1, facts: {} },
  });
  return receipts;
}

function receiptOf(at: number, { seq, recordHash, auditHead }: Recorded): ReceiptFacts {
  const charge = { chargeMicros: 1_500_000n, currency: 'CNY' };
  return { runId: runIdOf(at), recordSeq: seq, recordHash, audit: auditHead, ...charge };
}

describe.each([sqliteKind, postgres])('reconcile on $name', (kind) => {
  if (kind.missing !== undefined) {
    it.skip(`is not tested: ${kind.missing}`);
    return;
  }
  let opened: TestStore;
  let receipts: ReceiptFacts[];
  beforeEach(async () => {
    opened = await kind.open();
    receipts = await fill(opened.ledger);
    // Other entries stand in the same chain.
    await opened.audit.append({ kind: 'contract.signed', atMs: 1, facts: {} }, []);
  });
  afterEach(() => opened.remove());

  const run = (witnessed?: { size: bigint; hash: Hash }) =>
    reconcile({
      store: opened.store,
      receipts: from(receipts),
      ...(witnessed === undefined ? {} : { witnessed }),
    });
  const tamper = (sql: string, params: readonly SqlValue[] = []) =>
    opened.store.execute([{ sql, params, expectChanges: 1 }]);

  it('finds that all agree, one to one', async () => {
    const head = await opened.ledger.auditHead();
    expect(await run(head)).toEqual({
      ok: true,
      records: 9n,
      entries: 10n,
      receipts: 6n,
      due: 0n,
      head,
    });
    expect(await reconcile({ store: opened.store })).toMatchObject({ ok: true, receipts: 0n });
  });

  it.each([
    [
      'a record that was changed',
      `UPDATE ledger_record SET document = replace(document, '1500000', '1400000') WHERE seq = 2`,
      'record',
      2n,
    ],
    [
      'a column that says something else',
      'UPDATE ledger_record SET charge_micros = 1 WHERE seq = 5',
      'record',
      5n,
    ],
    [
      'a record that claims to supersede another',
      'UPDATE ledger_record SET supersedes = 4 WHERE seq = 5',
      'record',
      5n,
    ],
    ['a record that was dropped', 'DELETE FROM ledger_record WHERE seq = 4', 'record', 4n],
    ['the last record dropped', 'DELETE FROM ledger_record WHERE seq = 9', 'record', 9n],
    [
      'an entry that was changed',
      `UPDATE audit_entry SET entry = replace(entry, 'run.', 'ran.') WHERE position = 1`,
      'entry',
      1n,
    ],
    ['an entry that was dropped', 'DELETE FROM audit_entry WHERE position = 6', 'entry', 6n],
  ] as const)('names %s', async (_, sql, wrong, at) => {
    await tamper(sql);
    expect(await run()).toMatchObject({ ok: false, kind: wrong, at });
  });

  /** Changes the last record, and what is bound to it, as whoever has the whole database can. */
  async function rewriteLast(change: (document: string) => string): Promise<void> {
    const [record] = await opened.store.query('SELECT document FROM ledger_record WHERE seq = 9');
    const before = String(record?.['document']);
    const document = change(before);
    await tamper('UPDATE ledger_record SET document = ? WHERE seq = 9', [document]);
    await rewriteChain((entry) => entry.replace(recordHash(before), recordHash(document)));
  }

  async function rewriteChain(change: (entry: string) => string): Promise<void> {
    let previous = GENESIS_HASH;
    const changes: Statement[] = [];
    for await (const { index, entry } of readEntries(opened.store)) {
      const next = change(entry);
      previous = leafHash(previous, index, next);
      const sql = 'UPDATE audit_entry SET entry = ?, hash = ? WHERE position = ?';
      changes.push({ sql, params: [next, previous, index], expectChanges: 1 });
    }
    await opened.store.execute(changes);
  }

  it('names a record that is not in its canonical form, though chain and columns agree', async () => {
    const [row] = await opened.store.query('SELECT document FROM ledger_record WHERE seq = 9');
    const sound = String(row?.['document']);
    const without = (name: string): string => {
      const { [name]: _, ...rest } = JSON.parse(sound) as Record<string, unknown>;
      return JSON.stringify(rest);
    };
    const documents = [
      sound.replace('{', '{ '),
      sound.replace('"seq":"9"', '"seq":"09"'),
      sound.replace('"seq":"9"', '"seq":"8"'),
      sound.replace('"chargeMicros":"5"', '"chargeMicros":"five"'),
      sound.replace('"chargeMicros":"5"', '"chargeMicros":5'),
      sound.replace('{', '{"a":1,'),
      without('currency'),
      without('units'),
      without('datasets'),
    ];
    for (const document of documents) {
      expect(document).not.toBe(sound);
      await rewriteLast(() => document);
      expect(await run(), document).toMatchObject({
        ok: false,
        kind: 'record',
        at: 9n,
        reason: 'record 9 is not in its canonical form',
      });
    }
    // The control: what rewrites it leaves nothing else to be found.
    await rewriteLast(() => sound);
    expect(await run()).toMatchObject({ ok: true });
  });

  it('names an entry that does not say which record it is of', async () => {
    for (const seq of ['"nine"', '9', '"-9"', 'null']) {
      await rewriteChain((entry) => entry.replace(/"seq":("9"|"nine"|9|"-9")/, `"seq":${seq}`));
      expect(await run(), seq).toMatchObject({ ok: false, kind: 'entry', at: 8n });
    }
  });

  it('takes a correction of a correction, and names a record that is corrected twice', async () => {
    const correction = async (id: string, supersedes: bigint): Promise<Recorded> =>
      opened.ledger.correct({
        supersedes,
        record: { ...draft(id, 'posted', runIdOf(1), { runs: units(1) }), chargeMicros: 4n },
        audit: { kind: 'run.corrected', atMs: 1, facts: {} },
      });
    await correction('again', 9n);
    expect(await run()).toMatchObject({ ok: true, records: 10n, receipts: 6n });
    await expect(correction('twice', 1n)).rejects.toMatchObject({ code: 'already-exists' });
    // As whoever has the whole database can.
    await opened.store.execute([{ sql: 'DROP INDEX ledger_record_superseded', params: [] }]);
    await tamper('UPDATE ledger_record SET supersedes = 1 WHERE seq = 10');
    const [row] = await opened.store.query('SELECT document FROM ledger_record WHERE seq = 10');
    const before = String(row?.['document']);
    const document = before.replace('"supersedes":"9"', '"supersedes":"1"');
    await tamper('UPDATE ledger_record SET document = ? WHERE seq = 10', [document]);
    await rewriteChain((entry) => entry.replace(recordHash(before), recordHash(document)));
    expect(await run()).toMatchObject({
      ok: false,
      kind: 'record',
      at: 10n,
      reason: 'record 10 takes the place of record 1, as record 9 does already',
    });
  });

  it('names a record that has no audit entry', async () => {
    await tamper('DELETE FROM audit_entry WHERE position = 9');
    await tamper('DELETE FROM audit_entry WHERE position = 8');
    expect(await run()).toMatchObject({ ok: false, kind: 'record', at: 9n });
  });

  it('takes a receipt that was signed later, with any head of the same chain', async () => {
    const head = await opened.ledger.auditHead();
    receipts = receipts.map((each) => ({ ...each, audit: head }));
    expect(await run()).toMatchObject({ ok: true, receipts: 6n });
    receipts[0] = { ...receipts[0]!, audit: { ...head, size: 11n } };
    expect(await run()).toMatchObject({ ok: false, kind: 'receipt', at: 1n });
  });

  it('names a receipt that is missing, changed, doubled or too many', async () => {
    const sound = receipts;
    const second = sound[1]!;
    const wrong = async (broken: ReceiptFacts[], at: bigint): Promise<void> => {
      receipts = broken;
      expect(await run()).toMatchObject({ ok: false, kind: 'receipt', at });
    };
    await wrong(sound.toSpliced(1, 1), 2n);
    await wrong(sound.slice(0, -1), 8n);
    await wrong(sound.toSpliced(1, 0, second), 5n);
    for (const change of [
      { chargeMicros: 1n },
      { currency: 'USD' },
      { runId: runIdOf(9) },
      { recordHash: 'ab'.repeat(32) as Hash },
      { audit: { ...second.audit, size: second.audit.size + 1n } },
      { audit: { ...second.audit, size: second.audit.size - 1n } },
      { audit: { ...second.audit, hash: 'ab'.repeat(32) as Hash } },
    ]) {
      await wrong(sound.with(1, { ...second, ...change }), 2n);
    }
    await wrong([...sound, { ...second, recordSeq: 9n }], 9n);
  });

  it('waits for the receipt of a run that has just ended, and not for ever', async () => {
    const { atMs } = draft('any', 'posted', undefined);
    const at = (nowMs: number, some = receipts): ReturnType<typeof reconcile> =>
      reconcile({ store: opened.store, receipts: from(some), nowMs });
    // A page of receipts read before that of the second run was there.
    const sound = receipts;
    for (const missing of [1, 5]) {
      const some = sound.toSpliced(missing, 1);
      expect(await at(atMs + RECEIPT_DUE_MS - 1, some)).toMatchObject({
        ok: true,
        receipts: 5n,
        due: 1n,
      });
      const { recordSeq } = sound[missing]!;
      expect(await at(atMs + RECEIPT_DUE_MS, some)).toMatchObject({ ok: false, at: recordSeq });
    }
    // The control: one that is there must agree, however young it is.
    const wrong = sound.with(1, { ...sound[1]!, chargeMicros: 1n });
    expect(await at(atMs, wrong)).toMatchObject({ ok: false, kind: 'receipt', at: 2n });
  });

  it('names the place where the chain is not the witnessed one, or is cut', async () => {
    const head = await opened.ledger.auditHead();
    expect(await run({ size: 4n, hash: head.hash })).toMatchObject({
      ok: false,
      kind: 'entry',
      at: 3n,
    });
    expect(await run({ ...head, size: 11n })).toMatchObject({ ok: false, kind: 'entry', at: 10n });
  });
});
