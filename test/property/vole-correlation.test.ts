import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import type { PsiFrame } from '../fixtures/psi.ts';
import {
  CONTEXT,
  OTHER_CODE,
  brokenElements,
  runVole,
  seededBytes,
  voleMachine,
} from '../fixtures/vole.ts';

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const digests = (frames: readonly PsiFrame[]): string[] =>
  frames.map(({ from, kind, payload }) => `${from} ${kind} ${digest(payload)}`);
const all = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

describe('a VOLE session', () => {
  it('ends with C = Δ · A + B for every element, at any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2, 3, 100, 999, 5000), async (size) => {
        const { sender, receiver } = await runVole({ size, context: CONTEXT });
        expect(sender.delta).toHaveLength(16);
        for (const vector of [sender.b, receiver.a, receiver.c]) {
          expect(vector).toHaveLength(16 * size);
        }
        expect(brokenElements(sender, receiver, all(size))).toBe(0);
        // The control: one changed bit is seen.
        receiver.a[0] = (receiver.a[0] ?? 0) ^ 1;
        expect(brokenElements(sender, receiver, all(size))).toBe(1);
      }),
      { numRuns: 8 },
    );
  });

  it('holds over the other code, whose noise is more', async () => {
    const { sender, receiver } = await runVole({ size: 3000, context: CONTEXT, code: OTHER_CODE });
    expect(brokenElements(sender, receiver, all(3000))).toBe(0);
  });

  it('holds with many leaves a tree, on both sides of the powers of two', async () => {
    for (const size of [2 ** 17 - 9, 2 ** 17 + 1, 546 * 2 ** 10]) {
      const { sender, receiver } = await runVole({ size, context: CONTEXT });
      const sample = all(200).map((i) => Math.floor((i * size) / 200));
      expect(brokenElements(sender, receiver, [...sample, size - 1])).toBe(0);
    }
  });

  it('takes the bytes that the README says', async () => {
    for (const [size, megabytes] of [
      [258, 1.32],
      [72_346, 1.41],
    ] as const) {
      const { frames } = await runVole({ size, context: CONTEXT });
      const bytes = frames.reduce((sum, { payload }) => sum + payload.length, 0);
      expect(bytes / 1e6).toBeCloseTo(megabytes, 2);
    }
  });

  it('is the same in plain TypeScript, byte for byte', async () => {
    const run = (primitives = voleMachine().primitives) =>
      runVole(
        { size: 50, context: CONTEXT, code: OTHER_CODE },
        {
          sender: voleMachine(primitives, seededBytes('sender')),
          receiver: voleMachine(primitives, seededBytes('receiver')),
        },
      );
    const [native, portable] = [await run(), await run(noblePrimitives)];
    expect(digests(portable.frames)).toEqual(digests(native.frames));
    expect(digest(portable.receiver.c)).toBe(digest(native.receiver.c));
    expect(digest(portable.sender.b)).toBe(digest(native.sender.b));
  }, 120_000);
});
