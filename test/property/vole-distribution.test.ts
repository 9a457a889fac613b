import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { LeafStore, Primitives } from '../../protocols/common/primitives.ts';
import { CODE_21X24, lpnShape } from '../../protocols/psi/vole/lpn-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { chiSquare } from '../support/chi-square.ts';
import { CONTEXT, runOt, runVole, seededBytes, voleMachine } from '../fixtures/vole.ts';
import type { PsiFrame } from '../fixtures/psi.ts';

const SIZE = 64;
const PARAMS = { size: SIZE, context: CONTEXT };
const { blocks, depth } = lpnShape(SIZE + 40, CODE_21X24);
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const system = (count: number): Uint8Array => new Uint8Array(randomBytes(count));

/** Chance of bytes fitting this badly if they were uniform. */
function uniformTail(bytes: Uint8Array): number {
  return chiSquare(
    Array.from(bytes, (byte) => byte - 128),
    (value) => (value < 128 ? 1 : 0),
    128,
  ).tail;
}
/** What no test here may fall below: once in a million runs of a test. */
const RARE = 1e-6;

/** A kind's messages without the parts that are public and fixed. */
function bodies(frames: readonly PsiFrame[], kind: string): Uint8Array {
  const skip = kind === 'vole.hello' ? 34 : 0;
  return Buffer.concat(
    frames.filter((one) => one.kind === kind).map((one) => one.payload.subarray(skip)),
  );
}
function blocksOf(bytes: Uint8Array): string[] {
  return Array.from({ length: Math.floor(bytes.length / 16) }, (_, i) =>
    hex(bytes.subarray(16 * i, 16 * i + 16)),
  );
}

/** The primitives, telling what the receiver puts into its leaves, or changing what a side grows. */
function withLeaves(change: (store: LeafStore) => Partial<LeafStore>): Primitives {
  const { vole } = nativePrimitives;
  const openLeaves: typeof vole.openLeaves = (shape) => {
    const store = vole.openLeaves(shape);
    return { ...store, ...change(store) };
  };
  return { ...nativePrimitives, vole: { ...vole, openLeaves } };
}

const LPN_KINDS = ['vole.choices', 'vole.extension', 'vole.noise', 'vole.check'];

describe('what leaves a party of a VOLE session', () => {
  it.each(LPN_KINDS)('looks uniform: %s', async (kind) => {
    // The shortest message has too few bytes in one session.
    const sessions = [await runVole(PARAMS), await runVole(PARAMS)];
    const frames = sessions.flatMap((one) => one.frames);
    expect(uniformTail(bodies(frames, kind))).toBeGreaterThan(RARE);
  });

  it('would be seen if it did not: sums sent without their pads, values without their streams', async () => {
    // The controls. A pad that is zero leaves sums that repeat in themselves for equal roots; a
    // stream that is zero leaves the noise's places and values in clear.
    const zeroStreams: Primitives = {
      ...nativePrimitives,
      stream: { open: () => ({ next: (count) => new Uint8Array(count) }) },
    };
    const machine = voleMachine(zeroStreams);
    const { frames } = await runVole(PARAMS, { sender: machine, receiver: machine });
    expect(uniformTail(bodies(frames, 'vole.extension'))).toBeLessThan(RARE);
    const lowBytes = (count: number): Uint8Array => system(count).map((byte) => byte & 0x7f);
    const { frames: weak } = await runVole(PARAMS, {
      sender: voleMachine(nativePrimitives, lowBytes),
    });
    expect(uniformTail(bodies(weak, 'vole.choices'))).toBeLessThan(RARE);
  });

  it.each(['vole.choices', 'vole.rows', 'vole.check'])(
    'looks uniform without LPN too: %s, whatever P is',
    async (kind) => {
      const { frames } = await runOt({ size: 500, context: CONTEXT }, new Uint8Array(16 * 500));
      expect(uniformTail(bodies(frames, kind))).toBeGreaterThan(RARE);
    },
  );

  it('never repeats: no block of a message, no Δ, no element, over sessions alike in all inputs', async () => {
    const seen = new Set<string>();
    let count = 0;
    for (let run = 0; run < 6; run++) {
      const { sender, receiver, frames } = await runVole(PARAMS);
      const secrets = [sender.delta, sender.b, receiver.a, receiver.c];
      const sent = [...LPN_KINDS, 'vole.hello'].map((kind) => bodies(frames, kind));
      for (const block of [...secrets, ...sent].flatMap(blocksOf)) {
        seen.add(block);
        count += 1;
      }
    }
    expect(count).toBeGreaterThan(10_000);
    expect(seen.size).toBe(count);
  });

  it('is determined by both parties’ randomness: the same seeds, the same transcript', async () => {
    const run = async (sender: string, receiver: string): Promise<string[]> => {
      const { frames } = await runVole(PARAMS, {
        sender: voleMachine(nativePrimitives, seededBytes(sender)),
        receiver: voleMachine(nativePrimitives, seededBytes(receiver)),
      });
      return frames.map(({ from, kind, payload }) => `${from} ${kind} ${hex(payload)}`);
    };
    const first = await run('s', 'r');
    expect((await run('s', 'r')).join() === first.join()).toBe(true);
    // One party's new randomness changes every later message, its own and the other's.
    const other = await run('s', 'r2');
    expect(
      first.filter((frame) => other.includes(frame)).map((frame) => frame.slice(0, 17)),
    ).toEqual(['sender vole.hello']);
  });
});

