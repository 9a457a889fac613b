import { createCipheriv } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addField,
  multiplyField,
  negateField,
  reduceWord,
} from '../../protocols/common/field61.ts';
import { counterBlock, noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { portableLanes } from '../../protocols/common/portable-lanes.ts';
import type { KeyStream } from '../../protocols/common/primitives.ts';
import { laneBytes, maskBytes, type Ring } from '../../protocols/common/rings.ts';
import { lanesOf, nativeLanes } from '../../workers/native-lanes.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';

const P = (1n << 61n) - 1n;
const RINGS: readonly Ring[] = ['mod64', 'mod128', 'field61'];
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
/** Values that carry and wrap, next to random ones. */
const word64 = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.constantFrom(0n, 1n, P - 1n, P, P + 1n, (1n << 32n) - 1n, 1n << 32n, (1n << 64n) - 1n),
);
const element = word64.map((word) => word % P);

function split(value: bigint): { low: number; high: number } {
  return { low: Number(value & 0xffffffffn), high: Number(value >> 32n) };
}
function join(value: { low: number; high: number }): bigint {
  return (BigInt(value.high) << 32n) | BigInt(value.low);
}
function lanesFrom(words: readonly bigint[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(words).buffer);
}
function fixedStream(words: Uint8Array): KeyStream {
  let at = 0;
  return {
    next(lengthBytes) {
      const out = new Uint8Array(lengthBytes);
      out.set(words.subarray(at, at + lengthBytes));
      at += lengthBytes;
      return out;
    },
  };
}

describe('GF(2^61−1)', () => {
  it('adds, negates, multiplies and reduces like the integers mod p', () => {
    fc.assert(
      fc.property(element, element, word64, word64, (a, b, low, high) => {
        expect(join(addField(split(a), split(b)))).toBe((a + b) % P);
        expect(join(negateField(split(a)))).toBe((P - a) % P);
        expect(join(multiplyField(split(a), split(b)))).toBe((a * b) % P);
        const [l, h] = [split(low), split(high)];
        expect(join(reduceWord(l.low, l.high, h.low, h.high))).toBe((low + (high << 64n)) % P);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('lane kernels', () => {
  it('run as WASM here, not as the fallback', () => {
    expect(nativeLanes).not.toBe(portableLanes);
  });

  it('fall back to the portable code where the engine cannot run them', () => {
    // An engine without SIMD refuses the module as this one refuses an unknown instruction.
    expect(lanesOf(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 255))).toBe(portableLanes);
  });

  for (const ring of RINGS) {
    const lane = ring === 'field61' ? element : word64;
    const perLane = laneBytes(ring) / 8;
    const lanes = fc.array(lane, { minLength: 1, maxLength: 40 }).map((words) => {
      const whole = words.length - (words.length % perLane);
      return lanesFrom(whole === 0 ? [1n, 2n] : words.slice(0, whole));
    });

    it(`${ring}: the WASM kernel equals its TypeScript twin`, () => {
      fc.assert(
        fc.property(
          lanes,
          fc.infiniteStream(word64),
          fc.constantFrom(1 as const, -1 as const),
          (target, more, sign) => {
            const words = (target.length / laneBytes(ring)) * maskBytes(ring) + 16;
            const mask = lanesFrom([...more.take(Math.ceil(words / 8))]);
            const addend = target.slice().reverse();
            if (ring === 'field61')
              for (let at = 7; at < addend.length; at += 8) addend[at] = addend[at]! & 0x0f;
            const run = (arithmetic: typeof portableLanes): Uint8Array => {
              const out = target.slice();
              arithmetic.mask(ring, out, [{ sign, stream: fixedStream(mask) }]);
              arithmetic.add(ring, out, [addend, target]);
              if (ring === 'field61') arithmetic.multiplyField(out, target.slice(0, 8));
              return out;
            };
            expect(run(nativeLanes)).toEqual(run(portableLanes));
          },
        ),
        { numRuns: 300 },
      );
    });

    it(`${ring}: adding and subtracting one stream gives the input back, across windows`, () => {
      const target = new Uint8Array(200_000 + 16 * 3);
      for (let at = 0; at < target.length; at++)
        target[at] = (at * 31) & (at % 8 === 7 ? 0x0f : 0xff);
      const key = new Uint8Array(32).fill(5);
      const out = target.slice();
      nativeLanes.mask(ring, out, [{ sign: 1, stream: nativePrimitives.stream.open(key, 9) }]);
      expect(out).not.toEqual(target);
      portableLanes.mask(ring, out, [{ sign: -1, stream: noblePrimitives.stream.open(key, 9) }]);
      expect(out).toEqual(target);
    });
  }
});

describe('native primitives equal the noble ones', () => {
  it('key streams are AES-256-CTR from the stated counter block', () => {
    fc.assert(
      fc.property(
        bytes32,
        fc.maxSafeNat(),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 }),
        (key, segment, blocks) => {
          const native = nativePrimitives.stream.open(key, segment);
          const noble = noblePrimitives.stream.open(key, segment);
          const plain = createCipheriv('aes-256-ctr', key, counterBlock(segment, 0));
          for (const count of blocks) {
            const expected = new Uint8Array(plain.update(new Uint8Array(count * 16)));
            expect(new Uint8Array(native.next(count * 16))).toEqual(expected);
            expect(noble.next(count * 16)).toEqual(expected);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('go on after a view was given back', () => {
    const key = new Uint8Array(32).fill(4);
    const [kept, released] = [0, 0].map(() => nativePrimitives.stream.open(key, 1));
    for (const lengthBytes of [16, 65_536, 200_000, 48]) {
      const expected = new Uint8Array(kept!.next(lengthBytes));
      const view = released!.next(lengthBytes);
      expect(new Uint8Array(view)).toEqual(expected);
      released!.release?.();
      expect(view.length).toBe(0);
    }
  });

  it('a read that is not whole blocks is refused', () => {
    for (const primitives of [nativePrimitives, noblePrimitives]) {
      const stream = primitives.stream.open(new Uint8Array(32), 0);
      expect(() => stream.next(17)).toThrow(expect.objectContaining({ code: 'parameter-invalid' }));
    }
  });

  it('hashes, HKDF and X25519 agree, and a low-order point is refused', () => {
    fc.assert(
      fc.property(bytes32, bytes32, fc.uint8Array(), (secret, other, message) => {
        const [a, b] = [nativePrimitives, noblePrimitives];
        expect(a.hash.sha256(message)).toEqual(b.hash.sha256(message));
        expect(a.hash.sha512(message)).toEqual(b.hash.sha512(message));
        expect(a.hash.hkdfSha256(secret, other, message, 77)).toEqual(
          b.hash.hkdfSha256(secret, other, message, 77),
        );
        const peer = b.x25519.publicKey(other);
        expect(a.x25519.publicKey(other)).toEqual(peer);
        expect(a.x25519.sharedSecret(secret, peer)).toEqual(b.x25519.sharedSecret(secret, peer));
      }),
      { numRuns: 15 },
    );
    for (const { x25519 } of [nativePrimitives, noblePrimitives]) {
      expect(() => x25519.sharedSecret(new Uint8Array(32).fill(7), new Uint8Array(32))).toThrow(
        expect.objectContaining({ code: 'point-invalid' }),
      );
    }
  });
});
