import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OkvsPrimitive } from '../../protocols/common/primitives.ts';
import { partPlan } from '../../protocols/psi/vole/parts.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { lpn, runVole, texts, type VoleOptions } from '../fixtures/psi-vole.ts';
import { seeded } from '../support/seeded.ts';

/** In the order of the receiver. */
function naive(sender: readonly string[], receiver: readonly string[]): string[] {
  const theirs = new Set(sender);
  return receiver.filter((item) => theirs.has(item));
}

async function expectExact(
  sender: readonly string[],
  receiver: readonly string[],
  options: VoleOptions = {},
): Promise<void> {
  const { shared } = await runVole(sender, receiver, options);
  expect(shared).toEqual(naive(sender, receiver));
}

/** Primitives whose OKVS is in part another. */
function withOkvs(changed: Partial<OkvsPrimitive>) {
  return { ...nativePrimitives, okvs: { ...nativePrimitives.okvs, ...changed } };
}

describe('a match by VOLE', () => {
  it('finds exactly the shared items of any two sets, however they are shared out', async () => {
    const set = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(set, set, fc.integer({ min: 15, max: 300 }), async (a, b, partItemsMax) => {
        const [sender, receiver] = [a, b].map((list) => list.map((item) => `item ${item}`));
        await expectExact(sender ?? [], receiver ?? [], { params: { partItemsMax } });
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['both empty', [], []],
    ['an empty sender', [], texts(0, 5)],
    ['an empty receiver', texts(0, 5), []],
    ['one equal element', ['x'], ['x']],
    ['one element each', ['x'], ['y']],
    ['disjoint sets', texts(0, 100), texts(100, 200)],
    ['equal sets', texts(0, 100), texts(0, 100).toReversed()],
    ['a small set in a large one', texts(50, 53), texts(0, 3000)],
    ['a large set around a small one', texts(0, 3000), texts(50, 53)],
  ])('is exact for %s', async (_name, sender, receiver) => {
    await expectExact(sender, receiver);
  });

  // Around a chunk of outputs (8192), a chunk of the vector (8192 columns), and powers of two.
  it.each([127, 128, 129, 7_200, 7_300, 8_187, 8_188, 8_189, 8_192, 16_384, 16_385])(
    'is exact for %i items a side',
    async (items) => {
      await expectExact(texts(0, items), texts(items >> 1, items + (items >> 1)));
    },
  );

  it('is exact with the real correlation, in one part and in many', async () => {
    const [sender, receiver] = [texts(0, 500), texts(300, 700)];
    const correlators = [lpn(), lpn()] as const;
    await expectExact(sender, receiver, { correlators });
    await expectExact(sender, receiver, { correlators, params: { partItemsMax: 200 } });
  });

  it('a side with the kernel and one with plain code understand each other', async () => {
    const { okvs, gf128 } = noblePrimitives;
    const plain = { primitives: { ...nativePrimitives, okvs, gf128 } };
    await expectExact(texts(0, 60), texts(30, 90), { senderMachine: plain });
    await expectExact(texts(0, 60), texts(30, 90), { receiverMachine: plain });
  });

  it.each([
    ['sender', ['a', 'b', 'a'], ['b']],
    ['receiver', ['b'], ['a', 'b', 'a']],
  ])('refuses an element that the %s has twice', async (_side, sender, receiver) => {
    await expect(runVole(sender, receiver)).rejects.toMatchObject({ code: 'point-repeated' });
  });

  it('holds each side to padding, set size and what it can answer', async () => {
    const run = (params: VoleOptions['params'], items = 3) =>
      runVole(texts(0, items), texts(0, items), { params: params ?? {} });
    await expect(run({ padding: 'bucket' })).rejects.toMatchObject({ code: 'length-wrong' });
    await expect(run({ padding: 'bucket' }, 4)).resolves.toBeDefined();
    await expect(run({ setSizeMax: 2 })).rejects.toMatchObject({ code: 'set-too-large' });
    for (const wrong of [
      { mode: 'cardinality' },
      { noiseSlots: 2 },
      { partItemsMax: 0 },
      { partItemsMax: 2 ** 20 + 1 },
    ] as const) {
      await expect(run(wrong)).rejects.toMatchObject({ code: 'parameter-invalid' });
    }
  });
});

describe('an encoding that fails', () => {
  /** An OKVS whose first `failures` encodings of a run fail. */
  const failing = (failures: number): OkvsPrimitive => {
    let left = failures;
    return {
      ...nativePrimitives.okvs,
      open(shape) {
        const table = nativePrimitives.okvs.open(shape);
        const encode = table.encode.bind(table);
        table.encode = (vector) => (left-- > 0 ? 'dependent' : encode(vector));
        return table;
      },
    };
  };

  it('is tried again under another key, and shows by its number alone', async () => {
    const runs = await Promise.all(
      [0, 1, 3].map((failures) =>
        runVole(texts(0, 50), texts(20, 70), {
          seed: 'one',
          receiverMachine: { primitives: withOkvs(failing(failures)) },
        }),
      ),
    );
    const starts = runs.map(({ frames }) => frames.find(({ kind }) => kind === 'psi.vole-start'));
    expect(starts.map((frame) => frame?.payload[4])).toEqual([0, 1, 3]);
    for (const { shared, frames } of runs) {
      expect(shared).toEqual(texts(20, 50));
      expect(frames.map(({ kind, payload }) => `${kind} ${payload.length}`)).toEqual(
        runs[0]?.frames.map(({ kind, payload }) => `${kind} ${payload.length}`),
      );
    }
    const vectors = runs.map(({ frames }) => frames.find(({ kind }) => kind === 'psi.vole-masked'));
    expect(
      new Set(vectors.map((frame) => Buffer.from(frame?.payload ?? []).toString('hex'))).size,
    ).toBe(3);
  });

  it('ends the run when no attempt succeeds', async () => {
    const receiverMachine = { primitives: withOkvs(failing(99)) };
    await expect(runVole(texts(0, 5), texts(0, 5), { receiverMachine })).rejects.toMatchObject({
      code: 'encoding-failed',
    });
  });
});

describe('parts', () => {
  it('have bounds that follow from public sizes, and hold what a hash gives them', () => {
    for (const [items, partItemsMax] of [
      [1000, 100],
      [2 ** 16, 2 ** 12],
    ] as const) {
      const plan = partPlan(items, items, partItemsMax);
      const random = seeded(items);
      for (let run = 0; run < 200; run++) {
        const counts = Array<number>(plan.parts).fill(0);
        for (let i = 0; i < items; i++) counts[random.below(plan.parts)]! += 1;
        expect(Math.max(...counts)).toBeLessThanOrEqual(plan.senderItems);
      }
    }
    // Padding costs little where it matters.
    const { parts, senderItems } = partPlan(2 ** 24, 2 ** 24, 2 ** 20);
    expect(parts).toBe(16);
    expect(senderItems / 2 ** 20).toBeLessThan(1.01);
    expect(partPlan(2 ** 20, 2 ** 20, 2 ** 20).parts).toBe(1);
  });

  it('give outputs of 40 + log2(n_A · n_B) bits, in whole bytes', () => {
    const bytesOf = (a: number, b: number): number => partPlan(2 ** a, 2 ** b, 2 ** 20).outputBytes;
    expect([
      bytesOf(0, 0),
      bytesOf(16, 16),
      bytesOf(20, 20),
      bytesOf(20, 21),
      bytesOf(28, 28),
    ]).toEqual([5, 9, 10, 11, 12]);
  });

  it('that exceed their bound end the run', async () => {
    const shareOut: OkvsPrimitive['shareOut'] = (key, elements, elementBytes, parts) => {
      const shares = nativePrimitives.okvs.shareOut(key, elements, elementBytes, parts);
      // All in the last part.
      return {
        ...shares,
        starts: shares.starts.map((_, i) => (i < parts ? 0 : shares.numbers.length)),
      };
    };
    const senderMachine = { primitives: withOkvs({ shareOut }) };
    const run = runVole(texts(0, 500), texts(0, 500), {
      senderMachine,
      params: { partItemsMax: 50 },
    });
    await expect(run).rejects.toMatchObject({ code: 'encoding-failed' });
  });
});
