import { describe, expect, it } from 'vitest';
import { LOW_ORDER_U } from '../../protocols/common/noble-curve.ts';
import { evaluatePoints } from '../../protocols/psi/blind.ts';
import type { PsiParams } from '../../protocols/psi/params.ts';
import { nativeCurve } from '../../workers/native-curve.ts';
import { PARAMS, runPsi, type PsiFrame, type Tap } from '../fixtures/psi.ts';

const P = 2n ** 255n - 19n;
const ITEMS = Array.from({ length: 30 }, (_, i) => `item ${i}`);
const OTHERS = Array.from({ length: 30 }, (_, i) => `item ${i + 15}`);
/** 32 padded items in chunks of 8: four points chunks and four evaluated ones. */
const CHUNKS = 4;
const HEAD = 8;

function encode(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}
/** Changes the `nth` frame of one kind and sender. */
function change(
  from: PsiFrame['from'],
  kind: string,
  nth: number,
  how: (frame: PsiFrame) => readonly PsiFrame[],
): Tap {
  let seen = 0;
  return (frame) =>
    frame.from === from && frame.kind === kind && seen++ === nth ? how(frame) : [frame];
}
const edit =
  (how: (payload: Uint8Array) => Uint8Array) =>
  (frame: PsiFrame): readonly PsiFrame[] => [{ ...frame, payload: how(frame.payload.slice()) }];
const write =
  (bytes: Uint8Array, at: number) =>
  (payload: Uint8Array): Uint8Array => {
    payload.set(bytes, at);
    return payload;
  };
const run = (tap: Tap, params: PsiParams = PARAMS): Promise<unknown> =>
  runPsi(params, ITEMS, OTHERS, { tap });

const lists: [PsiFrame['from'], string][] = [
  ['sender', 'psi.points'],
  ['receiver', 'psi.points'],
  ['sender', 'psi.evaluated'],
];

describe('an untouched run', () => {
  it('ends with the answer: what the cases below take away', async () => {
    const { outcome, frames } = await runPsi(PARAMS, ITEMS, OTHERS);
    expect(outcome.shared).toBe(15);
    for (const [from, kind] of lists) {
      expect(frames.filter((frame) => frame.from === from && frame.kind === kind)).toHaveLength(
        CHUNKS,
      );
    }
  });
});

describe.each(lists)('a list of the %s (%s) ends the run', (from, kind) => {
  const recordBytes = kind === 'psi.points' ? 32 : 16;

  it('when a chunk is replayed, reordered or left out', async () => {
    const twice = change(from, kind, 1, (frame) => [frame, frame]);
    await expect(run(twice)).rejects.toMatchObject({ code: 'message-unexpected' });
    let held: PsiFrame | undefined;
    const reordered: Tap = (frame) => {
      if (frame.from !== from || frame.kind !== kind) return [frame];
      if (held === undefined) {
        held = frame;
        return [];
      }
      const first = held;
      held = { ...frame, kind: 'gone' };
      return first.kind === 'gone' ? [frame] : [frame, first];
    };
    await expect(run(reordered)).rejects.toMatchObject({ code: 'message-unexpected' });
    const missing = change(from, kind, 1, () => []);
    await expect(run(missing)).rejects.toMatchObject({ code: 'message-unexpected' });
  });

  it('when a chunk is truncated, too long, or of a wrong count', async () => {
    for (const cut of [1, recordBytes]) {
      const short = change(
        from,
        kind,
        2,
        edit((payload) => payload.slice(0, -cut)),
      );
      await expect(run(short)).rejects.toMatchObject({ code: 'length-wrong' });
    }
    const empty = change(
      from,
      kind,
      0,
      edit(() => new Uint8Array(3)),
    );
    await expect(run(empty)).rejects.toMatchObject({ code: 'length-wrong' });
    const long = change(
      from,
      kind,
      3,
      edit((payload) => new Uint8Array([...payload, 0])),
    );
    await expect(run(long)).rejects.toMatchObject({ code: 'length-wrong' });
    const count = change(from, kind, 0, edit(write(new Uint8Array([7, 0, 0, 0]), 4)));
    await expect(run(count)).rejects.toMatchObject({ code: 'length-wrong' });
  });

  it('when a point is repeated, within a chunk or across chunks', async () => {
    const within = change(
      from,
      kind,
      1,
      edit((payload) =>
        write(payload.slice(HEAD, HEAD + recordBytes), HEAD + recordBytes)(payload),
      ),
    );
    let last: Uint8Array | undefined;
    const across: Tap = (frame) => {
      if (frame.from !== from || frame.kind !== kind) return [frame];
      const sent = last;
      last = frame.payload.slice(-recordBytes);
      return sent === undefined ? [frame] : edit(write(sent, HEAD))(frame);
    };
    const code = params();
    for (const tap of [within, across]) {
      await expect(run(tap, code)).rejects.toMatchObject({ code: 'point-repeated' });
    }
  });

  it('when points are out of order', async () => {
    const swapped = change(
      from,
      kind,
      0,
      edit((payload) => {
        const [first, second] = [0, 1].map((i) =>
          payload.slice(HEAD + i * recordBytes, HEAD + (i + 1) * recordBytes),
        );
        write(second ?? payload, HEAD)(payload);
        return write(first ?? payload, HEAD + recordBytes)(payload);
      }),
    );
    await expect(run(swapped, params())).rejects.toMatchObject({ code: 'message-malformed' });
  });

  /** Evaluated points are in order only where their places must tell nothing. */
  function params(): PsiParams {
    return { ...PARAMS, mode: 'cardinality' };
  }
});

