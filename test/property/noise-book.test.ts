/** The domain's privacy budget on real files, with a crash at each of its writes. */
import { copyFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openAnchor, type Anchor } from '../../src/domain/anchor.ts';
import { COUNTER_MIGRATIONS } from '../../src/domain/counter-rows.ts';
import { openCounters, type Counters } from '../../src/domain/counters.ts';
import {
  lostCharges,
  NOISE_MIGRATIONS,
  openNoiseBook,
  type NoiseBook,
} from '../../src/domain/noise-book.ts';
import { acceptRollback, viewRollback } from '../../src/domain/rollback.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { HashSchema, type Hash } from '../../src/system/ids.ts';
import { makeCast, NOW_MS } from '../fixtures/contract.ts';
import { codeOf, makePlace, SELF, type Place } from '../fixtures/counting.ts';
import { faultyAnchor, faultyStore, makeFaults } from '../fixtures/faulty.ts';

const BUDGET = 1000n;
const cast = makeCast();
const question = (digit: number): Hash =>
  HashSchema.parse(digit.toString(16).repeat(64).slice(0, 64));
const charge = (digit: number, microRho = 400n, namespace = 'units') => ({
  namespace,
  question: question(digit),
  microRho,
  nowMs: NOW_MS,
});

let place: Place;
let store: SqliteStore;
const faults = makeFaults();
const anchors: Anchor[] = [];
const open = async (secret = 1): Promise<{ book: NoiseBook; counters: Counters }> => {
  const file = await openAnchor(place.anchorFile);
  anchors.push(file);
  const anchor = faultyAnchor(file, faults);
  const failing = faultyStore(store, faults);
  const counters = await openCounters({
    store: failing,
    anchor,
    self: SELF,
    identity: cast.keyOf(SELF),
  });
  const noiseSecret = new Uint8Array(32).fill(secret);
  return { book: openNoiseBook({ store: failing, counters, noiseSecret }, BUDGET), counters };
};

beforeEach(async () => {
  place = await makePlace();
  store = await openSqliteStore({
    file: place.databaseFile,
    migrations: [COUNTER_MIGRATIONS, NOISE_MIGRATIONS],
  });
  faults.recover();
});
afterEach(async () => {
  await store.close();
  for (const anchor of anchors.splice(0)) await anchor.close();
  await place.remove();
});

describe('the privacy budget', () => {
  it('is spent by each new question of anyone, and refuses what it does not hold', async () => {
    const { book } = await open();
    expect(await book.charge(charge(1))).toBe('charged');
    expect(await book.charge(charge(2))).toBe('charged');
    expect(await codeOf(() => book.charge(charge(3)))).toBe('quota-exceeded');
    expect(await book.charge(charge(4, 200n))).toBe('charged');
    expect(await codeOf(() => book.charge(charge(5, 1n)))).toBe('quota-exceeded');
    expect(await book.spentMicroRho('units')).toBe(BUDGET);
    // Other persons have a budget of their own.
    expect(await book.charge(charge(3, 400n, 'firms'))).toBe('charged');
  });

  it('a question asked again costs nothing, even when nothing is left', async () => {
    const { book } = await open();
    await book.charge(charge(1, BUDGET));
    expect(await book.charge(charge(1, BUDGET))).toBe('answered-before');
    expect(await book.spentMicroRho('units')).toBe(BUDGET);
  });

  it('many calls at once never spend more than there is, nor one question twice', async () => {
    const { book } = await open();
    const digits = [1, 1, 1, 2, 2, 3, 4, 5];
    const outcomes = await Promise.allSettled(digits.map((digit) => book.charge(charge(digit))));
    const charged = outcomes.filter(
      (outcome) => outcome.status === 'fulfilled' && outcome.value === 'charged',
    );
    expect(charged.length).toBe(2);
    expect(await book.spentMicroRho('units')).toBe(800n);
  });

  it('a lost noise secret charges anew: old answers are no guide to the new noise', async () => {
    const first = await open(1);
    expect(await first.book.charge(charge(1))).toBe('charged');
    const second = await open(2);
    expect(await second.book.charge(charge(1))).toBe('charged');
    const words = (book: NoiseBook): number => book.noiseOf(question(1))('rows').next();
    expect(words(first.book)).not.toBe(words(second.book));
    expect(words(first.book)).toBe(words((await open(1)).book));
  });

  it.each(
    [0, 1].flatMap((at) => (['before', 'after'] as const).map((mode) => [at, mode] as const)),
  )(
    'a crash at write %i, failing %s it took effect, never leaves noise without its charge',
    async (at, mode) => {
      const { book } = await open();
      faults.arm(at, mode);
      expect(await codeOf(() => book.charge(charge(1)))).toBe('store-unavailable');
      faults.recover();
      const again = await open();
      await again.book.charge(charge(1));
      expect(await again.book.spentMicroRho('units')).toBe(400n);
      expect((await again.counters.state()).kind).toBe('ready');
    },
  );

  it('a restored backup that forgot a charge is noticed before anything runs', async () => {
    const { book } = await open();
    await book.charge(charge(1));
    await store.close();
    const backup = `${place.databaseFile}.old`;
    await copyFile(place.databaseFile, backup);
    store = await openSqliteStore({
      file: place.databaseFile,
      migrations: [COUNTER_MIGRATIONS, NOISE_MIGRATIONS],
    });
    await (await open()).book.charge(charge(2));
    await store.close();
    await copyFile(backup, place.databaseFile);
    store = await openSqliteStore({
      file: place.databaseFile,
      migrations: [COUNTER_MIGRATIONS, NOISE_MIGRATIONS],
    });
    const { counters, book: restored } = await open();
    expect((await counters.state()).kind).toBe('rolled-back');
    // Accepted with the charge lost: nobody knows how much it was, so all of it is.
    const accept = async (): Promise<void> => {
      const anchor = anchors.at(-1);
      if (anchor === undefined) throw new Error('no anchor');
      const identity = cast.keyOf(SELF);
      const ofLoss = [lostCharges(BUDGET)];
      const options = {
        store,
        anchor,
        self: SELF,
        identity,
        statements: [],
        nowMs: NOW_MS,
        ofLoss,
        ofForgotten: [],
      };
      await acceptRollback(options, (await viewRollback(options)).lostRuns);
    };
    await accept();
    expect((await counters.state()).kind).toBe('ready');
    expect(await codeOf(() => restored.charge(charge(3, 1n)))).toBe('quota-exceeded');
    expect(await codeOf(() => restored.charge(charge(3, 1n, 'firms')))).toBe('quota-exceeded');
    expect(await restored.charge(charge(1))).toBe('answered-before');
    // Until the holder raises it.
    const noiseSecret = new Uint8Array(32).fill(1);
    const raised = openNoiseBook({ store, counters, noiseSecret }, 2n * BUDGET);
    expect(await raised.charge(charge(3))).toBe('charged');
    expect(await codeOf(() => raised.charge(charge(4)))).toBe('quota-exceeded');
  });

  it('counts a loss for what the budget was when it was accepted, though a later one is lower', async () => {
    const { book } = await open();
    await store.execute([lostCharges(BUDGET)]);
    await store.execute([lostCharges(BUDGET / 2n)]);
    expect(await codeOf(() => book.charge(charge(1, 1n)))).toBe('quota-exceeded');
  });
});
