import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { lpn, runVole, seededBytes, texts, type VoleOptions } from '../fixtures/psi-vole.ts';
import type { PsiFrame, Tap } from '../fixtures/psi.ts';

/** Chunks of 8192: two of the vector, two of outputs. */
const SENDER = texts(0, 9000);
const RECEIVER = texts(4500, 13_500);
const SHARED = new Set(texts(4500, 9000));

const run = (tap: Tap, options: VoleOptions = {}) => runVole(SENDER, RECEIVER, { ...options, tap });

/** Changes the `nth` frame of all, whoever sent it. */
function change(nth: number, how: (frame: PsiFrame) => readonly PsiFrame[]): Tap {
  let seen = 0;
  return (frame) => (seen++ === nth ? how(frame) : [frame]);
}

/** An abort with a code, or an answer without an item that is not shared. */
async function expectAbortOrNoFalseMatch(
  tap: Tap,
  options?: VoleOptions,
): Promise<'abort' | 'answer'> {
  try {
    const { shared } = await run(tap, options);
    expect(shared.every((item) => SHARED.has(item))).toBe(true);
    return 'answer';
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return 'abort';
  }
}

async function expectAbort(tap: Tap): Promise<void> {
  await expect(run(tap)).rejects.toThrow(ProtocolError);
}

const untouched = await run((frame) => [frame]);
const kinds = untouched.frames.map(({ kind }) => kind);
const each = kinds.map((kind, nth) => [kind, nth] as const);

describe('an untouched run', () => {
  it('ends with the answer: what the cases below take away', () => {
    expect(untouched.shared).toEqual([...SHARED]);
    expect(kinds.toSorted()).toEqual(
      [
        ...Array<string>(2).fill('psi.vole-hello'),
        ...Array<string>(2).fill('psi.vole-masked'),
        ...Array<string>(2).fill('psi.vole-outputs'),
        'psi.vole-start',
      ].toSorted(),
    );
  });
});

describe.each(each)('a %s (message %i) ends the run', (_kind, nth) => {
  it('when it is cut short or made longer', async () => {
    for (const cut of [0, 7]) {
      await expectAbort(
        change(nth, (frame) => [{ ...frame, payload: frame.payload.slice(0, cut) }]),
      );
    }
    await expectAbort(change(nth, (frame) => [{ ...frame, payload: frame.payload.slice(0, -1) }]));
    await expectAbort(
      change(nth, (frame) => [
        { ...frame, payload: new Uint8Array(Buffer.concat([frame.payload, Buffer.of(0)])) },
      ]),
    );
  });
});

describe('chunks of a list', () => {
  it.each(['psi.vole-masked', 'psi.vole-outputs'])('%s: in another order', async (kind) => {
    let held: PsiFrame | undefined;
    await expectAbort((frame) => {
      if (frame.kind !== kind) return [frame];
      if (held !== undefined) return [frame, held];
      held = frame;
      return [];
    });
  });

  it.each(['psi.vole-masked', 'psi.vole-outputs'])('%s: one twice', async (kind) => {
    let seen = 0;
    await expectAbort((frame) => (frame.kind === kind && seen++ === 0 ? [frame, frame] : [frame]));
  });

  it('outputs out of order, or one twice', async () => {
    const swap = (from: number, to: number): Tap =>
      change(kinds.indexOf('psi.vole-outputs'), (frame) => {
        const payload = frame.payload.slice();
        const [a, b] = [from, to].map((place) => payload.slice(8 + place * 9, 8 + place * 9 + 9));
        payload.set(b ?? [], 8 + from * 9);
        payload.set(from === to - 1 ? (b ?? []) : (a ?? []), 8 + to * 9);
        return [{ ...frame, payload }];
      });
    // The last one: a swap. The first: the second output in place of both.
    await expect(run(swap(3, 900))).rejects.toMatchObject({ code: 'message-malformed' });
    await expect(run(swap(3, 4))).rejects.toMatchObject({ code: 'point-repeated' });
  });
});

describe('a bit that flips on the way', () => {
  const flip = (nth: number, at: (payload: Uint8Array) => number): Tap =>
    change(nth, (frame) => {
      const payload = frame.payload.slice();
      const place = at(payload);
      payload[place] = (payload[place] ?? 0) ^ 4;
      return [{ ...frame, payload }];
    });

  it.each(each)('in a %s (message %i) never makes a false match', async (_kind, nth) => {
    const outcomes = [];
    for (const place of [0, 9, 40]) {
      const at = (payload: Uint8Array): number => Math.min(place, payload.length - 1);
      outcomes.push(await expectAbortOrNoFalseMatch(flip(nth, at)));
    }
    expect(outcomes).toContain('abort');
  });

  it('in any message of the correlation ends the run', async () => {
    const correlators = [lpn(), lpn()] as const;
    const small = { correlators };
    const all = await runVole(texts(0, 30), texts(10, 40), small);
    const own = all.frames.entries().filter(([, { kind }]) => kind.startsWith('vole.'));
    const numbers = [...own].map(([nth]) => nth);
    expect(numbers.length).toBeGreaterThan(4);
    for (const nth of numbers) {
      const tap = flip(nth, (payload) => payload.length >> 1);
      await expect(runVole(texts(0, 30), texts(10, 40), { ...small, tap })).rejects.toThrow(
        ProtocolError,
      );
    }
  });
});

describe('what both sides have', () => {
  it('must be found: a run that went wrong is not an empty answer', async () => {
    // Every output another one, still ascending.
    const tap: Tap = (frame) => {
      if (frame.kind !== 'psi.vole-outputs') return [frame];
      const payload = frame.payload.slice();
      for (let at = 16; at < payload.length; at += 9) payload[at] = (payload[at] ?? 0) ^ 1;
      return [{ ...frame, payload }];
    };
    await expect(run(tap)).rejects.toMatchObject({ code: 'transcript-mismatch' });
  });

  it('is no dummy: a sender that has the receiver’s ends the run', async () => {
    // Parts are filled up: with the same dummies where both draw the same bytes each time.
    const randomBytes = (count: number): Uint8Array => seededBytes('same')(count);
    const options = { params: { partItemsMax: 16 } };
    const [sender, receiver] = [texts(0, 60), texts(30, 90)];
    const same = { senderMachine: { randomBytes }, receiverMachine: { randomBytes } };
    await expect(runVole(sender, receiver, { ...options, ...same })).rejects.toMatchObject({
      code: 'transcript-mismatch',
      message: 'a dummy matched',
    });
    const { shared } = await runVole(sender, receiver, {
      ...options,
      receiverMachine: { randomBytes },
    });
    expect(shared).toEqual(texts(30, 60));
  });

  it.each([
    ['context', { context: new Uint8Array(32) }],
    ['duplicates rule', { duplicates: 'multiplicity' }],
    ['chunk size', { chunkItems: 16 }],
    ['part size', { partItemsMax: 4 }],
  ] as const)('is agreed first: another %s ends the run', async (_name, params) => {
    const other = await runVole(texts(0, 8), texts(0, 8), { params });
    const hello = other.frames.find(
      ({ from, kind }) => from === 'sender' && kind === 'psi.vole-hello',
    );
    const tap: Tap = (frame) =>
      frame.from === 'sender' && frame.kind === 'psi.vole-hello' && hello !== undefined
        ? [hello]
        : [frame];
    await expect(runVole(texts(0, 8), texts(0, 8), { tap })).rejects.toMatchObject({
      code: 'transcript-mismatch',
    });
  });
});
