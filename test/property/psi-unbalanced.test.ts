import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { blindingSecret } from '../../protocols/psi/blind.ts';
import type { PsiParams } from '../../protocols/psi/params.ts';
import {
  decodeFilter,
  encodeFilter,
  filterBytes,
  filterShape,
} from '../../protocols/psi/unbalanced/filter.ts';
import { buildFilter } from '../../protocols/psi/unbalanced/own-filter.ts';
import { blindingPair, OUTPUT_BYTES } from '../../protocols/psi/unbalanced/oprf.ts';
import { systemRandom } from '../../src/system/random.ts';
import { curvesHere } from '../support/curves.ts';
import { filterOf, memoryKept, oprfMachine, runOprf } from '../fixtures/psi-oprf.ts';
import { digestsOf, PARAMS, type PsiFrame, type Tap } from '../fixtures/psi.ts';

const OPRF: PsiParams = {
  ...PARAMS,
  mode: 'intersection',
  setSizeMax: 64,
  peerSizeMax: 1024,
};
/** As the sender has them: its own cap and the receiver's. */
const LARGE: PsiParams = { ...OPRF, setSizeMax: 1024, peerSizeMax: 64 };
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `item ${from + i}`);

/** Changes the `nth` frame of one kind and sender. */
function change(
  from: PsiFrame['from'],
  kind: string,
  nth: number,
  how: (payload: Uint8Array) => readonly Uint8Array[],
): Tap {
  let seen = 0;
  return (frame) =>
    frame.from === from && frame.kind === kind && seen++ === nth
      ? how(frame.payload.slice()).map((payload) => ({ ...frame, payload }))
      : [frame];
}

describe('an unbalanced match', () => {
  it('equals a naive reference, at every size around buckets and chunks', async () => {
    const sizes = [0, 1, 2, 7, 8, 9, 16, 17, 33, 64];
    for (const [index, size] of sizes.entries()) {
      const duplicates = index % 2 === 0 ? 'multiplicity' : 'distinct';
      const items = numbered(0, size);
      const filter = await filterOf({ ...LARGE, duplicates }, numbered(size >> 1, 100 + size * 7));
      const { rows } = await runOprf({ ...OPRF, duplicates }, filter, items);
      expect(rows).toEqual(items.slice(size >> 1));
    }
  });

  it('counts duplicates as both sides have them, or once', async () => {
    const words = fc.array(fc.constantFrom('a', 'b', 'ä', '航班', ''), { maxLength: 12 });
    const duplicates = fc.constantFrom('multiplicity' as const, 'distinct' as const);
    await fc.assert(
      fc.asyncProperty(words, words, duplicates, async (large, small, rule) => {
        const filter = await filterOf({ ...LARGE, duplicates: rule }, large);
        const { rows } = await runOprf({ ...OPRF, duplicates: rule }, filter, small);
        const expected: string[] = [];
        for (const word of new Set(small)) {
          const [here, there] = [small, large].map(
            (all) => all.filter((one) => one === word).length,
          );
          const least = Math.min(here ?? 0, there ?? 0);
          const count = rule === 'distinct' ? Math.min(1, least) : least;
          expected.push(...Array<string>(count).fill(word));
        }
        expect(rows?.toSorted()).toEqual(expected.toSorted());
      }),
      { numRuns: 30 },
    );
  });

  it('gives one answer, whatever multiplies', async () => {
    const filter = await filterOf(LARGE, numbered(0, 40));
    for (const curve of [nobleCurve, ...curvesHere]) {
      const { rows } = await runOprf(OPRF, filter, numbered(35, 45), { curve });
      expect(rows).toEqual(numbered(35, 40));
    }
  });

  it('ships the filter once; then only points, and no blinded point twice', async () => {
    const filter = await filterOf(LARGE, numbered(0, 900));
    const kept = memoryKept();
    const runs = [];
    for (let run = 0; run < 3; run++)
      runs.push(await runOprf(OPRF, filter, numbered(890, 950), { kept }));
    const shipped = runs.map(({ frames }) => frames.filter(({ kind }) => kind === 'oprf.filter'));
    expect(shipped.map(({ length }) => length)).toEqual([1, 0, 0]);
    expect(runs.map(({ rows }) => rows)).toEqual(Array(3).fill(numbered(890, 900)));
    const points = runs.flatMap(({ frames }) =>
      frames
        .filter(({ kind }) => kind === 'oprf.points' || kind === 'oprf.evaluated')
        .flatMap(({ payload }) =>
          Array.from({ length: (payload.length - 8) / 32 }, (_, i) =>
            Buffer.from(payload.subarray(8 + 32 * i, 40 + 32 * i)).toString('hex'),
          ),
        ),
    );
    expect(points).toHaveLength(3 * 2 * 64);
    expect(new Set(points).size).toBe(points.length);
    // Under another key no output of the filter is as before.
    const other = await filterOf(LARGE, numbered(0, 900));
    const { frames, rows } = await runOprf(OPRF, other, numbered(890, 950), { kept });
    expect(frames.some(({ kind }) => kind === 'oprf.filter')).toBe(true);
    expect(rows).toEqual(numbered(890, 900));
  });

  it('is metered before anything is answered, and answers nothing where that fails', async () => {
    const filter = await filterOf(LARGE, numbered(0, 9));
    const metered: number[] = [];
    const meter = async (evaluations: number): Promise<void> => {
      metered.push(evaluations);
      if (metered.length === 2) throw new Error('used up');
    };
    await runOprf(OPRF, filter, numbered(0, 33), { meter });
    const seen: PsiFrame[] = [];
    const tap: Tap = (frame) => {
      seen.push(frame);
      return [frame];
    };
    await expect(runOprf(OPRF, filter, numbered(0, 3), { meter, tap })).rejects.toThrow('used up');
    expect(metered).toEqual([64, 4]);
    expect(seen.some(({ kind }) => kind === 'oprf.evaluated')).toBe(false);
  });

  it('tells how many where more are shared than may be revealed, and not which', async () => {
    const filter = await filterOf(LARGE, numbered(0, 9));
    const { shared, rows } = await runOprf({ ...OPRF, revealedMax: 5 }, filter, numbered(3, 20));
    expect([shared, rows]).toEqual([6, undefined]);
  });
});

