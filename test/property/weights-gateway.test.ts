import { beforeAll, describe, expect, it } from 'vitest';
import type { Ciphertext } from '../../protocols/common/bgv.ts';
import { addCiphertext, ciphertextSizeBytes } from '../../protocols/common/bgv-ciphertext.ts';
import { addWeighted } from '../../protocols/homomorphic/weights.ts';
import {
  WEIGHTS_DEGREE,
  WEIGHTS_PART_SLOTS,
  weightsParameters,
} from '../../protocols/homomorphic/weights-params.ts';
import {
  weightedSums,
  weightsShape,
  weightsWorld,
  type WeightsGateway,
  type WeightsWorld,
} from '../support/secret-weights.ts';
import { sealedRun } from '../support/sealed-sum.ts';

const failed = expect.objectContaining({ code: 'decryption-failed' });
let world: WeightsWorld;
beforeAll(async () => {
  world = await weightsWorld();
});

describe('a gateway that changes a weighted sum', () => {
  const shape = weightsShape({ outputs: 2, perOutput: 4 });
  const weights = Array.from({ length: 8 }, (_, at) => BigInt(at) - 3n);
  const cells = weights.map((_, at) => BigInt(at * at));
  const expected = [0, 4].map((from) =>
    [0, 1, 2, 3].reduce((sum, at) => sum + 3n * weights[from + at]! * cells[from + at]!, 0n),
  );
  const opened = (gateway: WeightsGateway): readonly bigint[] =>
    weightedSums(world, sealedRun(3), shape, weights, [cells, cells, cells], gateway);

  const encrypted = (residue: number, slots: BigUint64Array<ArrayBuffer>): Ciphertext => {
    const out = new Uint8Array(ciphertextSizeBytes(weightsParameters(residue))) as Ciphertext;
    world.encryptors[residue]!.encrypt(slots, out);
    return out;
  };
  const adding =
    (amounts: readonly bigint[]): WeightsGateway =>
    (place, all) => {
      const slots = new BigUint64Array(WEIGHTS_DEGREE);
      for (const [part, amount] of amounts.entries()) slots[part * WEIGHTS_PART_SLOTS] = amount;
      const sum = addWeighted(place, all) as Uint8Array as Ciphertext;
      addCiphertext(weightsParameters(place.residue), sum, encrypted(place.residue, slots));
      return sum as Uint8Array<ArrayBuffer>;
    };

  it('is caught when it adds to an output, with tags or without', () => {
    expect(() => opened(adding([1n]))).toThrow(failed);
    expect(() => opened(adding([1n, 1n, 1n]))).toThrow(failed);
    expect(() => opened(adding([0n, 1n]))).toThrow(failed);
    // The control: an encryption of zero changes every byte and no sum, and passes.
    expect(opened(adding([]))).toEqual(expected);
  });

  it('is caught when it scales the sum, or puts zero or a made-up result in its place', () => {
    const twice: WeightsGateway = (place, all) => {
      const sum = addWeighted(place, all) as Uint8Array as Ciphertext;
      addCiphertext(weightsParameters(place.residue), sum, sum.slice() as Uint8Array as Ciphertext);
      return sum as Uint8Array<ArrayBuffer>;
    };
    const replaced = (amount: bigint): WeightsGateway => {
      const slots = new BigUint64Array(WEIGHTS_DEGREE).fill(amount);
      return ({ residue }) => new Uint8Array(encrypted(residue, slots));
    };
    for (const gateway of [twice, replaced(0n), replaced(1n)])
      expect(() => opened(gateway)).toThrow(failed);
  });

  it('cannot add more than there are holders, or what is no ciphertext', () => {
    const place = { shape, residue: 0, index: 0 };
    const one = encrypted(0, new BigUint64Array(WEIGHTS_DEGREE));
    expect(() => addWeighted(place, [])).toThrow();
    expect(() => addWeighted(place, [one, one, one, one])).toThrow();
    expect(() => addWeighted(place, [one, one.subarray(8)])).toThrow(
      expect.objectContaining({ code: 'ciphertext-invalid' }),
    );
    expect(addWeighted(place, [one, one]).length).toBe(one.length);
  });
});
