import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BgvEncryptor, Ciphertext } from '../../protocols/common/bgv.ts';
import { addCiphertext } from '../../protocols/common/bgv-ciphertext.ts';
import { addFrames } from '../../protocols/homomorphic/aggregator.ts';
import { residueCount, type SealedVector, sumBound } from '../../protocols/homomorphic/headroom.ts';
import { generateSealingKeys } from '../../protocols/homomorphic/keys.ts';
import { ciphertextSlot } from '../../protocols/homomorphic/messages.ts';
import { addMask } from '../../protocols/homomorphic/masks.ts';
import {
  ADDENDS_MAX,
  DEGREE,
  PAYLOAD_SLOTS,
  PLAIN_MODULI,
  sealedSumParameters,
} from '../../protocols/homomorphic/params.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import {
  lanesFrom,
  sealAll,
  sealedRun,
  sealedSum,
  sealedWorld,
  type SealedWorld,
} from '../support/sealed-sum.ts';

let world: SealedWorld;
beforeAll(async () => {
  world = await sealedWorld();
});

function vectorOf(cells: number, parts: Partial<SealedVector> = {}): SealedVector {
  const full = { minimum: -(1n << 61n), maximum: (1n << 61n) - 1n, addends: 3 };
  return { vector: 0, cells, laneBytes: 8, ...full, ...parts };
}

/** Bounds, holders and values that reach the ends of both. */
const shapes = fc
  .record({
    laneBytes: fc.constantFrom<8 | 16>(8, 16),
    addends: fc.integer({ min: 2, max: 5 }),
    bits: fc.integer({ min: 1, max: 120 }),
    signed: fc.boolean(),
    cells: fc.integer({ min: 1, max: 24 }),
  })
  .chain(({ laneBytes, addends, bits, signed, cells }) => {
    const width = BigInt(Math.min(bits, laneBytes * 8 - 5));
    const maximum = (1n << width) - 1n;
    const minimum = signed ? -maximum - 1n : 0n;
    const value = fc.oneof(
      fc.bigInt({ min: minimum, max: maximum }),
      fc.constantFrom(minimum, maximum, 0n),
    );
    const part = fc.array(value, { minLength: cells, maxLength: cells });
    return fc.record({
      vector: fc.constant(vectorOf(cells, { laneBytes, addends, minimum, maximum })),
      parts: fc.array(part, { minLength: addends, maxLength: addends }),
    });
  });

