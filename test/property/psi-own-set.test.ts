import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluatePoints } from '../../protocols/psi/blind.ts';
import { ELEMENT_BYTES } from '../../protocols/psi/element.ts';
import { RAISED } from '../../protocols/psi/own-set.ts';
import { bucketOf } from '../../protocols/psi/params.ts';
import { probePoints } from '../../protocols/psi/probes.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { naiveShared, type PsiFrame, type Tap } from '../fixtures/psi.ts';
import { OWN, holderMachine, runOwnSet } from '../fixtures/own-set.ts';

const texts = fc.array(
  fc.oneof(fc.constantFrom('a', 'ä', '航班', ''), fc.string({ unit: 'grapheme' })),
  { maxLength: 30 },
);
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `id ${from + i}`);
const HOLDER = numbered(0, 30);
const ANALYST = numbered(20, 34);
const SIZES = { holderItems: 32, analystItems: 16 };

describe('an analyst’s own set against a holder', () => {
  it('counts as a naive reference does, for random sets and any room above them', async () => {
    await fc.assert(
      fc.asyncProperty(
        texts,
        texts,
        fc.nat(29),
        fc.nat(2),
        fc.nat(2),
        fc.integer({ min: 1, max: 20 }),
        async (held, own, common, more, further, chunkItems) => {
          const brought = [...own, ...held.slice(0, common)];
          const sizes = {
            holderItems: bucketOf(held.length) * 2 ** more,
            analystItems: bucketOf(brought.length) * 2 ** further,
          };
          const { shared } = await runOwnSet(held, brought, sizes, {
            params: { ...OWN, chunkItems },
          });
          expect(shared).toBe(naiveShared(held, brought, 'distinct'));
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    [0, 0],
    [1, 1],
    [32, 16],
    [31, 15],
    [17, 9],
  ])('counts %i against %i in the same room, and sends the same lengths', async (held, own) => {
    const { shared, frames } = await runOwnSet(numbered(0, held), numbered(0, own), SIZES);
    expect(shared).toBe(Math.min(held, own));
    const lengths = (from: PsiFrame['from']): string[] =>
      frames.filter((frame) => frame.from === from).map((f) => `${f.kind} ${f.payload.length}`);
    const full = await runOwnSet(HOLDER, ANALYST, SIZES);
    const same = (from: PsiFrame['from']): string[] =>
      full.frames
        .filter((frame) => frame.from === from)
        .map((f) => `${f.kind} ${f.payload.length}`);
    // Neither list’s length tells how many items are in it.
    expect(lengths('receiver')).toEqual(same('receiver'));
    expect(lengths('sender')).toEqual(same('sender'));
  });

  it.each([0, 1, 17, 32])('hashes, blinds and probes alike for a holder of %i', async (held) => {
    const work = { blinded: 0, probes: 0, evaluated: 0 };
    const { engine, probe } = holderMachine;
    const machine = {
      ...holderMachine,
      engine: {
        ...engine,
        blind: (elements: Uint8Array, secret: Uint8Array) => {
          work.blinded += elements.length / ELEMENT_BYTES;
          return engine.blind(elements, secret);
        },
        evaluate: (points: Uint8Array, secret: Uint8Array) => {
          work.evaluated += points.length / 32;
          return engine.evaluate(points, secret);
        },
      },
      probe: (range: Parameters<typeof probe>[0]) => {
        work.probes += range.count;
        return probe(range);
      },
    };
    await runOwnSet(numbered(0, held), ANALYST, SIZES, { machine });
    // Its room, hashed and blinded; as many probes, and what is due to them; the analyst's points.
    expect(work).toEqual({ blinded: 32, probes: 64, evaluated: 16 });
  });

  it('refuses a set beyond its room, on either side', async () => {
    const none = { code: 'set-too-large' };
    await expect(runOwnSet(numbered(0, 33), ANALYST, SIZES)).rejects.toMatchObject(none);
    await expect(runOwnSet(HOLDER, numbered(0, 17), SIZES)).rejects.toMatchObject(none);
  });
});

describe('a list of another length than was announced', () => {
  const withItems =
    (from: PsiFrame['from'], items: number): Tap =>
    (frame) => {
      if (frame.from !== from || frame.kind !== 'psi.hello') return [frame];
      const payload = frame.payload.slice();
      new DataView(payload.buffer).setUint32(8, items, true);
      return [{ ...frame, payload }];
    };

  it.each<[PsiFrame['from'], number, string]>([
    ['sender', 8, 'length-wrong'],
    ['sender', 32, 'set-too-large'],
    ['sender', 15, 'length-wrong'],
    ['receiver', 32, 'length-wrong'],
    ['receiver', 128, 'set-too-large'],
  ])('ends the run: the %s’s of %i', async (from, items, code) => {
    const run = runOwnSet(HOLDER, ANALYST, SIZES, { tap: withItems(from, items) });
    await expect(run).rejects.toMatchObject({ code });
  });
});

describe('probes', () => {
  it('are answered as the receiver works out, by native and portable code alike', () => {
    const context = new Uint8Array(32).fill(3);
    const seed = new Uint8Array(32).fill(9);
    const secret = new Uint8Array(32).fill(0x48);
    const range = { seed, first: 5, count: 4 };
    const atBase = { ...range, origin: { kind: 'base', context } } as const;
    const sent = probePoints(nativePrimitives, atBase);
    expect(probePoints(noblePrimitives, atBase)).toEqual(sent);
    const first = probePoints(nativePrimitives, { ...atBase, first: 6, count: 1 });
    expect(first).toEqual(sent.slice(32, 64));
    // β·(s·P) for a P that is itself a probe: any point of the group serves.
    const point = nativePrimitives.curve.multiply(secret, sent.slice(0, 32));
    const due = probePoints(nativePrimitives, { ...range, origin: { kind: 'raised', point } });
    const again = probePoints(nativePrimitives, {
      ...range,
      origin: { kind: 'raised', point: sent.slice(0, 32) },
    });
    const answers = evaluatePoints(nativePrimitives.curve, again, secret);
    for (let i = 0; i < 4; i++) {
      expect(answers.slice(i * 16, i * 16 + 16)).toEqual(due.slice(i * 32, i * 32 + 16));
    }
  });

  const swap = (kind: string, how: (payload: Uint8Array) => Uint8Array): Tap => {
    let isDone = false;
    return (frame) => {
      if (frame.from !== 'sender' || frame.kind !== kind || isDone) return [frame];
      isDone = true;
      return [{ ...frame, payload: how(frame.payload.slice()) }];
    };
  };

  it('catch an analyst that answers under another secret than it told', async () => {
    const other = nativePrimitives.curve.hashToCurve(new Uint8Array([1]), new Uint8Array(1), 1, 1);
    const tap = swap(RAISED, () => other);
    const run = runOwnSet(HOLDER, ANALYST, SIZES, { tap });
    await expect(run).rejects.toMatchObject({ code: 'probe-missing' });
  });

  it.each([
    ['of low order', new Uint8Array(32)],
    ['on the twist', Uint8Array.of(2, ...new Uint8Array(31))],
    ['not canonical', new Uint8Array(32).fill(0xff)],
    ['too short', new Uint8Array(31)],
  ])('refuse a raised base that is %s', async (_, bytes) => {
    const tap = swap(RAISED, () => Uint8Array.from(bytes));
    const run = runOwnSet(HOLDER, ANALYST, SIZES, { tap });
    await expect(run).rejects.toMatchObject({
      code: bytes.length === 32 ? 'point-invalid' : 'length-wrong',
    });
  });
});
