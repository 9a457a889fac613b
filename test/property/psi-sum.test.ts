import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  BgvDecryptor,
  BgvEncryptor,
  BgvEvaluator,
  Ciphertext,
} from '../../protocols/common/bgv.ts';
import { checkPublicKey } from '../../protocols/common/bgv-ciphertext.ts';
import { concatBytes } from '../../protocols/common/bytes.ts';
import {
  SUM_CIPHERTEXT_BYTES,
  SUM_PARAMETERS,
  SUM_PRODUCTS_MAX,
  SUM_SLOTS,
  addChoice,
  areProductsHidden,
  chooseValues,
  encryptValues,
  foldMasked,
  maskSum,
  openSum,
  requireSumFits,
  slotOf,
} from '../../protocols/psi/sum.ts';
import { addByCell, sumByGroup } from '../../protocols/psi/group-sum.ts';
import { sumShared, type SumEngine } from '../../protocols/psi/sum-exchange.ts';
import { encodeChunk } from '../../protocols/psi/messages.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { ciphertextPrefix, secretKeyPrefix } from '../../workers/seal-format.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import { machine } from '../fixtures/psi.ts';
import { bareContext, bareSeal } from '../support/bare-seal.ts';

const T = SUM_PARAMETERS.plainModulus;
let encryptor: BgvEncryptor;
let evaluator: BgvEvaluator;
let decryptor: BgvDecryptor;
let secretKey: Uint8Array;

beforeAll(async () => {
  const secretSide = await loadSeal();
  const publicSide = await loadSeal();
  const key = secretSide.generateSecretKey(SUM_PARAMETERS);
  secretKey = key.slice();
  const publicKey = checkPublicKey(
    SUM_PARAMETERS,
    secretSide.generatePublicKey(SUM_PARAMETERS, key),
  );
  encryptor = publicSide.encryptor(SUM_PARAMETERS, publicKey);
  evaluator = publicSide.evaluator(SUM_PARAMETERS);
  decryptor = secretSide.decryptor(SUM_PARAMETERS, key);
});
afterAll(() => {
  for (const part of [encryptor, evaluator, decryptor]) part[Symbol.dispose]();
});

const slots = (valueAt: (slot: number) => bigint): BigUint64Array<ArrayBuffer> =>
  BigUint64Array.from({ length: SUM_SLOTS }, (_, slot) => slotOf(valueAt(slot)));
const masked = (choices: Uint8Array | undefined) =>
  maskSum(nativePrimitives.stream, evaluator, encryptor, choices, new Uint8Array(randomBytes(32)));

describe('the sum of chosen values', () => {
  it('comes out of the two halves, and of neither alone, for any choice of many ciphertexts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer(), (count, seed) => {
        let naive = 0n;
        let sum: Uint8Array | undefined;
        for (let part = 0; part < count; part++) {
          const valueAt = (slot: number): bigint =>
            BigInt(((slot * 7919 + seed + part) % 2001) - 1000);
          const isChosen = (slot: number): boolean => (slot * 31 + seed) % 5 < 2;
          const values = encryptValues(encryptor, slots(valueAt));
          const choice = chooseValues(
            evaluator,
            values,
            slots((slot) => (isChosen(slot) ? 1n : 0n)),
          );
          for (let slot = 0; slot < SUM_SLOTS; slot++) if (isChosen(slot)) naive += valueAt(slot);
          if (sum === undefined) sum = choice;
          else addChoice(sum, choice);
        }
        const { ciphertext, foldedMask } = masked(sum);
        const folded = foldMasked(decryptor, ciphertext);
        expect(openSum(folded, foldedMask)).toBe(naive);
        expect(openSum(folded, 0n)).not.toBe(naive);
      }),
      { numRuns: 5 },
    );
  });

  it('is zero where nothing was chosen, or nothing sent', () => {
    const values = encryptValues(
      encryptor,
      slots(() => 5n),
    );
    const none = chooseValues(
      evaluator,
      values,
      slots(() => 0n),
    );
    for (const choices of [none, undefined]) {
      const { ciphertext, foldedMask } = masked(choices);
      expect(openSum(foldMasked(decryptor, ciphertext), foldedMask)).toBe(0n);
    }
  });

  it('fits exactly up to half the modulus', () => {
    expect(() => requireSumFits(1, (T - 1n) / 2n)).not.toThrow();
    expect(() => requireSumFits(1, (T + 1n) / 2n)).toThrow(/fit/);
    expect(() => requireSumFits(2 ** 24, 2047n)).not.toThrow();
    expect(() => requireSumFits(2 ** 24, 2048n)).toThrow(/fit/);
    expect(() => requireSumFits(2 ** 24 + 1, 1n)).toThrow(/fit/);
    for (const value of [0n, 1n, -1n, (T - 1n) / 2n, -(T - 1n) / 2n]) {
      expect(openSum(slotOf(value), 0n)).toBe(value);
    }
  });
});