describe('sealed sum', () => {
  it('opens exactly the sum of the holders, signed, for all lane widths and residue counts', () => {
    const seen = new Set<number>();
    fc.assert(
      fc.property(shapes, ({ vector, parts }) => {
        seen.add(residueCount(vector));
        const lanes = parts.map((values) => lanesFrom(values, vector.laneBytes));
        const expected = Array.from({ length: vector.cells }, (_, cell) =>
          parts.reduce((sum, values) => sum + values[cell]!, 0n),
        );
        expect(sealedSum(world, sealedRun(parts.length), vector, lanes)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
    expect(seen).toEqual(new Set([1, 2, 3, 4]));
  });

  it('carries vectors over many ciphertexts and frames', () => {
    const cells = 16 * PAYLOAD_SLOTS + 3;
    const parts = [0, 1, 2].map((party) =>
      Array.from({ length: cells }, (_, cell) => BigInt((cell * 7919 * (party + 1)) % 100_003)),
    );
    const vector = vectorOf(cells, { minimum: 0n, maximum: 100_003n });
    const sums = sealedSum(
      world,
      sealedRun(3),
      vector,
      parts.map((values) => lanesFrom(values, 8)),
    );
    expect(residueCount(vector)).toBe(1);
    expect(sums).toEqual(
      parts[0]!.map((value, cell) => value + parts[1]![cell]! + parts[2]![cell]!),
    );
  });

  it('clamps values to the agreed bounds instead of letting them wrap', () => {
    for (const laneBytes of [8, 16] as const) {
      const vector = vectorOf(4, { laneBytes, minimum: -10n, maximum: 1000n, addends: 2 });
      const lanes = [
        lanesFrom([-(1n << 62n), 1n << 62n, 1001n, -11n], laneBytes),
        lanesFrom([1000n, -10n, 5n, 0n], laneBytes),
      ];
      expect(sealedSum(world, sealedRun(2), vector, lanes)).toEqual([990n, 990n, 1005n, -10n]);
    }
  });
});

describe('headroom', () => {
  it('takes one residue more exactly where the sums stop fitting', () => {
    for (const [index, bytes] of [8, 16, 16, 16].entries()) {
      const product = PLAIN_MODULI.slice(0, index + 1).reduce((all, t) => all * t, 1n);
      const limit = (product - 1n) / 2n / 2n;
      const shape = { laneBytes: bytes as 8 | 16, addends: 2, minimum: 0n };
      if (limit * 2n >= 1n << 127n) continue;
      expect(residueCount(vectorOf(1, { ...shape, maximum: limit }))).toBe(index + 1);
      expect(residueCount(vectorOf(1, { ...shape, maximum: limit + 1n }))).toBe(index + 2);
    }
  });

  it('refuses sums that would not fit their lane, before anything is encoded', () => {
    const fits = vectorOf(1, { addends: 2, minimum: 0n, maximum: (1n << 62n) - 1n });
    expect(sumBound(fits)).toBe((1n << 63n) - 2n);
    expect(residueCount(fits)).toBe(2);
    for (const parts of [
      { addends: 2, minimum: 0n, maximum: 1n << 62n },
      { addends: 3, minimum: -(1n << 62n), maximum: 0n },
      { laneBytes: 16 as const, addends: 2, minimum: 0n, maximum: 1n << 126n },
    ])
      expect(() => residueCount(vectorOf(1, parts))).toThrow(
        expect.objectContaining({ code: 'headroom-exceeded' }),
      );
  });

  it('refuses more addends than the noise argument covers', () => {
    const parts = { minimum: 0n, maximum: 1n };
    expect(residueCount(vectorOf(1, { ...parts, addends: ADDENDS_MAX }))).toBe(1);
    expect(() => residueCount(vectorOf(1, { ...parts, addends: ADDENDS_MAX + 1 }))).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
  });

  it('decrypts correctly with as many addends as it allows', () => {
    const parameters = sealedSumParameters(0);
    const slots = new BigUint64Array(DEGREE).fill(PLAIN_MODULI[0] - 1n);
    const sum = new Uint8Array(65_536) as Ciphertext;
    world.encryptors[0]!.encrypt(slots, sum);
    const addend = new Uint8Array(65_536) as Ciphertext;
    for (let count = 1; count < ADDENDS_MAX; count++) {
      world.encryptors[0]!.encrypt(slots, addend);
      addCiphertext(parameters, sum, addend);
    }
    const expected = PLAIN_MODULI[0] - BigInt(ADDENDS_MAX);
    expect(world.decryptors[0]!.decrypt(sum).every((slot) => slot === expected)).toBe(true);
  });
});

describe('what leaves a holder', () => {
  /** Plaintexts as the holder hands them to encryption, of an all-zero input. */
  function plaintexts(parties: number, masked: boolean): BigUint64Array[] {
    const taken: BigUint64Array[] = [];
    const recorder: BgvEncryptor = {
      encrypt: (slots) => void taken.push(slots.slice()),
      [Symbol.dispose]: () => undefined,
    };
    const run = sealedRun(parties);
    const vector = vectorOf(4 * PAYLOAD_SLOTS, { addends: parties });
    const lanes = Array.from({ length: parties }, () => new Uint8Array(vector.cells * 8));
    const silent = run.peers.map((peers) =>
      peers.map((peer, index) => ({
        // The same secret added and subtracted cancels within one holder: nothing is masked.
        sign: index % 2 === 0 ? (1 as const) : (-1 as const),
        secret: new Uint8Array(32),
        ...(masked ? peer : {}),
      })),
    );
    sealAll({ encryptors: [recorder] }, { ...run, peers: silent }, vector, lanes, 0, 0);
    return taken.slice(0, 4);
  }

  /** χ² over 64 equal parts of [0, t): 63 degrees of freedom. */
  function chiSquared(slots: readonly BigUint64Array[]): number {
    const parts = new Float64Array(64);
    let count = 0;
    for (const plaintext of slots)
      for (const slot of plaintext.subarray(0, PAYLOAD_SLOTS)) {
        parts[Number((slot * 64n) / PLAIN_MODULI[0])]! += 1;
        count += 1;
      }
    return parts.reduce((sum, part) => sum + (part - count / 64) ** 2 / (count / 64), 0);
  }

  it('is uniform mod t, whatever the input', () => {
    // χ² beyond 150 has a probability of 10^−9 at 63 degrees of freedom.
    expect(chiSquared(plaintexts(3, true))).toBeLessThan(150);
    // The control: without masks the same measure finds the zeros.
    expect(chiSquared(plaintexts(3, false))).toBeGreaterThan(100_000);
  });

  it('takes no candidate that is not below t, and draws again for its slot', () => {
    const t = Number(PLAIN_MODULI[0]);
    const answers = [t + 5, 7].map((value) =>
      wordsBytes(4, [
        [0, value % 2 ** 32],
        [1, value],
      ]),
    );
    const first = wordsBytes(DEGREE + DEGREE / 8, []);
    const view = new DataView(first.buffer);
    // Slot 0 draws t, slot 1 draws t − 1: the lower parts, and both upper nibbles of 15.
    view.setUint32(0, t % 2 ** 32, true);
    view.setUint32(4, (t - 1) % 2 ** 32, true);
    view.setUint32(DEGREE * 4, 0xff, true);
    const stream = { next: (length: number) => (length > 16 ? first : answers.shift()!) };
    const slots = new Float64Array(DEGREE);
    addMask(stream, t, 1, slots);
    expect([...slots.subarray(0, 3)]).toEqual([7, t - 1, 0]);
    expect(answers).toEqual([]);
  });

  /** Words of a stream; a second one holds the bits above 32 of the value it is given. */
  function wordsBytes(count: number, words: readonly (readonly [number, number])[]): Uint8Array {
    const out = new Uint8Array(count * 4);
    const view = new DataView(out.buffer);
    for (const [at, value] of words)
      view.setUint32(at * 4, at === 1 ? Math.floor(value / 2 ** 32) : value, true);
    return out;
  }

  it('never repeats, within a run or across runs', () => {
    const all = [...plaintexts(3, true), ...plaintexts(3, true)].map((slots) => slots.join());
    expect(new Set(all).size).toBe(all.length);
    const slots = plaintexts(3, true).flatMap((plaintext) => [...plaintext]);
    expect(slots.length - new Set(slots).size).toBeLessThan(8);
  });

  it('is a fresh encryption each time', () => {
    const slots = new BigUint64Array(DEGREE);
    const [left, right] = [new Uint8Array(65_536), new Uint8Array(65_536)];
    world.encryptors[0]!.encrypt(slots, left);
    world.encryptors[0]!.encrypt(slots, right);
    expect(left).not.toEqual(right);
  });
});

describe('a gateway that attacks', () => {
  const vector = vectorOf(PAYLOAD_SLOTS + 10);
  const failed = expect.objectContaining({ code: 'decryption-failed' });
  const values = Array.from({ length: vector.cells }, (_, cell) => BigInt(cell) - 77n);
  const lanes = [values, values, values].map((part) => lanesFrom(part, 8));
  const open = (gateway: typeof addFrames): bigint[] =>
    sealedSum(world, sealedRun(3), vector, lanes, gateway);

  it('gets nowhere by adding to a cell, though it can encrypt under the public key', () => {
    const addend = new Uint8Array(65_536);
    const slots = new BigUint64Array(DEGREE);
    slots[5] = 1n;
    const attack: typeof addFrames = (place, frames) => {
      const sum = addFrames(place, frames);
      world.encryptors[place.residue]!.encrypt(slots, addend);
      const target = ciphertextSlot(sum, 0) as Ciphertext;
      addCiphertext(sealedSumParameters(place.residue), target, addend as Ciphertext);
      return sum;
    };
    expect(() => open(attack)).toThrow(failed);
    // The control: an encryption of zero changes every byte and no sum, and passes.
    slots[5] = 0n;
    expect(open(attack)).toEqual(values.map((value) => 3n * value));
  });

  it('cannot scale the sum, nor put an encryption of zero in its place', () => {
    const twice: typeof addFrames = (place, frames) => {
      const sum = addFrames(place, frames);
      return addFrames(place, [sum, sum]);
    };
    const zero: typeof addFrames = (place, frames) => {
      const sum = addFrames(place, frames);
      for (const index of [0, 1])
        world.encryptors[place.residue]!.encrypt(
          new BigUint64Array(DEGREE),
          ciphertextSlot(sum, index),
        );
      return sum;
    };
    for (const attack of [twice, zero]) expect(() => open(attack)).toThrow(failed);
  });

  it('cannot drop, repeat or replace a holder', () => {
    const drop: typeof addFrames = (place, frames) =>
      addFrames({ ...place, vector: { ...place.vector, addends: 2 } }, frames.slice(1));
    const repeat: typeof addFrames = (place, frames) =>
      addFrames(place, [frames[0]!, frames[1]!, frames[1]!]);
    const foreign = sealedRun(3);
    const replay: typeof addFrames = (place, frames) => {
      const { residue, frame } = place;
      const other = sealAll(world, foreign, vector, lanes, residue, frame);
      return addFrames(place, [frames[0]!, frames[1]!, other[2]!]);
    };
    for (const attack of [drop, repeat, replay]) expect(() => open(attack)).toThrow(failed);
  });

  it('cannot swap ciphertexts, or hand over those of another run', () => {
    const swap: typeof addFrames = (place, frames) => {
      const sum = addFrames(place, frames);
      const first = ciphertextSlot(sum, 0).slice();
      ciphertextSlot(sum, 0).set(ciphertextSlot(sum, 1));
      ciphertextSlot(sum, 1).set(first);
      return sum;
    };
    const foreign = sealedRun(3);
    const another: typeof addFrames = (place) =>
      addFrames(place, sealAll(world, foreign, vector, lanes, place.residue, place.frame));
    for (const attack of [swap, another]) expect(() => open(attack)).toThrow(failed);
    expect(open(addFrames)[0]).toBe(-231n);
  });

  it('cannot turn a single residue', () => {
    const turn: typeof addFrames = (place, frames) => {
      const sum = addFrames(place, frames);
      ciphertextSlot(sum, 0)[0]! ^= 1;
      return sum;
    };
    expect(() => open(turn)).toThrow(failed);
  });

  it('cannot open a sum with another key: garbage is caught, though the library reports nothing', async () => {
    const other = generateSealingKeys(await loadSeal());
    const opening = await loadSeal();
    const decryptors = other.publicKeys.map((_, residue) =>
      opening.decryptor(sealedSumParameters(residue), other.secretKey),
    );
    const run = sealedRun(3);
    expect(() => sealedSum({ ...world, decryptors }, run, vector, lanes)).toThrow(failed);
    // The control: the library itself answers a wrong key with garbage and no error.
    const ciphertext = new Uint8Array(65_536) as Ciphertext;
    world.encryptors[0]!.encrypt(new BigUint64Array(DEGREE), ciphertext);
    expect(decryptors[0]!.decrypt(ciphertext).some((slot) => slot !== 0n)).toBe(true);
    expect(world.decryptors[0]!.decrypt(ciphertext).every((slot) => slot === 0n)).toBe(true);
  });

  it('cannot open without the tag key of the run either', () => {
    const run = sealedRun(3);
    const opened = (): bigint[] =>
      sealedSum(world, run, vector, lanes, (place, frames) => {
        Object.assign(run, { tagKey: new Uint8Array(randomBytes(32)) });
        return addFrames(place, frames);
      });
    expect(opened).toThrow(failed);
  });
});
