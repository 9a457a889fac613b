import { copyFile, rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import { spendHash, verifySpend } from '../../src/contracts/spend.ts';
import type { SignedSpend } from '../../src/contracts/spend.ts';
import { lostReleases, openReleaseBook } from '../../src/domain/release-book.ts';
import { acceptRollback, unknownTo, viewRollback } from '../../src/domain/rollback.ts';
import type { AcceptOptions } from '../../src/domain/rollback.ts';
import type { SpendCommand } from '../../src/domain/spend-rules.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace, SELF } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';

const cast = makeCast();
const many = { runsTotal: 100, runsPerDay: 100, runsPerMonth: 100 };
const limited = (limits: Partial<Contract['limits']>): Contract => {
  const contract = makeContract(cast);
  return { ...contract, limits: { ...contract.limits, ...many, ...limits } };
};

let place: Place;
let opened: Opened;
beforeEach(async () => {
  place = await makePlace();
  opened = await openPlace(place, cast);
});
afterEach(async () => {
  await opened.close();
  await place.remove();
});

const spendCode = (command: SpendCommand): Promise<string> =>
  codeOf(() => opened.counters.spend(command));

describe('limits', () => {
  it('let exactly so many runs pass in all', async () => {
    const contract = limited({ runsTotal: 3 });
    for (let run = 1; run <= 3; run += 1) {
      const { spend } = await opened.counters.spend(makeCommand(contract));
      expect(spend.counted.total).toBe(run);
      expect(spend.seq).toBe(run);
    }
    expect(await codeOf(() => opened.counters.check(makeCommand(contract)))).toBe(
      'contract-counter-exhausted',
    );
    expect(await spendCode(makeCommand(contract))).toBe('contract-counter-exhausted');
    // Another contract has a count of its own, also where only its limits differ.
    expect(await spendCode(makeCommand(limited({ runsTotal: 4 })))).toBe('accepted');
  });

  it('begin anew with the day and the month of the contract’s time zone, not before', async () => {
    const contract = limited({ runsPerDay: 1, runsPerMonth: 2 });
    const at = (text: string): Promise<string> =>
      spendCode(makeCommand(contract, { nowMs: Date.parse(text) }));
    expect(await at('2026-06-29T15:59:59.999Z')).toBe('accepted');
    expect(await at('2026-06-29T15:59:59.999Z')).toBe('contract-counter-exhausted');
    expect(await at('2026-06-29T16:00:00.000Z')).toBe('accepted');
    // A clock that is set back finds the earlier day used up as it was.
    expect(await at('2026-06-29T15:00:00.000Z')).toBe('contract-counter-exhausted');
    expect(await at('2026-06-30T15:59:59.999Z')).toBe('contract-counter-exhausted');
    // The month is used up, that day is not.
    expect(await at('2026-06-27T12:00:00.000Z')).toBe('contract-counter-exhausted');
    // July begins at 16:00 UTC in Shanghai.
    expect(await at('2026-06-30T16:00:00.000Z')).toBe('accepted');
    expect(await at('2026-06-30T16:00:00.000Z')).toBe('contract-counter-exhausted');
  });

  it('say when the window ends', async () => {
    const contract = limited({ runsPerDay: 1 });
    await opened.counters.spend(makeCommand(contract));
    await expect(opened.counters.spend(makeCommand(contract))).rejects.toMatchObject({
      facts: { resetsAt: '2026-06-15T16:00:00.000Z', rule: 'runsPerDay' },
    });
  });

  it('hold when all runs begin at once', async () => {
    const contract = limited({ runsTotal: 5 });
    const codes = await Promise.all(
      Array.from({ length: 20 }, () => spendCode(makeCommand(contract))),
    );
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(5);
  });
});

describe('a request', () => {
  const contract = limited({});

  it('runs once: a replay is refused, also after a restart and by another run', async () => {
    const command = makeCommand(contract);
    await opened.counters.spend(command);
    expect(await spendCode(command)).toBe('request-replayed');
    expect(await spendCode(makeCommand(contract, { request: command.request }))).toBe(
      'request-replayed',
    );
    await opened.close();
    opened = await openPlace(place, cast);
    expect(await spendCode(command)).toBe('request-replayed');
    // Another request with the same nonce is the same request in other clothes.
    const dressed = { ...command.request, arguments: { hours: ['8'] } };
    expect(await spendCode(makeCommand(contract, { request: dressed }))).toBe('request-replayed');
    const usage = await opened.counters.usage(contract, command.contractHash, NOW_MS);
    expect(usage).toEqual({ total: 1, day: 1, month: 1 });
  });

  it('may be attempted again with fewer parties until something was sent, for one count', async () => {
    const first = makeCommand(contract);
    const { runId } = first.descriptor;
    const again = { request: first.request, runId };
    const fewer = HOLDERS.slice(0, 2);
    await opened.counters.spend(first);
    const second = makeCommand(contract, { ...again, attempt: 2, parties: fewer });
    expect((await opened.counters.spend(second)).spend.runs).toBe(0);
    // Neither an earlier attempt, nor a party that was not there before.
    expect(await spendCode(first)).toBe('request-replayed');
    const others = [...fewer, HOLDERS[2]!];
    expect(await spendCode(makeCommand(contract, { ...again, attempt: 3, parties: others }))).toBe(
      'party-set-changed',
    );
    await opened.counters.markSent(second.requestHash, second.descriptorHash);
    const third = makeCommand(contract, { ...again, attempt: 3, parties: fewer });
    expect(await spendCode(third)).toBe('party-set-changed');
    expect((await opened.counters.usage(contract, first.contractHash, NOW_MS)).total).toBe(1);
  });

  it('is sent under one descriptor, once', async () => {
    const command = makeCommand(contract);
    const { requestHash, descriptorHash } = command;
    const mark = (): Promise<string> =>
      codeOf(() => opened.counters.markSent(requestHash, descriptorHash));
    expect(await mark()).toBe('request-replayed');
    await opened.counters.spend(command);
    const other = makeCommand(contract).descriptorHash;
    expect(await codeOf(() => opened.counters.markSent(requestHash, other))).toBe(
      'request-replayed',
    );
    expect(await Promise.all([mark(), mark()])).toEqual(['accepted', 'request-replayed']);
  });
});

describe('statements', () => {
  it('are signed, numbered without gaps and chained', async () => {
    const contract = limited({});
    for (let run = 0; run < 4; run += 1) await opened.counters.spend(makeCommand(contract));
    const all = await opened.counters.statements(0, 10);
    expect(all.map(({ spend }) => spend.seq)).toEqual([1, 2, 3, 4]);
    for (const [index, signed] of all.entries()) {
      verifySpend(signed, cast.keyOf(SELF).publicKey);
      if (index > 0) expect(signed.spend.previous).toBe(spendHash(all[index - 1]!.spend));
    }
    const forged = { ...all[0]!, spend: { ...all[0]!.spend, runs: 0 } };
    expect(await codeOf(() => opened.counters.present(forged))).toBe('signature-invalid');
    expect(await codeOf(() => opened.counters.present(all[3]!))).toBe('accepted');
  });
});

/** Puts an older copy of the database back, as a restored backup does. */
async function restoreAfter(
  runs: number,
  contract: Contract,
  nowMs = NOW_MS,
): Promise<SpendCommand[]> {
  const copy = `${place.databaseFile}.backup`;
  await rm(copy, { force: true });
  await opened.store.copyTo(copy);
  const commands = Array.from({ length: runs }, () => makeCommand(contract, { nowMs }));
  for (const command of commands) await opened.counters.spend(command);
  await opened.close();
  await putBack(copy);
  return commands;
}

/** What gives the running domain the store as it is now. */
async function olderStore(): Promise<() => Promise<void>> {
  const [head] = await opened.store.query('SELECT seq, hash FROM spend_head');
  const params = Object.values(head!);
  return () =>
    opened.store.execute([
      { sql: 'DELETE FROM spend WHERE seq > 1', params: [] },
      { sql: 'UPDATE spend_head SET seq = ?, hash = ?', params },
    ]);
}

async function putBack(copy: string): Promise<void> {
  for (const suffix of ['-wal', '-shm']) {
    await rm(`${place.databaseFile}${suffix}`, { force: true });
  }
  await copyFile(copy, place.databaseFile);
}

describe('a restored backup', () => {
  const contract = limited({ runsTotal: 6 });
  const accepting = (statements: AcceptOptions['statements']): AcceptOptions => ({
    store: opened.store,
    anchor: opened.anchor,
    self: SELF,
    identity: cast.keyOf(SELF),
    statements,
    nowMs: NOW_MS + 1000,
    ofLoss: [],
    ofForgotten: [lostReleases(NOW_MS + 1000)],
  });
  const forgotten = async (): Promise<string> =>
    codeOf(() =>
      openReleaseBook(opened.store).admit([], {
        self: SELF,
        parties: '',
        threshold: 3,
        nowMs: NOW_MS,
      }),
    );

  it('is noticed by the anchor, and runs are refused until the officer accepts', async () => {
    await opened.counters.spend(makeCommand(contract));
    const commands = await restoreAfter(1, contract);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('rolled-back');
    expect(await spendCode(makeCommand(contract))).toBe('history-rolled-back');
    expect(await codeOf(() => opened.counters.check(commands[0]!))).toBe('history-rolled-back');
    await opened.close();
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('rolled-back');
  });

  it('is noticed where the anchor was removed with it, or restored too, by a witness', async () => {
    await opened.counters.spend(makeCommand(contract));
    const anchorCopy = `${place.anchorFile}.copy`;
    await copyFile(place.anchorFile, anchorCopy);
    const copy = `${place.databaseFile}.backup`;
    await opened.store.copyTo(copy);
    const seen = await opened.counters.spend(makeCommand(contract));
    await opened.close();
    await putBack(copy);
    await rm(place.anchorFile);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).reason).toMatch(/anchor file is missing/);
    await opened.close();
    // Now with the old anchor: nothing on this machine can tell, the witness can.
    await putBack(copy);
    await copyFile(anchorCopy, place.anchorFile);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('ready');
    expect(await codeOf(() => opened.counters.present(seen))).toBe('history-rolled-back');
    expect(await spendCode(makeCommand(contract))).toBe('history-rolled-back');
  });

  it('put in place beneath a running domain is noticed by the very next run', async () => {
    await opened.counters.spend(makeCommand(contract));
    const putBeneath = await olderStore();
    await opened.counters.spend(makeCommand(contract));
    await putBeneath();
    expect(await spendCode(makeCommand(contract))).toBe('history-rolled-back');
  });

  it('that went on to the number of the anchor is told by the statement under it', async () => {
    await opened.counters.spend(makeCommand(contract));
    const [before, latest] = ['before', 'latest'].map((when) => `${place.anchorFile}.${when}`);
    await copyFile(place.anchorFile, before!);
    const copy = `${place.databaseFile}.backup`;
    await opened.store.copyTo(copy);
    await opened.counters.spend(makeCommand(contract));
    await opened.close();
    await copyFile(place.anchorFile, latest!);
    await putBack(copy);
    await copyFile(before!, place.anchorFile);
    opened = await openPlace(place, cast);
    await opened.counters.spend(makeCommand(contract));
    await opened.close();
    await copyFile(latest!, place.anchorFile);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).reason).toMatch(/different statements as spend 2/);
    expect(await spendCode(makeCommand(contract))).toBe('history-rolled-back');
  });

  it('put in place beneath a running domain is noticed by notes as by runs', async () => {
    await opened.counters.spend(makeCommand(contract));
    const putBeneath = await olderStore();
    const note = (digit: string): Promise<void> =>
      opened.counters.note({ kind: 'noise.charged', digest: HashSchema.parse(digit.repeat(64)) }, [
        { sql: 'INSERT INTO release_loss (at_ms) VALUES (1)', params: [] },
      ]);
    // The control: of its own history a note takes the next number.
    await note('a');
    await opened.counters.spend(makeCommand(contract));
    expect((await opened.counters.state()).head.seq).toBe(3);
    await putBeneath();
    // Both slots of the anchor would be written over by these.
    await note('b');
    await note('c');
    expect((await opened.counters.state()).kind).toBe('rolled-back');
    expect(await spendCode(makeCommand(contract))).toBe('history-rolled-back');
    // What came with the notes is written all the same.
    expect(await opened.store.query('SELECT at_ms FROM release_loss')).toHaveLength(3);
  });

  it('without any statement counts a lost run against every contract that may have had it', async () => {
    await opened.counters.spend(makeCommand(contract));
    const commands = await restoreAfter(3, contract);
    opened = await openPlace(place, cast);
    const lost = await viewRollback(accepting([]));
    expect(lost).toMatchObject({ highestSeq: 4, lostRuns: 3 });
    expect(await codeOf(() => acceptRollback(accepting([]), 2))).toBe('parameter-invalid');
    await acceptRollback(accepting([]), 3);
    // Two of six runs are left; requests signed before the acceptance may be replays.
    expect(await spendCode(commands[0]!)).toBe('request-replayed');
    const later = NOW_MS + 2 * 86_400_000;
    const fresh = (): SpendCommand => makeCommand(contract, { nowMs: later });
    expect(await spendCode(fresh())).toBe('accepted');
    expect(await spendCode(fresh())).toBe('accepted');
    expect(await spendCode(fresh())).toBe('contract-counter-exhausted');
    // A contract that began after the acceptance lost nothing.
    const young = makeContract(cast, {
      limits: { ...contract.limits, runsTotal: 1 },
      validity: { notBefore: '2026-06-16T00:00:00Z', notAfter: '2027-01-01T00:00:00Z' },
    });
    expect(await spendCode(makeCommand(young, { nowMs: later }))).toBe('accepted');
  });

  it('comes back exactly from the statements that witnesses kept', async () => {
    await opened.counters.spend(makeCommand(contract));
    const kept: SignedSpend[] = [];
    const copy = `${place.databaseFile}.backup`;
    await opened.store.copyTo(copy);
    const commands = [makeCommand(contract), makeCommand(contract)];
    for (const command of commands) kept.push(await opened.counters.spend(command));
    await opened.close();
    await putBack(copy);
    opened = await openPlace(place, cast);
    const statements = kept.toReversed();
    const earlier = await opened.counters.statements(0, 10);
    expect(await unknownTo(opened.store, [...earlier, ...kept])).toEqual(kept);
    expect(await viewRollback(accepting(statements))).toMatchObject({ lostRuns: 0 });
    expect(await forgotten()).toBe('accepted');
    const head = await acceptRollback(accepting(statements), 0);
    expect(head.seq).toBe(4);
    // The counts are whole; what those runs released is not remembered all the same.
    expect(await forgotten()).toBe('history-rolled-back');
    expect(await codeOf(() => acceptRollback(accepting(statements), 0))).toBe('already-exists');
    for (const command of commands) expect(await spendCode(command)).toBe('request-replayed');
    const usage = await opened.counters.usage(contract, commands[0]!.contractHash, NOW_MS);
    expect(usage.total).toBe(3);
    for (const signed of kept) {
      expect(await codeOf(() => opened.counters.present(signed))).toBe('accepted');
    }
    const next = await opened.counters.spend(makeCommand(contract));
    expect(next.spend).toMatchObject({ seq: 5, counted: { total: 4 } });
    await opened.close();
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('ready');
  });

  it('that lost no run has forgotten nothing', async () => {
    await opened.counters.spend(makeCommand(contract));
    await opened.close();
    await rm(place.anchorFile);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('rolled-back');
    await acceptRollback(accepting([]), 0);
    expect(await forgotten()).toBe('accepted');
  });

  it('that went on by itself is a fork: both branches count', async () => {
    await opened.counters.spend(makeCommand(contract));
    const anchorCopy = `${place.anchorFile}.copy`;
    await copyFile(place.anchorFile, anchorCopy);
    const copy = `${place.databaseFile}.backup`;
    await opened.store.copyTo(copy);
    const lost = [makeCommand(contract), makeCommand(contract)];
    const kept: SignedSpend[] = [];
    for (const command of lost) kept.push(await opened.counters.spend(command));
    await opened.close();
    await putBack(copy);
    await copyFile(anchorCopy, place.anchorFile);
    opened = await openPlace(place, cast);
    await opened.counters.spend(makeCommand(contract));
    expect(await codeOf(() => opened.counters.present(kept[0]!))).toBe('history-rolled-back');
    const own = await opened.counters.statements(0, 10);
    expect(await unknownTo(opened.store, [...own, ...kept])).toEqual(kept);
    // Spends 2 and 2', and 3: number 2 was used twice, so one run is counted for it besides.
    expect(await viewRollback(accepting(kept))).toMatchObject({ highestSeq: 3, lostRuns: 1 });
    await acceptRollback(accepting(kept), 1);
    for (const signed of kept) {
      expect(await codeOf(() => opened.counters.present(signed))).toBe('accepted');
    }
    const later = NOW_MS + 2 * 86_400_000;
    const codes = [];
    for (let run = 0; run < 3; run += 1) {
      codes.push(await spendCode(makeCommand(contract, { nowMs: later })));
    }
    // Four runs happened: 1, 2, 3 and 2'. Two of six are left.
    expect(codes).toEqual(['accepted', 'accepted', 'contract-counter-exhausted']);
    // A later rollback is of what came since: the branch was counted, whoever shows it again.
    const wider = limited({ runsTotal: 50 });
    await restoreAfter(1, wider, later);
    opened = await openPlace(place, cast);
    expect(await viewRollback(accepting(kept))).toMatchObject({ highestSeq: 7, lostRuns: 1 });
    await acceptRollback(accepting(kept), 1);
    expect((await opened.counters.state()).kind).toBe('ready');
  });
});