describe('a blinding pair', () => {
  it('is clamped, both of it, and takes its own blind off', () => {
    const base = new Uint8Array(32).with(0, 9);
    for (let draw = 0; draw < 60; draw++) {
      const pair = blindingPair((count) => systemRandom.bytes(count));
      for (const scalar of [pair.secret, pair.inverse]) {
        expect(blindingSecret(scalar)).toEqual(scalar);
      }
      const other = blindingSecret(systemRandom.bytes(32));
      const point = nobleCurve.multiply(other, base);
      const blinded = nobleCurve.multiply(pair.secret, point);
      expect(nobleCurve.multiply(pair.inverse, blinded)).toEqual(point);
    }
  });
});

describe('a filter', () => {
  const outputsOf = (items: number, bits: number): Uint8Array[] =>
    Array.from({ length: items }, () => {
      const output = systemRandom.bytes(OUTPUT_BYTES);
      for (let bit = bits; bit < 8 * OUTPUT_BYTES; bit++) output[bit >> 3]! &= ~(0x80 >> (bit & 7));
      return output;
    }).toSorted((a, b) => Buffer.compare(a, b));
  const gathered = async (pieces: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    const parts: Buffer[] = [];
    for await (const piece of pieces) parts.push(Buffer.from(piece));
    return Buffer.concat(parts);
  };
  const streamed = async function* (bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size)
      yield Uint8Array.from(bytes.subarray(at, at + size));
  };

  it('decodes to what it was made of, in the bytes that were said', async () => {
    for (const [log, clientLog, pieceBytes] of [
      [0, 0, 5],
      [1, 3, 7],
      [5, 6, 64],
      [10, 10, 100],
      [12, 28, 4096],
    ] as const) {
      const shape = filterShape(2 ** log, 2 ** clientLog);
      expect(shape.outputBits).toBe(40 + log + clientLog);
      const outputs = Buffer.concat(outputsOf(2 ** log, shape.outputBits));
      const coded = await gathered(encodeFilter(shape, streamed(outputs, 48), pieceBytes));
      expect(coded.length).toBe(filterBytes(shape));
      expect(await gathered(decodeFilter(shape, streamed(coded, pieceBytes)))).toEqual(outputs);
    }
    // 2^18 against 2^10 with room for neither more nor less: 6.5 bytes an item.
    expect(filterBytes(filterShape(2 ** 18, 2 ** 10)) / 2 ** 18).toBe(6.5);
  });

  it('that was changed is refused, or is another filter whose digest differs', async () => {
    const shape = filterShape(32, 32);
    const outputs = Buffer.concat(outputsOf(32, shape.outputBits));
    const coded = await gathered(encodeFilter(shape, streamed(outputs, 48), 64));
    await expect(
      gathered(encodeFilter(shape, streamed(outputs.subarray(12), 48), 64)),
    ).rejects.toMatchObject({ code: 'length-wrong' });
    const refused = async (bytes: Uint8Array): Promise<boolean> => {
      try {
        return (
          Buffer.compare(await gathered(decodeFilter(shape, streamed(bytes, 50))), outputs) !== 0
        );
      } catch (error) {
        expect(error).toMatchObject({ code: 'message-malformed' });
        return true;
      }
    };
    expect(await refused(coded)).toBe(false);
    for (let bit = 0; bit < 8 * coded.length; bit += 3) {
      const changed = Buffer.from(coded);
      changed[bit >> 3]! ^= 0x80 >> (bit & 7);
      expect(await refused(changed)).toBe(true);
    }
    for (const bytes of [
      coded.subarray(1),
      coded.subarray(0, -1),
      Buffer.concat([coded, Buffer.alloc(1)]),
    ]) {
      await expect(gathered(decodeFilter(shape, streamed(bytes, 50)))).rejects.toMatchObject({
        code: 'message-malformed',
      });
    }
    await expect(
      gathered(decodeFilter(shape, streamed(Buffer.alloc(coded.length, 0xff), 10))),
    ).rejects.toMatchObject({ code: 'message-malformed' });
  });

  it('takes powers of two alone, of no more than there are bits for', () => {
    for (const [items, client] of [
      [3, 4],
      [0, 1],
      [2 ** 29, 2 ** 28],
    ] as const) {
      expect(() => filterShape(items, client)).toThrow(
        expect.objectContaining({ code: 'parameter-invalid' }),
      );
    }
  });
});

