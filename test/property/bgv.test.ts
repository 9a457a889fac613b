import { randomBytes } from 'node:crypto';
import type { Plaintext, SEALContext, VectorModulus } from 'node-seal';
import { describe, expect, it } from 'vitest';
import type { BgvParameters, Ciphertext } from '../../protocols/common/bgv.ts';
import {
  addCiphertext,
  checkCiphertext,
  ciphertextSizeBytes,
  parametersId,
} from '../../protocols/common/bgv-ciphertext.ts';
import { verifySecurity } from '../../protocols/common/bgv-security.ts';
import { addFrames } from '../../protocols/homomorphic/aggregator.ts';
import { FRAME_HEADER_BYTES, parseFrame } from '../../protocols/homomorphic/messages.ts';
import { openFrame } from '../../protocols/homomorphic/opener.ts';
import {
  ADDENDS_MAX,
  DATA_MODULUS,
  DEGREE,
  PLAIN_MODULI,
  sealedSumParameters,
} from '../../protocols/homomorphic/params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { ciphertextPrefix, secretKeyPrefix } from '../../workers/seal-format.ts';
import { bareContext, bareSeal as seal } from '../support/bare-seal.ts';
import { lanesFrom, sealAll, sealedRun, sealedWorld } from '../support/sealed-sum.ts';

const parameters = sealedSumParameters(0);
const invalid = expect.objectContaining({ code: 'ciphertext-invalid' });
/** Four primes, so that keys and ciphertexts are of different levels. */
const severalPrimes: BgvParameters = {
  degree: 8192,
  moduli: primesOf(seal.CoeffModulus.Create(8192, Int32Array.of(58, 58, 59, 43))),
  plainModulus: seal.PlainModulus.Batching(8192, 36).value(),
  securityBits: 128,
};

function primesOf(moduli: VectorModulus): bigint[] {
  return Array.from({ length: moduli.size() }, (_, index) => moduli.get(index)!.value());
}

