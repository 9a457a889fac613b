import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type {
  BgvDecryptor,
  BgvEncryptor,
  BgvEvaluator,
  BgvSecretKey,
  Ciphertext,
} from '../../protocols/common/bgv.ts';
import { ciphertextSizeBytes } from '../../protocols/common/bgv-ciphertext.ts';
import { concatBytes } from '../../protocols/common/bytes.ts';
import { addWeighted, encryptWeights } from '../../protocols/homomorphic/weights.ts';
import { weighCells } from '../../protocols/homomorphic/weighted-party.ts';
import {
  WEIGHTS_DEGREE,
  WEIGHTS_PART_SLOTS,
  WEIGHTS_PARTS,
  WEIGHTS_PLAIN_MODULI,
  weightsCiphertextCount,
  weightsParameters,
  weightsResidueCount,
} from '../../protocols/homomorphic/weights-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { ciphertextPrefix, secretKeyPrefix } from '../../workers/seal-format.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import { bareContext, bareSeal as seal } from '../support/bare-seal.ts';
import {
  weigh,
  weightedSums,
  weightsShape,
  weightsWorld,
  type WeightsGateway,
  type WeightsWorld,
} from '../support/secret-weights.ts';
import { sealedRun } from '../support/sealed-sum.ts';

const failed = expect.objectContaining({ code: 'decryption-failed' });
let world: WeightsWorld;
let secretKey: BgvSecretKey;
let encryptors: readonly BgvEncryptor[];
let evaluators: readonly BgvEvaluator[];
let decryptors: readonly BgvDecryptor[];

beforeAll(async () => {
  world = await weightsWorld();
  ({ secretKey, encryptors, evaluators, decryptors } = world);
});