describe.each(['sender', 'receiver'] as const)('a bad point of the %s ends the run', (from) => {
  const twist = encode(2n);
  const bad: [string, Uint8Array][] = [
    ['on the twist', twist],
    ['not canonical', encode(P + 3n)],
    ['the top bit set', encode(2n ** 255n + 9n)],
    ...LOW_ORDER_U.map((u, i): [string, Uint8Array] => [`of low order ${i}`, encode(u)]),
  ];

  it.each(bad)('%s', async (_name, point) => {
    // At the place in the order where it belongs, so that the order is not what ends the run.
    const place = change(from, 'psi.points', 0, (frame) => edit(insert(point))(frame));
    await expect(run(place)).rejects.toMatchObject({ code: 'point-invalid' });
  });

  /** Puts the point among those of its chunk, in order. */
  function insert(point: Uint8Array): (payload: Uint8Array) => Uint8Array {
    return (payload) => {
      const points = Array.from(
        { length: 8 },
        (_, i): Uint8Array => payload.slice(HEAD + 32 * i, HEAD + 32 * i + 32),
      );
      points[3] = point;
      points.sort((a, b) => Buffer.compare(a, b));
      points.forEach((each, i) => payload.set(each, HEAD + 32 * i));
      return payload;
    };
  }
});

describe('an answer that comes in the place of another', () => {
  it('ends the run where it makes one of the receiver’s dummies a shared item', async () => {
    const params = { ...PARAMS, mode: 'intersection', chunkItems: 64 } as const;
    const items = ITEMS.slice(0, 20);
    // All items are shared: one place on, the answer to one of them meets a dummy.
    const rotated = edit((payload) => {
      const records = payload.slice(HEAD);
      payload.set(records.subarray(-16), HEAD);
      payload.set(records.subarray(0, -16), HEAD + 16);
      return payload;
    });
    const tap = change('sender', 'psi.evaluated', 0, rotated);
    await expect(runPsi(params, ITEMS, items, { tap })).rejects.toMatchObject({
      code: 'message-malformed',
      message: expect.stringContaining('a dummy matched'),
    });
    const { outcome } = await runPsi(params, ITEMS, items);
    expect([...(outcome.rows ?? [])]).toEqual(items.map((_, row) => row));
  });
});

describe('greetings', () => {
  it.each([
    ['version', 0],
    ['mode', 1],
    ['duplicates', 2],
    ['role', 3],
    ['chunk size', 4],
    ['noise', 12],
    ['context', 20],
  ])('with another %s end the run', async (_name, at) => {
    for (const from of ['sender', 'receiver'] as const) {
      const tap = change(
        from,
        'psi.hello',
        0,
        edit((p) => write(new Uint8Array([p[at]! ^ 1]), at)(p)),
      );
      await expect(run(tap)).rejects.toMatchObject({ code: 'transcript-mismatch' });
    }
  });

  it('cut short, or for a set that is not padded, end the run', async () => {
    const cut = change(
      'sender',
      'psi.hello',
      0,
      edit((payload) => payload.slice(1)),
    );
    await expect(run(cut)).rejects.toMatchObject({ code: 'length-wrong' });
    const odd = change('sender', 'psi.hello', 0, edit(write(new Uint8Array([31]), 8)));
    await expect(run(odd)).rejects.toMatchObject({ code: 'length-wrong' });
  });
});

describe('twins that differ in a low-order part', () => {
  // u and 1/u differ by the point of order two: (x, y) + (0, 0) = (1/x, −y/x²).
  const inverse = (u: Uint8Array): Uint8Array => {
    let value = 0n;
    for (let i = 31; i >= 0; i--) value = (value << 8n) | BigInt(u[i] ?? 0);
    let [power, base, exponent] = [1n, value, P - 2n];
    for (; exponent > 0n; exponent >>= 1n, base = (base * base) % P) {
      if (exponent & 1n) power = (power * base) % P;
    }
    return encode(power);
  };
  /** The second of a party's points becomes the first one's twin. */
  const twinned = (from: PsiFrame['from']): Tap => {
    const twin = edit((payload) => {
      const points = Array.from(
        { length: 32 },
        (_, i): Uint8Array => payload.slice(HEAD + 32 * i, HEAD + 32 * i + 32),
      );
      points[1] = inverse(points[0]!);
      points.sort((a, b) => Buffer.compare(a, b));
      points.forEach((each, i) => payload.set(each, HEAD + 32 * i));
      return payload;
    });
    return (frame) => (frame.from === from && frame.kind === 'psi.points' ? twin(frame) : [frame]);
  };

  it('pass as points, become equal under a blind, and end a cardinality run before any answer', async () => {
    const secret = new Uint8Array(32).fill(64);
    const point = nativeCurve.hashToCurve(new Uint8Array([1]), new Uint8Array([5]), 1, 1);
    const twin = inverse(point);
    expect(twin).not.toEqual(point);
    expect(evaluatePoints(nativeCurve, twin, secret)).toEqual(
      evaluatePoints(nativeCurve, point, secret),
    );
    const frames: PsiFrame[] = [];
    const params = { ...PARAMS, chunkItems: 64 };
    const withTwins = twinned('receiver');
    const tap: Tap = (frame, position) => {
      frames.push(frame);
      return withTwins(frame, position);
    };
    await expect(runPsi(params, ITEMS, OTHERS, { tap })).rejects.toMatchObject({
      code: 'point-repeated',
    });
    expect(frames.filter((frame) => frame.kind === 'psi.evaluated')).toHaveLength(0);
  });

  it.each(['cardinality', 'intersection'] as const)(
    'of the sender end a run (%s) without a result: no item of its counts twice',
    async (mode) => {
      const params = { ...PARAMS, mode, chunkItems: 64 };
      await expect(run(twinned('sender'), params)).rejects.toMatchObject({
        code: 'point-repeated',
      });
    },
  );
});