describe('whoever changes a message of an unbalanced match', () => {
  const ITEMS = numbered(0, 30);
  const lowOrder = (payload: Uint8Array): Uint8Array[] => {
    payload.fill(0, 8, 40);
    return [payload];
  };
  const twist = (payload: Uint8Array): Uint8Array[] => {
    payload.fill(0, 8, 40);
    payload[8] = 2;
    return [payload];
  };
  const cases: [string, Tap, string | RegExp][] = [
    ['a point of low order', change('receiver', 'oprf.points', 0, lowOrder), 'point-invalid'],
    ['a point of the twist', change('receiver', 'oprf.points', 0, twist), 'point-invalid'],
    ['an answer of low order', change('sender', 'oprf.evaluated', 1, lowOrder), 'point-invalid'],
    [
      'a point twice',
      change('receiver', 'oprf.points', 0, (payload) => {
        payload.copyWithin(40, 8, 40);
        return [payload];
      }),
      'point-repeated',
    ],
    ['a chunk twice', change('receiver', 'oprf.points', 0, (p) => [p, p]), 'message-unexpected'],
    ['an answer twice', change('sender', 'oprf.evaluated', 0, (p) => [p, p]), 'message-unexpected'],
    [
      'a chunk cut short',
      change('receiver', 'oprf.points', 2, (p) => [p.subarray(0, -1)]),
      'length-wrong',
    ],
    [
      'a filter cut short',
      change('sender', 'oprf.filter', 0, (p) => [p.subarray(0, -1)]),
      'length-wrong',
    ],
    [
      'a filter of other bits',
      change('sender', 'oprf.filter', 0, (p) => [p.with(20, (p[20] ?? 0) ^ 1)]),
      'transcript-mismatch',
    ],
    [
      'another context',
      change('sender', 'oprf.hello', 0, (p) => [p.with(20, (p[20] ?? 0) ^ 1)]),
      'transcript-mismatch',
    ],
    [
      'another role',
      change('receiver', 'oprf.hello', 0, (p) => [p.with(1, 1)]),
      'transcript-mismatch',
    ],
    [
      'a size that is no bucket',
      change('receiver', 'oprf.hello', 0, (p) => [p.with(8, 31)]),
      'length-wrong',
    ],
    [
      'too large a size',
      change('receiver', 'oprf.hello', 0, (p) => [p.with(8, 128)]),
      'set-too-large',
    ],
    ['a short hello', change('receiver', 'oprf.hello', 0, (p) => [p.subarray(1)]), 'length-wrong'],
  ];

  it.each(cases)('by %s ends it with its type', async (_name, tap, code) => {
    const filter = await filterOf(LARGE, numbered(20, 60));
    await expect(runOprf(OPRF, filter, ITEMS, { tap })).rejects.toMatchObject({ code });
    await expect(runOprf(OPRF, filter, ITEMS)).resolves.toMatchObject({ rows: numbered(20, 30) });
  });

  it('by an answer in the place of another, ends it where that makes a dummy a shared item', async () => {
    const filter = await filterOf({ ...LARGE, chunkItems: 64 }, numbered(0, 60));
    const params = { ...OPRF, chunkItems: 64 };
    const items = numbered(0, 20);
    // All items are shared: one place on, the answer to one of them meets one of the 12 dummies.
    const tap = change('sender', 'oprf.evaluated', 0, (payload) => {
      const records = payload.slice(8);
      payload.set(records.subarray(-32), 8);
      payload.set(records.subarray(0, -32), 40);
      return [payload];
    });
    await expect(runOprf(params, filter, items, { tap })).rejects.toMatchObject({
      code: 'message-malformed',
      message: expect.stringContaining('a dummy matched'),
    });
    await expect(runOprf(params, filter, items)).resolves.toMatchObject({ rows: items });
  });

  it('or a kept filter on the disk, is found out before anything is revealed', async () => {
    const filter = await filterOf(LARGE, numbered(20, 60));
    const kept = memoryKept();
    await runOprf(OPRF, filter, ITEMS, { kept });
    kept.pieces[0]![50]! ^= 1;
    await expect(runOprf(OPRF, filter, ITEMS, { kept })).rejects.toMatchObject({
      code: 'message-malformed',
    });
  });
});