describe('BGV parameters', () => {
  it('are the ones the library itself would choose and identify', () => {
    const generated = seal.CoeffModulus.Create(DEGREE, Int32Array.of(60));
    expect(generated.get(0)!.value()).toBe(DATA_MODULUS);
    const batching = seal.PlainModulus.BatchingVector(DEGREE, Int32Array.of(36, 36, 36, 36));
    const primes = [0, 1, 2, 3].map((index) => batching.get(index)!.value());
    expect(primes.toReversed()).toEqual([...PLAIN_MODULI]);
    for (const index of [0, 1, 2, 3]) {
      const of = sealedSumParameters(index);
      const words: BigUint64Array = bareContext(of).firstParmsId().values();
      expect(parametersId(of, 'data')).toEqual(new Uint8Array(words.buffer, words.byteOffset, 32));
    }
  });

  it('have at least the security they state, by the public standard', () => {
    verifySecurity(parameters);
    const weak = { ...parameters, moduli: [DATA_MODULUS, 0xfff_ffff_c001n] };
    expect(() => verifySecurity({ ...weak, securityBits: 192 })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    verifySecurity({ ...weak, securityBits: 128 });
  });

  it('give the headers that the library writes, for one prime and for several', () => {
    for (const of of [parameters, severalPrimes]) {
      const context = bareContext(of);
      expect(context.parametersSet()).toBe(true);
      const generator = new seal.KeyGenerator(context);
      const none = seal.ComprModeType.none;
      const secret: Uint8Array = generator.secretKey().saveToArray(none);
      const secretPrefix = secretKeyPrefix(of);
      expect(secret.subarray(0, secretPrefix.length)).toEqual(secretPrefix);
      const key = generator.createPublicKey();
      const saved: Uint8Array = key.saveToArray(none);
      const keyPrefix = ciphertextPrefix(of, 'key');
      expect(saved.subarray(0, keyPrefix.length)).toEqual(keyPrefix);
      const ciphertext = new seal.Ciphertext();
      new seal.Encryptor(context, key).encryptZero(ciphertext);
      const bytes: Uint8Array = ciphertext.saveToArray(none);
      const prefix = ciphertextPrefix(of, 'data');
      expect(bytes.subarray(0, prefix.length)).toEqual(prefix);
      expect(bytes.length - prefix.length).toBe(ciphertextSizeBytes(of));
      checkCiphertext(of, bytes.subarray(prefix.length));
    }
  });
});

describe('blind addition', () => {
  it('equals the library, byte for byte, and stays in range', () => {
    const context = bareContext(parameters);
    const generator = new seal.KeyGenerator(context);
    const encryptor = new seal.Encryptor(context, generator.createPublicKey());
    const none = seal.ComprModeType.none;
    const [left, right] = [new seal.Ciphertext(), new seal.Ciphertext()];
    encryptor.encryptZero(left);
    encryptor.encryptZero(right);
    const prefixBytes = ciphertextPrefix(parameters, 'data').length;
    const bytesOf = (ciphertext: typeof left): Uint8Array =>
      new Uint8Array(ciphertext.saveToArray(none).subarray(prefixBytes));
    const sum = checkCiphertext(parameters, bytesOf(left));
    addCiphertext(parameters, sum, checkCiphertext(parameters, bytesOf(right)));
    new seal.Evaluator(context).addInplace(left, right);
    expect(sum).toEqual(bytesOf(left));
    checkCiphertext(parameters, sum);
  });

  it('equals big integers at the edges of the words and of the prime', () => {
    const edges = [0n, 1n, 0xffff_ffffn, 1n << 32n, DATA_MODULUS >> 1n, DATA_MODULUS - 1n];
    const random = (): bigint => new BigUint64Array(randomBytes(8).buffer.slice(0, 8))[0]!;
    const left = new BigUint64Array(DEGREE * 2);
    const right = new BigUint64Array(DEGREE * 2);
    for (let index = 0; index < left.length; index++) {
      left[index] = (edges[index % 7] ?? random()) % DATA_MODULUS;
      right[index] = (edges[(index >> 3) % 7] ?? random()) % DATA_MODULUS;
    }
    const expected = left.map((value, index) => (value + right[index]!) % DATA_MODULUS);
    const sum = checkCiphertext(parameters, new Uint8Array(left.buffer));
    addCiphertext(parameters, sum, checkCiphertext(parameters, new Uint8Array(right.buffer)));
    expect(new BigUint64Array(sum.buffer)).toEqual(expected);
  });
});

describe('a peer’s ciphertexts', () => {
  const vector = {
    vector: 0,
    cells: 8,
    laneBytes: 8 as const,
    minimum: 0n,
    maximum: 9n,
    addends: 2,
  };
  const place = { vector, residue: 0, frame: 0 };

  /** Frames with the same header around other bytes: as the library would serialise them. */
  async function hostileFrames(good: Uint8Array): Promise<Record<string, Uint8Array>> {
    const header = good.subarray(0, FRAME_HEADER_BYTES);
    const body = good.subarray(FRAME_HEADER_BYTES);
    const around = (bytes: Uint8Array): Uint8Array => Buffer.concat([header, bytes]);
    const changed = (at: number, value: number): Uint8Array => {
      const copy = good.slice();
      copy[at] = value;
      return copy;
    };
    const context = bareContext(parameters);
    const generator = new seal.KeyGenerator(context);
    const publicKey = generator.createPublicKey();
    const encryptor = new seal.Encryptor(context, publicKey, generator.secretKey());
    const ciphertext = new seal.Ciphertext();
    encryptor.encryptZero(ciphertext);
    const { none, zlib, zstd } = seal.ComprModeType;
    const outOfRange = good.slice();
    new DataView(outOfRange.buffer).setBigUint64(FRAME_HEADER_BYTES + 8, DATA_MODULUS, true);
    const ones = good.slice();
    ones.fill(0xff, FRAME_HEADER_BYTES + 40_000, FRAME_HEADER_BYTES + 40_008);
    return {
      empty: new Uint8Array(0),
      'header only': header,
      'one byte short': good.subarray(0, -1),
      'one residue short': good.subarray(0, -8),
      'one byte long': around(Buffer.concat([body, Uint8Array.of(0)])),
      'two ciphertexts': around(Buffer.concat([body, body])),
      'three polynomials': around(Buffer.concat([body, body.subarray(0, body.length / 2)])),
      uncompressed: around(ciphertext.saveToArray(none)),
      zlib: around(ciphertext.saveToArray(zlib)),
      zstd: around(ciphertext.saveToArray(zstd)),
      seeded: around(encryptor.encryptZeroSerializable().saveToArray(none)),
      'seeded symmetric': around(
        encryptor.encryptSymmetricSerializable(encodedZero(context)).saveToArray(none),
      ),
      'other magic': changed(0, 0),
      'other vector': changed(8, 1),
      'other residue': changed(10, 1),
      'other frame': changed(12, 1),
      'other count': changed(16, 2),
      'other cells': changed(20, 9),
      'reserved bytes': changed(25, 1),
      'foreign parameters': changed(40, (good[40] ?? 0) ^ 1),
      'residue equal to the prime': outOfRange,
      'residue of all ones': ones,
    };
  }

  function encodedZero(context: SEALContext): Plaintext {
    const plaintext = new seal.Plaintext();
    new seal.BatchEncoder(context).encode(new BigUint64Array(DEGREE), plaintext);
    return plaintext;
  }

  it('are refused before load when truncated, oversized, foreign, compressed, seeded or out of range', async () => {
    const world = await sealedWorld();
    const run = sealedRun(2);
    const lanes = [lanesFrom([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n], 8), lanesFrom(Array(8).fill(1n), 8)];
    const frames = sealAll(world, run, vector, lanes, 0, 0);
    let loads = 0;
    const watched = [
      {
        decrypt: (ciphertext: Ciphertext) => {
          loads += 1;
          return world.decryptors[0]!.decrypt(ciphertext);
        },
        [Symbol.dispose]: () => undefined,
      },
    ];
    const open = (sum: Uint8Array): Uint8Array =>
      openFrame(nativePrimitives, watched, { vector, frame: 0, sums: [sum], ...run });
    for (const [name, bytes] of Object.entries(await hostileFrames(frames[0]!))) {
      expect(() => parseFrame(place, bytes), name).toThrow(invalid);
      expect(() => addFrames(place, [frames[1]!, bytes]), name).toThrow(invalid);
      expect(() => addFrames(place, [bytes, frames[1]!]), name).toThrow(invalid);
      expect(() => open(bytes), name).toThrow(invalid);
    }
    expect(loads).toBe(0);
    // The control: the untouched frames pass the same way, and are loaded.
    const sums = open(addFrames(place, frames));
    expect(sums).toEqual(lanesFrom([2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n], 8));
    expect(loads).toBe(1);
  });

  it('are not added when there are none, or more than there can be addends', async () => {
    const lanes = [0n, 1n].map((value) => lanesFrom(Array(8).fill(value), 8));
    const [frame] = sealAll(await sealedWorld(), sealedRun(2), vector, lanes, 0, 0);
    const refused = expect.objectContaining({ code: 'parameter-invalid' });
    expect(() => addFrames(place, [])).toThrow(refused);
    const many = Array.from({ length: ADDENDS_MAX + 1 }, () => frame!);
    expect(() => addFrames(place, many)).toThrow(refused);
    addFrames(place, many.slice(1));
  });
});
