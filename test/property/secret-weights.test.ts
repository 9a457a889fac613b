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
import { addCiphertext, ciphertextSizeBytes } from '../../protocols/common/bgv-ciphertext.ts';
import { concatBytes } from '../../protocols/common/bytes.ts';
import { encryptWeights, openWeighted } from '../../protocols/homomorphic/weights.ts';
import { weighCells } from '../../protocols/homomorphic/weighted-party.ts';
import {
  outputsPerCiphertext,
  WEIGHTS_DEGREE,
  WEIGHTS_PAYLOAD_SLOTS,
  WEIGHTS_PLAIN_MODULI,
  weightsCiphertextCount,
  weightsParameters,
  weightsResidueCount,
  type WeightsShape,
} from '../../protocols/homomorphic/weights-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { ciphertextPrefix, secretKeyPrefix } from '../../workers/seal-format.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import { bareContext, bareSeal as seal } from '../support/bare-seal.ts';
import { sealedRun, type SealedRun } from '../support/sealed-sum.ts';

const RESIDUES = 2;
const failed = expect.objectContaining({ code: 'decryption-failed' });
let secretKey: BgvSecretKey;
let encryptors: readonly BgvEncryptor[];
let evaluators: readonly BgvEvaluator[];
let decryptors: readonly BgvDecryptor[];

beforeAll(async () => {
  const [making, public_, opening] = [await loadSeal(), await loadSeal(), await loadSeal()];
  secretKey = making.generateSecretKey(weightsParameters(0));
  const residues = Array.from({ length: RESIDUES }, (_, residue) => weightsParameters(residue));
  encryptors = residues.map((each) =>
    public_.encryptor(each, making.generatePublicKey(each, secretKey)),
  );
  evaluators = residues.map((each) => public_.evaluator(each));
  decryptors = residues.map((each) => opening.decryptor(each, secretKey));
});

function shapeOf(parts: Partial<WeightsShape> = {}): WeightsShape {
  return { outputs: 3, perOutput: 5, weightMax: 1000n, cellMax: 10_000n, holders: 3, ...parts };
}

/** One holder's ciphertext for a place. */
function weigh(
  run: SealedRun,
  shape: WeightsShape,
  residue: number,
  holder: number,
  weights: Uint8Array,
  cells: readonly bigint[],
): Uint8Array {
  return weighCells(nativePrimitives, evaluators[residue]!, encryptors[residue]!, {
    place: { shape, residue, index: 0 },
    weights,
    cells,
    peers: run.peers[holder]!,
    tagKey: run.tagKey,
    ownSecret: new Uint8Array(randomBytes(32)),
    isFirst: holder === 0,
    descriptorHash: run.descriptorHash,
  });
}

function added(residue: number, parts: readonly Uint8Array[]): Uint8Array {
  const sum = new Uint8Array(parts[0]!) as Ciphertext;
  for (const part of parts.slice(1))
    addCiphertext(weightsParameters(residue), sum, part as Ciphertext);
  return sum;
}

function weightedSums(
  run: SealedRun,
  shape: WeightsShape,
  weights: readonly bigint[],
  parts: readonly (readonly bigint[])[],
  gateway: (parts: readonly Uint8Array[]) => readonly Uint8Array[] = (all) => all,
  keys: readonly BgvDecryptor[] = decryptors,
): readonly bigint[] {
  const sums = Array.from({ length: weightsResidueCount(shape) }, (_, residue) => {
    const sealed = encryptWeights(encryptors[residue]!, { shape, residue, index: 0 }, weights);
    const made = parts.map((cells, holder) => weigh(run, shape, residue, holder, sealed, cells));
    return added(residue, gateway(made));
  });
  const { tagKey, descriptorHash } = run;
  return openWeighted(nativePrimitives, keys, { shape, index: 0, sums, tagKey, descriptorHash });
}

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
        const opened = weightedSums(sealedRun(shape.holders), shape, weights, parts);
        expect(opened).toEqual(expected);
      }),
      { numRuns: 8 },
    );
  });

  it('hold whole outputs in each ciphertext', () => {
    const shape = shapeOf({ outputs: 5, perOutput: 4000 });
    expect(outputsPerCiphertext(shape)).toBe(2);
    expect(weightsCiphertextCount(shape)).toBe(3);
  });

  it('out of range are refused in the SDK', () => {
    const shape = shapeOf();
    const weights = Array<bigint>(15).fill(1000n);
    const place = { shape, residue: 0, index: 0 };
    encryptWeights(encryptors[0]!, place, weights);
    for (const wrong of [1001n, -1001n])
      expect(() => encryptWeights(encryptors[0]!, place, [...weights.slice(1), wrong])).toThrow(
        expect.objectContaining({ code: 'value-out-of-range' }),
      );
  });

  it('meet cells clamped to their bound', () => {
    const shape = shapeOf({ outputs: 1, perOutput: 2 });
    const cells = [1n << 60n, -(1n << 60n)];
    const opened = weightedSums(sealedRun(3), shape, [3n, 1n], [cells, cells, [0n, 0n]]);
    expect(opened).toEqual([2n * (3n * 10_000n - 10_000n)]);
  });

  it('never wrap: shapes whose sums do not fit are refused before anything is encoded', () => {
    const product = WEIGHTS_PLAIN_MODULI.reduce((all, prime) => all * prime, 1n);
    const limit = (product - 1n) / 2n / 2n;
    const shape = shapeOf({ outputs: 1, perOutput: 1, weightMax: 1n, holders: 2 });
    expect(weightsResidueCount({ ...shape, cellMax: limit })).toBe(4);
    expect(() => weightsResidueCount({ ...shape, cellMax: limit + 1n })).toThrow(
      expect.objectContaining({ code: 'headroom-exceeded' }),
    );
  });
});