describe('how far the making of a filter is', () => {
  it('is told by padded items alone, however few keys there are and whatever repeats', async () => {
    const told = async (items: readonly string[]): Promise<number[]> => {
      const done: number[] = [];
      const machine = {
        ...oprfMachine(),
        onProgress: (_: string, count: number) => done.push(count),
      };
      const params = { ...LARGE, duplicates: 'distinct', chunkItems: 2 } as const;
      const key = blindingSecret(systemRandom.bytes(32));
      await buildFilter(params, machine, digestsOf(items), key, async () => undefined);
      return done;
    };
    for (const items of [numbered(0, 1), numbered(0, 9), [...numbered(0, 9), ...numbered(0, 9)]]) {
      const done = await told(items);
      const size = items.length === 1 ? 1 : 16;
      expect(done).toEqual(
        Array.from({ length: Math.ceil(size / 2) }, (_, piece) => Math.min(size, 2 * piece + 2)),
      );
    }
    expect(await told([])).toEqual([1]);
  });
});

describe('what the sender sees of an unbalanced match', () => {
  it('is a padded size: the blinded points come in the order of their values', async () => {
    const filter = await filterOf(LARGE, ['x']);
    for (const [count, size] of [
      [0, 1],
      [5, 8],
      [9, 16],
    ] as const) {
      const { frames } = await runOprf(OPRF, filter, numbered(0, count));
      const points = frames
        .filter(({ kind }) => kind === 'oprf.points')
        .flatMap(({ payload }) =>
          Array.from({ length: (payload.length - 8) / 32 }, (_, i) =>
            Buffer.from(payload.subarray(8 + 32 * i, 40 + 32 * i)).toString('hex'),
          ),
        );
      expect(points).toHaveLength(size);
      expect(points).toEqual(points.toSorted());
    }
  });
});
