import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { inPlaceEngine } from '../../protocols/psi/blind.ts';
import { encodeHello, parseHello } from '../../protocols/psi/messages.ts';
import { bucketOf, type PsiParams } from '../../protocols/psi/params.ts';
import { curvesHere } from '../support/curves.ts';
import { PARAMS, naiveShared, runPsi } from '../fixtures/psi.ts';

const items = (max: number): fc.Arbitrary<string[]> =>
  fc.array(
    fc.oneof(fc.constantFrom('a', 'b', 'ä', '航班', '🛫', ''), fc.string({ unit: 'grapheme' })),
    {
      maxLength: max,
    },
  );
const params: fc.Arbitrary<PsiParams> = fc
  .record({
    mode: fc.constantFrom('cardinality' as const, 'intersection' as const),
    padding: fc.constantFrom('bucket' as const, 'none' as const),
    duplicates: fc.constantFrom('multiplicity' as const, 'distinct' as const),
    chunkItems: fc.integer({ min: 1, max: 20 }),
  })
  .map((chosen) => ({ ...PARAMS, ...chosen }));
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `item ${from + i}`);

/** Checks count and, where rows are revealed, exactly which. */
async function expectExact(
  chosen: PsiParams,
  sender: readonly string[],
  receiver: readonly string[],
): Promise<void> {
  const { outcome } = await runPsi(chosen, sender, receiver);
  expect(outcome.shared).toBe(naiveShared(sender, receiver, chosen.duplicates));
  if (chosen.mode === 'cardinality') {
    expect(outcome.rows).toBeUndefined();
    return;
  }
  const revealed = [...(outcome.rows ?? [])].map((row) => receiver[row] ?? 'no such row');
  expect(revealed).toHaveLength(outcome.shared);
  expect(new Set(outcome.rows).size).toBe(outcome.shared);
  for (const item of new Set(receiver)) {
    expect(revealed.filter((other) => other === item)).toHaveLength(
      naiveShared(
        sender,
        receiver.filter((other) => other === item),
        chosen.duplicates,
      ),
    );
  }
}

describe('PSI equals a naive reference', () => {
  it('for random sets with duplicates and unicode, in every mode', async () => {
    await fc.assert(
      fc.asyncProperty(params, items(40), items(40), fc.nat(39), async (chosen, a, b, shared) => {
        await expectExact(chosen, [...a, ...b.slice(0, shared)], b);
      }),
      { numRuns: 120 },
    );
  });

  it.each([
    ['both empty', [], []],
    ['one empty', [], ['a']],
    ['the other empty', ['a'], []],
    ['one element, equal', ['a'], ['a']],
    ['one element, different', ['a'], ['b']],
    ['equal', numbered(0, 33), numbered(0, 33)],
    ['disjoint', numbered(0, 33), numbered(33, 66)],
    ['one key a hundred times over', Array(100).fill('x'), Array(37).fill('x')],
  ])('for sets that are special: %s', async (_name, a: string[], b: string[]) => {
    for (const mode of ['cardinality', 'intersection'] as const) {
      for (const padding of ['bucket', 'none'] as const) {
        for (const duplicates of ['multiplicity', 'distinct'] as const) {
          await expectExact({ ...PARAMS, mode, padding, duplicates }, a, b);
        }
      }
    }
  });

  it('at every size around chunks and powers of two', async () => {
    for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]) {
      for (const mode of ['cardinality', 'intersection'] as const) {
        await expectExact({ ...PARAMS, mode }, numbered(0, size), numbered(size >> 1, 2 * size));
        await expectExact({ ...PARAMS, mode, padding: 'none' }, numbered(0, size), numbered(1, 9));
      }
    }
  });

  it('does not depend on which side matches, nor on the order of rows', async () => {
    await fc.assert(
      fc.asyncProperty(params, items(20), items(20), async (chosen, a, b) => {
        const forth = await runPsi(chosen, a, b);
        const back = await runPsi(chosen, b.toReversed(), a);
        expect(back.outcome.shared).toBe(forth.outcome.shared);
      }),
      { numRuns: 30 },
    );
  });

  it('whatever multiplies, the protocol is one', async () => {
    const [a, b] = [numbered(0, 11), numbered(5, 20)];
    for (const engine of [nobleCurve, ...curvesHere].map(inPlaceEngine)) {
      for (const mode of ['cardinality', 'intersection'] as const) {
        const { outcome } = await runPsi({ ...PARAMS, mode }, a, b, { engine });
        expect(outcome.shared).toBe(6);
      }
    }
  });
});

