/**
 * A crash at every write of the domain's counters, each both ways: not persisted, and persisted but
 * reported failed. What was acknowledged must never exceed the limit.
 */
import { copyFile, rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCounters } from '../../src/domain/counters.ts';
import type { Counters } from '../../src/domain/counters.ts';
import { acceptRollback } from '../../src/domain/rollback.ts';
import type { Statement, Store } from '../../src/store/store.ts';
import { makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace, SELF } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';
import { faultyAnchor, faultyStore } from '../fixtures/faulty.ts';

const LIMIT = 3;
const cast = makeCast();
const contract = makeContract(cast, {
  limits: { ...makeContract(cast).limits, runsTotal: LIMIT, runsPerDay: 100, runsPerMonth: 100 },
});

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

/** Runs that were allowed to send: spent and marked, both acknowledged. */
async function runsThatSent(
  start: Counters,
  restart: () => Promise<Counters>,
  tries: number,
): Promise<number> {
  let counters = start;
  let sent = 0;
  for (let index = 0; index < tries; index += 1) {
    const command = makeCommand(contract);
    const code = await codeOf(async () => {
      await counters.spend(command);
      await counters.markSent(command.requestHash, command.descriptorHash);
      sent += 1;
    });
    if (code !== 'store-unavailable') continue;
    counters = await restart();
    // After the crash the same request with the same descriptor never gets to send a second time.
    const again = await codeOf(() => counters.spend(command));
    if (again === 'accepted') {
      await counters.markSent(command.requestHash, command.descriptorHash);
      sent += 1;
    }
  }
  return sent;
}

describe('a crash at any write of the counters', () => {
  // Three writes a run: transaction, anchor, mark; some more than there are.
  const faults = Array.from({ length: 12 }, (_, at) =>
    (['before', 'after'] as const).map((mode) => [at, mode] as const),
  ).flat();

  it.each(faults)(
    'write %i failing %s it took effect: never one run too many',
    async (at, mode) => {
      opened.faults.arm(at, mode);
      const sent = await runsThatSent(opened.counters, () => opened.restart(), LIMIT + 3);
      expect(sent).toBeLessThanOrEqual(LIMIT);
      const counters = await opened.restart();
      // A crash is no rollback, and what was sent is counted.
      expect((await counters.state()).kind).toBe('ready');
      const statements = await counters.statements(0, 100);
      expect(statements.map(({ spend }) => spend.seq)).toEqual(
        statements.map((_, index) => index + 1),
      );
      const total = statements.at(-1)?.spend.counted.total ?? 0;
      expect(total).toBeGreaterThanOrEqual(sent);
      expect(total).toBe(LIMIT);
    },
  );
});

describe('a crash while an officer accepts a rollback', () => {
  const faults = [0, 1].flatMap((at) =>
    (['before', 'after'] as const).map((mode) => [at, mode] as const),
  );

  it.each(faults)('write %i failing %s: accepted once or not at all', async (at, mode) => {
    const copy = `${place.databaseFile}.copy`;
    await opened.counters.spend(makeCommand(contract));
    await opened.store.copyTo(copy);
    const kept = [
      await opened.counters.spend(makeCommand(contract)),
      await opened.counters.spend(makeCommand(contract)),
    ];
    await opened.close();
    for (const suffix of ['-wal', '-shm'])
      await rm(`${place.databaseFile}${suffix}`, { force: true });
    await copyFile(copy, place.databaseFile);
    opened = await openPlace(place, cast);
    const options = {
      store: faultyStore(opened.store, opened.faults),
      anchor: faultyAnchor(opened.anchor, opened.faults),
      self: SELF,
      identity: cast.keyOf(SELF),
      statements: kept.slice(0, 1),
      nowMs: NOW_MS,
      ofLoss: [],
      ofForgotten: [],
    };
    opened.faults.arm(at, mode);
    expect(await codeOf(() => acceptRollback(options, 1))).toBe('store-unavailable');
    let counters = await opened.restart();
    if ((await counters.state()).kind === 'rolled-back') {
      await acceptRollback(options, 1);
      counters = await opened.restart();
    }
    expect((await counters.state()).kind).toBe('ready');
    for (const signed of kept)
      expect(await codeOf(() => counters.present(signed))).toBe('accepted');
    // Three runs happened, two of them known and one lost: the limit is reached.
    const later = makeCommand(contract, { nowMs: NOW_MS + 2 * 86_400_000 });
    expect(await codeOf(() => counters.spend(later))).toBe('contract-counter-exhausted');
  });
});

/** Positive control: acknowledges at once and writes later, so that a crash loses what it promised. */
function lyingStore(store: Store): { store: Store; crash(): void } {
  let held: Statement[] = [];
  let isHolding = false;
  return {
    store: {
      async query(sql, params) {
        if (!isHolding && held.length > 0) {
          const batch = held;
          held = [];
          await store.execute(batch);
        }
        return store.query(sql, params);
      },
      async execute(statements) {
        isHolding = true;
        held.push(...statements);
        await Promise.resolve();
        isHolding = false;
      },
      close: () => store.close(),
    },
    crash: () => {
      held = [];
    },
  };
}

describe('positive control: a store that acknowledges before it writes', () => {
  it('lets a run too many pass where nothing else remembers, and the anchor notices it', async () => {
    const lying = lyingStore(opened.store);
    let kept: { seq: number; hash: string } | undefined;
    const forgetful = {
      read: () => opened.anchor.read(),
      write: (head: { seq: number; hash: string }) => {
        kept = head;
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
    const identity = cast.keyOf(SELF);
    const start = (): Promise<Counters> =>
      openCounters({ store: lying.store, anchor: forgetful, self: SELF, identity });
    let sent = 0;
    for (let run = 0; run < LIMIT + 3; run += 1) {
      const counters = await start();
      if ((await codeOf(() => counters.spend(makeCommand(contract)))) === 'accepted') sent += 1;
      lying.crash();
    }
    expect(sent).toBeGreaterThan(LIMIT);
    // The same lies, with the real anchor: the first loss is found at the next start.
    expect(kept).toBeDefined();
    const honest = (): Promise<Counters> =>
      openCounters({ store: lying.store, anchor: opened.anchor, self: SELF, identity });
    const counters = await honest();
    expect(await codeOf(() => counters.spend(makeCommand(contract)))).toBe('accepted');
    lying.crash();
    expect((await (await honest()).state()).kind).toBe('rolled-back');
  });
});