describe('what a holder sends back', () => {
  const shape = shapeOf({ outputs: 1, perOutput: WEIGHTS_PAYLOAD_SLOTS });
  const weights = Array<bigint>(WEIGHTS_PAYLOAD_SLOTS).fill(7n);
  const cells = Array<bigint>(WEIGHTS_PAYLOAD_SLOTS).fill(11n);

  /** χ² over 64 equal parts of [0, t): 63 degrees of freedom. */
  function chiSquared(slots: BigUint64Array): number {
    const parts = new Float64Array(64);
    for (const slot of slots.subarray(0, WEIGHTS_PAYLOAD_SLOTS))
      parts[Number((slot * 64n) / WEIGHTS_PLAIN_MODULI[0])]! += 1;
    const mean = WEIGHTS_PAYLOAD_SLOTS / 64;
    return parts.reduce((sum, part) => sum + (part - mean) ** 2 / mean, 0);
  }

  it('shows uniform numbers, alone and added up: no product and no cell', () => {
    const run = sealedRun(3);
    const sealed = encryptWeights(encryptors[0]!, { shape, residue: 0, index: 0 }, weights);
    const parts = [0, 1, 2].map((holder) => weigh(run, shape, 0, holder, sealed, cells));
    for (const seen of [...parts, added(0, parts)])
      expect(chiSquared(decryptors[0]!.decrypt(seen as Ciphertext))).toBeLessThan(150);
    // The control: the bare product shows every single one.
    const product = new Uint8Array(sealed.length);
    const slots = new BigUint64Array(WEIGHTS_DEGREE).fill(11n);
    evaluators[0]!.multiplyPlain(sealed as Ciphertext, slots, product);
    const shown = decryptors[0]!.decrypt(product as Ciphertext);
    expect(shown.subarray(0, WEIGHTS_PAYLOAD_SLOTS).every((slot) => slot === 77n)).toBe(true);
  });

  it('is flooded: noise 2^77 and more above what the product leaves', () => {
    const run = sealedRun(3);
    const parameters = weightsParameters(0);
    const sealed = encryptWeights(encryptors[0]!, { shape, residue: 0, index: 0 }, weights);
    const wide = new BigUint64Array(WEIGHTS_DEGREE);
    for (let slot = 0; slot < WEIGHTS_DEGREE; slot++)
      wide[slot] = BigInt(randomBytes(4).readUInt32LE()) << 3n;
    const product = new Uint8Array(sealed.length);
    evaluators[0]!.multiplyPlain(sealed as Ciphertext, wide, product);
    const flooded = weigh(run, shape, 0, 1, sealed, cells);
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
    const sealed = encryptWeights(encryptors[0]!, { shape, residue: 0, index: 0 }, weights);
    const zeros = Array<bigint>(WEIGHTS_PAYLOAD_SLOTS).fill(0n);
    const [left, right] = [0, 1].map(() => weigh(run, shape, 0, 1, sealed, zeros));
    expect(left).not.toEqual(right);
    expect(chiSquared(decryptors[0]!.decrypt(left as Ciphertext))).toBeLessThan(150);
  });
});

describe('bad input to secret weights', () => {
  const shape = shapeOf();
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
    expect(() => weightedSums(run, shape, weights, parts, undefined, wrong)).toThrow(failed);
    for (const gateway of [
      (all: readonly Uint8Array[]) => all.slice(1),
      (all: readonly Uint8Array[]) => all.slice(0, 2),
      (all: readonly Uint8Array[]) => [all[0]!, all[1]!, all[1]!],
    ])
      expect(() => weightedSums(run, shape, weights, parts, gateway)).toThrow(failed);
    expect(weightedSums(run, shape, weights, parts)).toEqual([30n, 30n, 30n]);
  });
});