describe('what a party draws', () => {
  it('is a place in each block, all equally likely, and a uniform value for it', async () => {
    const places: number[] = [];
    const values: Uint8Array[] = [];
    const spy = withLeaves((store) => ({
      place(tree, place, leaf, noise) {
        places.push(place);
        values.push(noise.slice());
        store.place(tree, place, leaf, noise);
      },
    }));
    for (let run = 0; run < 6; run++) await runVole(PARAMS, { receiver: voleMachine(spy) });
    expect(places).toHaveLength(6 * blocks);
    const fit = (list: readonly number[]): number =>
      chiSquare(list, (value) => (value >= 0 && value < 2 ** depth ? 1 : 0), 2 ** depth).tail;
    expect(fit(places)).toBeGreaterThan(RARE);
    // The control: places drawn from half of each block.
    expect(fit(places.map((place) => place >> 1))).toBeLessThan(RARE);
    expect(uniformTail(Buffer.concat(values))).toBeGreaterThan(RARE);
    expect(new Set(values.map(hex)).size).toBe(values.length);
  });

  it('is a fresh Δ in which every bit is one as often as not', async () => {
    const ones = Array.from({ length: 128 }, () => 0);
    const runs = 32;
    for (let run = 0; run < runs; run++) {
      const { sender } = await runVole({ size: 1, context: CONTEXT });
      ones.forEach((_, bit) => {
        ones[bit] = (ones[bit] ?? 0) + (((sender.delta[bit >> 3] ?? 0) >> (bit & 7)) & 1);
      });
    }
    // A bit that is fixed gives 0 or 32; one that is not, once in 2^31.
    expect(Math.min(...ones)).toBeGreaterThan(0);
    expect(Math.max(...ones)).toBeLessThan(runs);
  });

  it('makes A look random, also where the noise is thin', async () => {
    const { receiver } = await runVole({ size: 20_000, context: CONTEXT });
    expect(uniformTail(receiver.a)).toBeGreaterThan(RARE);
    expect(new Set(blocksOf(receiver.a)).size).toBe(20_000);
    // The control: noise by itself, one place in a block.
    const sparse = new Uint8Array(receiver.a.length);
    for (let at = 0; at < sparse.length; at += 16 * 128) sparse.set(system(16), at);
    expect(uniformTail(sparse)).toBeLessThan(RARE);
  });
});

describe('a correlation that does not hold', () => {
  it('is found by the opened sums, wherever a leaf of either side is wrong', async () => {
    for (const side of ['sender', 'receiver'] as const) {
      for (const tree of [0, blocks >> 1, blocks - 1]) {
        const broken = withLeaves((store) => ({
          compress(code) {
            store.place(tree, 5, system(16), new Uint8Array(16));
            return store.compress(code);
          },
        }));
        await expect(
          runVole(PARAMS, { [side]: voleMachine(broken) }),
          `${side} ${tree}`,
        ).rejects.toMatchObject({
          code: 'transcript-mismatch',
          message: 'the VOLE correlation does not hold',
        });
      }
    }
  });
});