describe('secret weights', () => {
  it('open to exactly Σ weight · cell over cells and holders, signed', () => {
    const cases = fc
      .record({
        outputs: fc.integer({ min: 1, max: 6 }),
        perOutput: fc.integer({ min: 1, max: 7 }),
        weightMax: fc.bigInt({ min: 1n, max: 1n << 14n }),
        cellMax: fc.bigInt({ min: 1n, max: 1n << 40n }),
        holders: fc.constantFrom(2, 3),
      })
      .chain((shape) => {
        const count = shape.outputs * shape.perOutput;
        const within = (bound: bigint): fc.Arbitrary<bigint[]> =>
          fc.array(
            fc.oneof(fc.bigInt({ min: -bound, max: bound }), fc.constantFrom(-bound, bound, 0n)),
            { minLength: count, maxLength: count },
          );
        return fc.record({
          shape: fc.constant(shape),
          weights: within(shape.weightMax),
          parts: fc.array(within(shape.cellMax), {
            minLength: shape.holders,
            maxLength: shape.holders,
          }),
        });
      });
    fc.assert(
      fc.property(cases, ({ shape, weights, parts }) => {
        const expected = Array.from({ length: shape.outputs }, (_, output) => {
          let sum = 0n;
          for (let at = output * shape.perOutput; at < (output + 1) * shape.perOutput; at++)
            for (const cells of parts) sum += weights[at]! * cells[at]!;
          return sum;
        });
        const opened = weightedSums(world, sealedRun(shape.holders), shape, weights, parts);
        expect(opened).toEqual(expected);
      }),
      { numRuns: 8 },
    );
  });

  it('lie over as many ciphertexts as they need, outputs across their borders', () => {
    const perOutput = WEIGHTS_PART_SLOTS + 500;
    const shape = weightsShape({ outputs: 2, perOutput, cellMax: 100n, holders: 2 });
    expect(weightsCiphertextCount(shape)).toBe(3);
    const valueOf = (at: number): bigint => BigInt((at * 7919) % 201) - 100n;
    const weights = Array.from({ length: 2 * perOutput }, (_, at) => valueOf(at + 1) * 10n);
    const parts = [3, 5].map((step) => weights.map((_, at) => valueOf(at * step)));
    const expected = [0, 1].map((output) => {
      let sum = 0n;
      for (let at = output * perOutput; at < (output + 1) * perOutput; at++)
        for (const cells of parts) sum += weights[at]! * cells[at]!;
      return sum;
    });
    expect(weightedSums(world, sealedRun(2), shape, weights, parts)).toEqual(expected);
    const most = { ...shape, outputs: 1, perOutput: 8 * WEIGHTS_PART_SLOTS };
    expect(weightsCiphertextCount(most)).toBe(8);
    expect(() => weightsResidueCount({ ...most, perOutput: most.perOutput + 1 })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
  });

  it('out of range are refused in the SDK', () => {
    const shape = weightsShape();
    const weights = Array<bigint>(15).fill(1000n);
    const place = { shape, residue: 0, index: 0 };
    encryptWeights(encryptors[0]!, place, weights);
    for (const wrong of [1001n, -1001n])
      expect(() => encryptWeights(encryptors[0]!, place, [...weights.slice(1), wrong])).toThrow(
        expect.objectContaining({ code: 'value-out-of-range' }),
      );
  });

  it('meet cells clamped to their bound', () => {
    const shape = weightsShape({ outputs: 1, perOutput: 2 });
    const cells = [1n << 60n, -(1n << 60n)];
    const opened = weightedSums(world, sealedRun(3), shape, [3n, 1n], [cells, cells, [0n, 0n]]);
    expect(opened).toEqual([2n * (3n * 10_000n - 10_000n)]);
  });

  it('never wrap: shapes whose sums do not fit are refused before anything is encoded', () => {
    const product = WEIGHTS_PLAIN_MODULI.reduce((all, prime) => all * prime, 1n);
    const limit = (product - 1n) / 2n / 2n;
    const shape = weightsShape({ outputs: 1, perOutput: 1, weightMax: 1n, holders: 2 });
    expect(weightsResidueCount({ ...shape, cellMax: limit })).toBe(4);
    expect(() => weightsResidueCount({ ...shape, cellMax: limit + 1n })).toThrow(
      expect.objectContaining({ code: 'headroom-exceeded' }),
    );
  });
});

describe('what a holder sends back', () => {
  const shape = weightsShape({ outputs: 1, perOutput: WEIGHTS_PART_SLOTS });
  const place = { shape, residue: 0, index: 0 };
  const weights = Array<bigint>(WEIGHTS_PART_SLOTS).fill(7n);
  const cells = Array<bigint>(WEIGHTS_PART_SLOTS).fill(11n);
  const used = WEIGHTS_PARTS * WEIGHTS_PART_SLOTS;

  /** χ² over 64 equal parts of [0, t): 63 degrees of freedom. */
  function chiSquared(slots: BigUint64Array): number {
    const parts = new Float64Array(64);
    for (const slot of slots.subarray(0, used))
      parts[Number((slot * 64n) / WEIGHTS_PLAIN_MODULI[0])]! += 1;
    const mean = used / 64;
    return parts.reduce((sum, part) => sum + (part - mean) ** 2 / mean, 0);
  }

  it('shows uniform numbers, alone and added up: no product and no cell', () => {
    const run = sealedRun(3);
    const sealed = encryptWeights(encryptors[0]!, place, weights);
    const parts = [0, 1, 2].map((holder) => weigh(world, run, place, holder, sealed, cells));
    for (const seen of [...parts, addWeighted(place, parts)])
      expect(chiSquared(decryptors[0]!.decrypt(seen as Ciphertext))).toBeLessThan(150);
    // The control: the bare product shows every single one.
    const product = new Uint8Array(sealed.length);
    const slots = new BigUint64Array(WEIGHTS_DEGREE).fill(11n);
    evaluators[0]!.multiplyPlain(sealed as Ciphertext, slots, product);
    const shown = decryptors[0]!.decrypt(product as Ciphertext);
    expect(shown.subarray(0, used).every((slot) => slot === 77n)).toBe(true);
  });

  it('depends on totals alone, whatever the recipient made of its ciphertext', () => {
    const run = sealedRun(3);
    const sealed = encryptWeights(encryptors[0]!, place, weights);
    // All that the answer can depend on besides this holder's own randomness: what it multiplies.
    const multiplied = [0, 1, 2].map((holder) => {
      let seen = new BigUint64Array(0);
      const recorder: BgvEvaluator = {
        ...evaluators[0]!,
        multiplyPlain: (_, slots) => {
          seen = slots.slice();
        },
      };
      weigh(world, run, place, holder, sealed, cells, recorder);
      return seen;
    });
    for (const seen of multiplied) expect(chiSquared(seen)).toBeLessThan(150);
    const total = (slot: number): bigint =>
      multiplied.reduce((sum, seen) => sum + seen[slot]!, 0n) % WEIGHTS_PLAIN_MODULI[0];
    for (const slot of [0, 1, WEIGHTS_PART_SLOTS - 1]) expect(total(slot)).toBe(33n);
    // And of no two holders anything: their two shares are as uniform as one.
    const pair = multiplied[0]!.map((share, slot) => {
      return (share + multiplied[1]![slot]!) % WEIGHTS_PLAIN_MODULI[0];
    });
    expect(chiSquared(pair)).toBeLessThan(150);
  });

  it('is flooded: noise 2^77 and more above what the product leaves', () => {
    const run = sealedRun(3);
    const parameters = weightsParameters(0);
    const sealed = encryptWeights(encryptors[0]!, place, weights);
    const wide = new BigUint64Array(WEIGHTS_DEGREE);
    for (let slot = 0; slot < WEIGHTS_DEGREE; slot++)
      wide[slot] = BigInt(randomBytes(4).readUInt32LE()) << 3n;
    const product = new Uint8Array(sealed.length);
    evaluators[0]!.multiplyPlain(sealed as Ciphertext, wide, product);
    const flooded = weigh(world, run, place, 1, sealed, cells);
    const budget = budgetMeter();
    // log2 q ≈ 200; a flooded ciphertext still decrypts, with room for every holder's flooding.
    expect(budget(flooded)).toBeGreaterThan(12);
    expect(budget(flooded)).toBeLessThan(24);
    expect(budget(product) - budget(flooded)).toBeGreaterThan(77);
    expect(ciphertextSizeBytes(parameters)).toBe(flooded.length);
  });

  /** The library's own measure, which product code never shows to anyone. */
  function budgetMeter(): (ciphertext: Uint8Array) => number {
    const parameters = weightsParameters(0);
    const context = bareContext(parameters);
    const key = new seal.SecretKey();
    key.loadFromArray(context, concatBytes([secretKeyPrefix(parameters), secretKey]));
    const decryptor = new seal.Decryptor(context, key);
    const loaded = new seal.Ciphertext();
    return (ciphertext) => {
      const prefix = ciphertextPrefix(parameters, 'data');
      loaded.loadFromArray(context, concatBytes([prefix, ciphertext]));
      return decryptor.invariantNoiseBudget(loaded);
    };
  }

  it('is fresh each time, of zeros too', () => {
    const run = sealedRun(3);
    const sealed = encryptWeights(encryptors[0]!, place, weights);
    const zeros = Array<bigint>(WEIGHTS_PART_SLOTS).fill(0n);
    const [left, right] = [0, 1].map(() => weigh(world, run, place, 1, sealed, zeros));
    expect(left).not.toEqual(right);
    expect(chiSquared(decryptors[0]!.decrypt(left as Ciphertext))).toBeLessThan(150);
  });
});

describe('bad input to secret weights', () => {
  const shape = weightsShape();
  const weights = Array<bigint>(15).fill(2n);
  const parts = [0, 1, 2].map((holder) => Array<bigint>(15).fill(BigInt(holder)));

  it('is refused before load: truncated, oversized, unencrypted or out of range', () => {
    const run = sealedRun(3);
    const sealed = encryptWeights(encryptors[0]!, { shape, residue: 0, index: 0 }, weights);
    let multiplied = 0;
    const watched: BgvEvaluator = {
      ...evaluators[0]!,
      multiplyPlain: () => {
        multiplied += 1;
      },
    };
    const open = sealed.slice();
    open.fill(0, open.length / 2);
    const high = sealed.slice();
    high.fill(0xff, 8, 16);
    const attempt = (bytes: Uint8Array): Uint8Array =>
      weighCells(nativePrimitives, watched, encryptors[0]!, {
        place: { shape, residue: 0, index: 0 },
        weights: bytes,
        cells: parts[0]!,
        peers: run.peers[0]!,
        tagKey: run.tagKey,
        ownSecret: new Uint8Array(32),
        isFirst: true,
        descriptorHash: run.descriptorHash,
      });
    for (const bytes of [sealed.subarray(0, -8), Buffer.concat([sealed, sealed]), open, high])
      expect(() => attempt(bytes)).toThrow(expect.objectContaining({ code: 'ciphertext-invalid' }));
    expect(multiplied).toBe(0);
    // The control: the untouched weights are multiplied.
    attempt(sealed);
    expect(multiplied).toBe(1);
  });

  it('ends in a typed failure: a wrong key, a holder dropped or repeated, another run', async () => {
    const run = sealedRun(3);
    const opening = await loadSeal();
    const other = (await loadSeal()).generateSecretKey(weightsParameters(0));
    const wrong = [opening.decryptor(weightsParameters(0), other)];
    expect(() => weightedSums(world, run, shape, weights, parts, undefined, wrong)).toThrow(failed);
    const changes: readonly ((all: readonly Uint8Array[]) => readonly Uint8Array[])[] = [
      (all) => all.slice(1),
      (all) => all.slice(0, 2),
      (all) => [all[0]!, all[1]!, all[1]!],
    ];
    for (const change of changes) {
      const gateway: WeightsGateway = (place, all) => addWeighted(place, change(all));
      expect(() => weightedSums(world, run, shape, weights, parts, gateway)).toThrow(failed);
    }
    const foreign = sealedRun(3);
    const replay: WeightsGateway = (place) => {
      const sealed = encryptWeights(encryptors[place.residue]!, place, weights);
      return addWeighted(
        place,
        parts.map((cells, holder) => weigh(world, foreign, place, holder, sealed, cells)),
      );
    };
    expect(() => weightedSums(world, run, shape, weights, parts, replay)).toThrow(failed);
    expect(weightedSums(world, run, shape, weights, parts)).toEqual([30n, 30n, 30n]);
  });
});