describe('what the sender sees', () => {
  it('is uniform in every slot, whatever was chosen', () => {
    const values = encryptValues(
      encryptor,
      slots(() => 1000n),
    );
    for (const chosen of [0n, 1n]) {
      const { ciphertext } = masked(
        chooseValues(
          evaluator,
          values,
          slots(() => chosen),
        ),
      );
      const seen = decryptor.decrypt(ciphertext as unknown as Ciphertext);
      const counts = Array<number>(64).fill(0);
      for (const slot of seen) counts[Number((slot * 64n) / T)]! += 1;
      const expected = SUM_SLOTS / 64;
      const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      // 63 degrees of freedom: beyond 150 less than once in 10^8 runs.
      expect(chiSquare).toBeLessThan(150);
    }
  });

  it('is never the same twice', () => {
    const values = encryptValues(
      encryptor,
      slots(() => 1n),
    );
    const choice = chooseValues(
      evaluator,
      values,
      slots(() => 1n),
    );
    const [left, right] = [masked(choice), masked(choice)];
    expect(left.ciphertext).not.toEqual(right.ciphertext);
    expect(left.foldedMask).not.toBe(right.foldedMask);
  });

  it('has its noise drowned: 2^63 and more above what the choices leave', () => {
    const values = encryptValues(
      encryptor,
      slots((slot) => BigInt(slot * 123_457)),
    );
    const sum = chooseValues(
      evaluator,
      values,
      slots((slot) => BigInt(slot % 2)),
    );
    for (let part = 0; part < 8; part++) {
      addChoice(
        sum,
        chooseValues(
          evaluator,
          values,
          slots((slot) => BigInt((slot >> part) & 1)),
        ),
      );
    }
    const context = bareContext(SUM_PARAMETERS);
    const key = new bareSeal.SecretKey();
    key.loadFromArray(context, concatBytes([secretKeyPrefix(SUM_PARAMETERS), secretKey]));
    const meter = new bareSeal.Decryptor(context, key);
    const loaded = new bareSeal.Ciphertext();
    // The library's own measure, which product code never shows to anyone.
    const budget = (ciphertext: Uint8Array): number => {
      const prefix = ciphertextPrefix(SUM_PARAMETERS, 'data');
      loaded.loadFromArray(context, concatBytes([prefix, ciphertext]));
      return meter.invariantNoiseBudget(loaded);
    };
    const { ciphertext } = masked(sum);
    // 40 bits, 13 for the coefficients, 10 for a thousand runs.
    expect(budget(sum) - budget(ciphertext)).toBeGreaterThan(63);
    expect(budget(ciphertext)).toBeGreaterThan(12);
  });
});