describe('noise slots', () => {
  it('raise the number by the smaller choice of the two, and show no choice in a size', async () => {
    const noised = { ...PARAMS, noiseSlots: 12 };
    const [a, b] = [numbered(0, 30), numbered(10, 25)];
    for (const dummies of [
      [0, 0],
      [0, 12],
      [12, 0],
      [5, 12],
      [12, 12],
    ] as const) {
      for (const mode of ['cardinality', 'sum'] as const) {
        const { outcome } = await runPsi({ ...noised, mode }, a, b, { dummies });
        expect(outcome.shared).toBe(15 + Math.min(...dummies));
        expect(outcome.peerItems).toBe(64);
      }
    }
  });

  it('hold no more dummies than there are, and none in an intersection', async () => {
    const noised = { ...PARAMS, noiseSlots: 12 };
    const run = (params: PsiParams, dummies: readonly [number, number]): Promise<unknown> =>
      runPsi(params, ['a'], ['a'], { dummies });
    await expect(run(noised, [13, 0])).rejects.toMatchObject({ code: 'parameter-invalid' });
    await expect(run(noised, [-1, 0])).rejects.toMatchObject({ code: 'parameter-invalid' });
    await expect(run(PARAMS, [1, 0])).rejects.toMatchObject({ code: 'parameter-invalid' });
    await expect(run({ ...noised, mode: 'intersection' }, [0, 0])).rejects.toMatchObject({
      code: 'parameter-invalid',
    });
  });
});

describe('sizes', () => {
  it('of padded sets are public buckets, whatever the duplicates', async () => {
    for (const [count, bucket] of [
      [0, 1],
      [1, 1],
      [2, 2],
      [3, 4],
      [64, 64],
      [65, 128],
    ] as const) {
      expect(bucketOf(count)).toBe(bucket);
      const { outcome } = await runPsi(PARAMS, numbered(0, count), ['a']);
      expect(outcome.peerItems).toBe(bucket);
    }
    const { outcome } = await runPsi(
      { ...PARAMS, duplicates: 'distinct' },
      ['a', 'a', 'a', 'b', 'b'],
      ['a'],
    );
    expect(outcome.peerItems).toBe(2);
  });

  it('padded to the cap are the cap, of however few keys, and nothing else is taken', async () => {
    const capped = { ...PARAMS, padding: 'cap', setSizeMax: 32, noiseSlots: 2 } as const;
    for (const count of [0, 1, 7, 30]) {
      const { outcome, frames } = await runPsi(capped, numbered(0, count), ['item 0']);
      expect(outcome).toMatchObject({ peerItems: 32, shared: Math.min(count, 1) });
      expect(frames.filter(({ kind }) => kind === 'psi.points')).toHaveLength(8);
    }
    await expect(runPsi(capped, numbered(0, 31), [])).rejects.toMatchObject({
      code: 'set-too-large',
    });
    expect(() => parseHello(capped, 'sender', encodeHello(capped, 'sender', 16))).toThrow(
      expect.objectContaining({ code: 'length-wrong' }),
    );
  });

  it('of an intersection beyond what may be revealed tell how many, and not which', async () => {
    const revealing = { ...PARAMS, mode: 'intersection', revealedMax: 3 } as const;
    const run = (shared: number) => runPsi(revealing, numbered(0, shared), numbered(0, 9));
    expect((await run(3)).outcome).toMatchObject({ shared: 3, rows: Uint32Array.of(0, 1, 2) });
    expect((await run(4)).outcome).toMatchObject({ shared: 4, rows: undefined });
  });

  it('beyond the limit end the run, the own and the peer’s', async () => {
    const small = { ...PARAMS, setSizeMax: 16 };
    await expect(runPsi(small, numbered(0, 17), [])).rejects.toMatchObject({
      code: 'set-too-large',
    });
    const announced = runPsi(small, numbered(0, 16), numbered(0, 16), {
      tap: (frame) => {
        if (frame.kind !== 'psi.hello') return [frame];
        const payload = frame.payload.slice();
        new DataView(payload.buffer).setUint32(8, 32, true);
        return [{ ...frame, payload }];
      },
    });
    await expect(announced).rejects.toMatchObject({ code: 'set-too-large' });
    const peerSmaller = { ...PARAMS, setSizeMax: 64, peerSizeMax: 16 };
    for (const role of ['sender', 'receiver'] as const) {
      const hello = (items: number): Uint8Array => encodeHello(PARAMS, role, items);
      expect(parseHello(peerSmaller, role, hello(16))).toBe(16);
      expect(() => parseHello(peerSmaller, role, hello(32))).toThrow(
        expect.objectContaining({ code: 'set-too-large' }),
      );
    }
    await expect(runPsi(small, numbered(0, 16), numbered(0, 16))).resolves.toMatchObject({
      outcome: { shared: 16 },
    });
  });
});
