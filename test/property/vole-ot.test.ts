import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { portableVole } from '../../protocols/common/portable-vole.ts';
import { codeGenerator } from '../../protocols/psi/vole/ot-terms.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { nativeVole } from '../../workers/native-vole.ts';
import { CONTEXT, runOt, seededBytes, voleMachine } from '../fixtures/vole.ts';

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

const weight = (word: Uint8Array): number =>
  word.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);

/** The map applied bit by bit. */
function imageOf(map: Uint8Array, element: Uint8Array): Uint8Array {
  const image = new Uint8Array(64);
  for (let bit = 0; bit < 128; bit++) {
    if (((element[bit >> 3] ?? 0) >> (bit & 7)) % 2 === 0) continue;
    image.forEach((byte, i) => (image[i] = byte ^ (map[64 * bit + i] ?? 0)));
  }
  return image;
}

describe('the engine without LPN', () => {
  it('ends with Q = T ⊕ L(P) for every element, at any size', async () => {
    for (const size of [1, 127, 1000]) {
      const p = bytes(16 * size);
      const { sender, receiver } = await runOt({ size, context: CONTEXT }, p);
      expect(sender.q).toHaveLength(64 * size);
      expect(receiver.t).toHaveLength(64 * size);
      for (let i = 0; i < size; i++) {
        const sum = imageOf(sender.map, p.subarray(16 * i, 16 * i + 16));
        sum.forEach((byte, k) => (sum[k] = byte ^ (receiver.t[64 * i + k] ?? 0)));
        expect(hex(sum)).toBe(hex(sender.q.subarray(64 * i, 64 * i + 64)));
      }
    }
  });

  it('keeps the relation across messages of many rows', async () => {
    const size = 65_536 + 300;
    const p = bytes(16 * size);
    const { sender, receiver } = await runOt({ size, context: CONTEXT }, p);
    const sum = new Uint8Array(receiver.t);
    nativeVole.openMap(sender.map).addTo(sum, p);
    expect(Buffer.from(sum).equals(sender.q)).toBe(true);
  });

  it('draws s and the code afresh, half of the bits of s ones', async () => {
    const p = bytes(16);
    const [one, other] = [
      await runOt({ size: 1, context: CONTEXT }, p),
      await runOt({ size: 1, context: CONTEXT }, p),
    ];
    expect(hex(one.sender.map)).not.toBe(hex(other.sender.map));
    // The map is the code ∧ s: a column is zero where s is, and else by a chance of 2^−128.
    const columns = new Uint8Array(64);
    one.sender.map.forEach((byte, at) => (columns[at % 64] = (columns[at % 64] ?? 0) | byte));
    // Six standard deviations of 512 coins.
    expect(Math.abs(weight(columns) - 256)).toBeLessThan(6 * 11.4);
  });

  it('has a code whose words of random elements have weight 128 or more', () => {
    const session = { publicKey: () => bytes(32) };
    const generator = codeGenerator(session, nativePrimitives.stream);
    const count = 20_000;
    const words = new Uint8Array(64 * count);
    nativeVole.openMap(generator).addTo(words, bytes(16 * count));
    const weights = Array.from({ length: count }, (_, i) =>
      weight(words.subarray(64 * i, 64 * i + 64)),
    );
    // By the binomial distribution none is expected below 128 in 2^102, none below 190 in 2^26.
    expect(Math.min(...weights)).toBeGreaterThan(190);
    expect(weights.reduce((sum, one) => sum + one, 0) / count).toBeCloseTo(256, 0);
  });

  it('maps by tables as bit by bit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), (count) => {
        const [rows, elements, start] = [bytes(128 * 64), bytes(16 * count), bytes(64 * count)];
        const [native, portable] = [start.slice(), start.slice()];
        nativeVole.openMap(rows).addTo(native, elements);
        portableVole.openMap(rows).addTo(portable, elements);
        expect(hex(native)).toBe(hex(portable));
        start.forEach((byte, i) => (native[i] = (native[i] ?? 0) ^ byte));
        expect(hex(native.subarray(0, 64))).toBe(hex(imageOf(rows, elements.subarray(0, 16))));
      }),
      { numRuns: 20 },
    );
  });

  it('is the same in plain TypeScript, byte for byte', async () => {
    const p = bytes(16 * 20);
    const run = (primitives = voleMachine().primitives) =>
      runOt({ size: 20, context: CONTEXT }, p, {
        sender: voleMachine(primitives, seededBytes('sender')),
        receiver: voleMachine(primitives, seededBytes('receiver')),
      });
    const [native, portable] = [await run(), await run(noblePrimitives)];
    expect(hex(portable.receiver.t)).toBe(hex(native.receiver.t));
    expect(hex(portable.sender.q)).toBe(hex(native.sender.q));
    expect(portable.frames.map((frame) => hex(frame.payload)).join(' ')).toBe(
      native.frames.map((frame) => hex(frame.payload)).join(' '),
    );
  }, 60_000);
});