describe('the sum by groups', () => {
  it('adds up every ciphertext for every group, however groups are shared out over threads', async () => {
    const items = 2 * SUM_SLOTS + 5;
    const valueAt = (place: number): bigint => BigInt(((place * 7919) % 2001) - 1000);
    /** Most places are shared with no group, and one group with no place. */
    const tagAt = (place: number): number =>
      place % 3 === 0 ? (Math.floor(place / 3) % 6) + 1 : 0;
    const cells = 7;
    const cellOfPlace = Uint8Array.from({ length: items }, (_, place) => tagAt(place));
    const naive = Array<bigint>(cells).fill(0n);
    cellOfPlace.forEach((tag, place) => {
      if (tag > 0) naive[tag - 1] = (naive[tag - 1] ?? 0n) + valueAt(place);
    });
    for (const parallel of [1, 3, 16]) {
      const engine: SumEngine = {
        parallel,
        generateKeys: () => Promise.reject(new Error('not part of this')),
        encrypt: () => Promise.reject(new Error('not part of this')),
        choose: () => Promise.reject(new Error('not part of this')),
        mask: async (_key, choices) => masked(choices),
        fold: async (_key, all) => all.map((each) => foldMasked(decryptor, each)),
        async addByCell(ciphertext, cellOfSlot, first, sums) {
          const choose = async (chosen: BigUint64Array<ArrayBuffer>) =>
            chooseValues(evaluator, ciphertext.slice(), chosen);
          await addByCell(choose, cellOfSlot, first, sums);
          return sums;
        },
      };
      const incoming: Uint8Array[] = [new Uint8Array(0)];
      for (let index = 0; index < 3; index++) {
        const part = slots((slot) =>
          index * SUM_SLOTS + slot < items ? valueAt(index * SUM_SLOTS + slot) : 0n,
        );
        incoming.push(encodeChunk(index, encryptValues(encryptor, part), SUM_CIPHERTEXT_BYTES));
      }
      const sent: Uint8Array[] = [];
      const channel = {
        send: async (_kind: string, payload: Uint8Array) => void sent.push(payload),
        receive: async () => incoming.shift() ?? new Uint8Array(0),
      };
      const masks = await sumByGroup(channel, engine, machine(), cellOfPlace, cells);
      const opened = sent.map((payload, cell) => {
        expect(new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)).toBe(cell);
        return openSum(foldMasked(decryptor, payload.slice(8)), masks[cell] ?? 0n);
      });
      expect(opened).toEqual(naive);
    }
  });

  it('bounds products, so that flooding hides what each of many answers was chosen by', () => {
    expect(areProductsHidden(2 ** 20, 64)).toBe(true);
    expect(areProductsHidden(2 ** 20 + 1, 64)).toBe(false);
    expect(areProductsHidden(2 ** 24, 4)).toBe(true);
    // 2^103 a product, 2^63 for 40 bits over a thousand runs, below the 2^179 that floods.
    expect(103 + 63 + Math.log2(SUM_PRODUCTS_MAX)).toBeLessThanOrEqual(179);
  });
});

describe('bad ciphertexts', () => {
  it('are refused before anything native sees them', () => {
    const good = encryptValues(
      encryptor,
      slots(() => 1n),
    );
    const large = good.slice();
    large.fill(0xff, 0, 8);
    for (const bad of [good.slice(1), new Uint8Array(SUM_CIPHERTEXT_BYTES + 1), large]) {
      expect(() =>
        chooseValues(
          evaluator,
          bad,
          slots(() => 1n),
        ),
      ).toThrow(expect.objectContaining({ code: 'ciphertext-invalid' }));
      expect(() => foldMasked(decryptor, bad)).toThrow(
        expect.objectContaining({ code: 'ciphertext-invalid' }),
      );
    }
    expect(() =>
      chooseValues(
        evaluator,
        good,
        slots(() => 1n),
      ),
    ).not.toThrow();
  });

  it('out of their turn or of another length end the exchange', async () => {
    const ciphertext = encryptValues(
      encryptor,
      slots(() => 1n),
    );
    const engine: SumEngine = {
      parallel: 1,
      generateKeys: () => Promise.reject(new Error('not part of this')),
      encrypt: async (_key, part) => encryptValues(encryptor, part),
      choose: async (each, chosen) => chooseValues(evaluator, each, chosen),
      mask: async (_key, choices) => masked(choices),
      fold: async (_key, all) => all.map((each) => foldMasked(decryptor, each)),
      addByCell: () => Promise.reject(new Error('not part of this')),
    };
    const exchange = async (chunks: readonly Uint8Array[]): Promise<bigint> => {
      const incoming = [new Uint8Array(0), ...chunks];
      const channel = {
        send: async () => {},
        receive: async () => incoming.shift() ?? new Uint8Array(0),
      };
      return sumShared(
        channel,
        engine,
        machine(),
        2 * SUM_SLOTS,
        new Uint8Array(2 * 1024).fill(255),
      );
    };
    const chunk = (index: number): Uint8Array =>
      encodeChunk(index, ciphertext, SUM_CIPHERTEXT_BYTES);
    await expect(exchange([chunk(0), chunk(1)])).resolves.toBeTypeOf('bigint');
    await expect(exchange([chunk(1), chunk(0)])).rejects.toMatchObject({
      code: 'message-unexpected',
    });
    await expect(exchange([chunk(0), chunk(0)])).rejects.toMatchObject({
      code: 'message-unexpected',
    });
    await expect(exchange([chunk(0)])).rejects.toMatchObject({ code: 'length-wrong' });
    await expect(exchange([chunk(0), chunk(1).slice(0, -1)])).rejects.toMatchObject({
      code: 'length-wrong',
    });
  });
});
