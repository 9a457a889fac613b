import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LOW_ORDER_U, nobleCurve } from '../../protocols/common/noble-curve.ts';
import type { CurvePrimitive, Primitives } from '../../protocols/common/primitives.ts';
import {
  chooseTransfers,
  deriveTransfers,
  offerTransfers,
} from '../../protocols/psi/vole/base-ot.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';

const P = 2n ** 255n - 19n;
/** Five times the order of the prime subgroup, less one: clamped, and −1 to that subgroup. */
const MINUS_ONE = 5n * (2n ** 252n + 27742317777372353535851937790883648493n) - 1n;
const SESSION = new Uint8Array(32).fill(3);
const COUNT = 256;

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const part = (list: Uint8Array, i: number, size = 32): Uint8Array =>
  list.subarray(i * size, (i + 1) * size);
const bitOf = (choices: Uint8Array, i: number): number => ((choices[i >> 3] ?? 0) >> (i & 7)) & 1;
const { curve } = nativePrimitives;

function encode(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

function transfer(choices: Uint8Array, primitives: Primitives = nativePrimitives) {
  const offer = offerTransfers(primitives, bytes);
  const chosen = chooseTransfers(primitives, bytes, SESSION, offer.point, choices);
  const message = chosen.message.slice();
  const keys = deriveTransfers(primitives, SESSION, offer, message, choices.length * 8);
  return { chosen, keys, message, offer };
}

/** The primitives with something of the curve done wrong. */
function withCurve(change: Partial<CurvePrimitive>): Primitives {
  return { ...nativePrimitives, curve: { ...curve, ...change } };
}

/** How many of the strings stand for points of the prime subgroup: an eighth where all is well. */
function inSubgroup(strings: readonly Uint8Array[]): number {
  const points = curve.fromRepresentatives(Buffer.concat(strings));
  return strings.filter((_, i) => {
    const point = part(points, i);
    return hex(curve.multiply(encode(MINUS_ONE), point)) === hex(point);
  }).length;
}

describe('base transfers', () => {
  it('give the chooser the key of its bit, and not the other', () => {
    const choices = bytes(COUNT / 8);
    const { chosen, keys } = transfer(choices);
    const seen = new Set<string>();
    for (let i = 0; i < COUNT; i++) {
      const bit = bitOf(choices, i) as 0 | 1;
      expect(hex(part(chosen.keys, i))).toBe(hex(part(keys[bit], i)));
      expect(hex(part(chosen.keys, i))).not.toBe(hex(part(keys[bit === 0 ? 1 : 0], i)));
      seen.add(hex(part(keys[0], i))).add(hex(part(keys[1], i)));
    }
    expect(seen.size).toBe(2 * COUNT);
  });

  it('never repeat a key, a string or an offer', () => {
    const choices = new Uint8Array(4);
    const seen = new Set<string>();
    for (let run = 0; run < 20; run++) {
      const { keys, message, offer } = transfer(choices);
      for (let i = 0; i < 32; i++) seen.add(hex(part(keys[0], i))).add(hex(part(keys[1], i)));
      for (let i = 0; i < 64; i++) seen.add(hex(part(message, i)));
      seen.add(hex(offer.point));
    }
    expect(seen.size).toBe(20 * 129);
  });

  it('show no choice: made and drawn strings lie in all cosets alike, and every bit is even', () => {
    const choices = bytes(COUNT / 8);
    const strings = (primitives?: Primitives): [Uint8Array[], Uint8Array[]] => {
      const { message } = transfer(choices, primitives);
      const lists = unmasked(message);
      const [made, drawn]: [Uint8Array[], Uint8Array[]] = [[], []];
      for (let i = 0; i < COUNT; i++) {
        const bit = bitOf(choices, i);
        made.push(part(lists[bit] ?? message, i));
        drawn.push(part(lists[1 - bit] ?? message, i));
      }
      return [made, drawn];
    };
    const [made, drawn] = strings();
    // An eighth of 256 is 32, six deviations are 32.
    expect(inSubgroup(made)).toBeLessThan(64);
    expect(inSubgroup(drawn)).toBeLessThan(64);
    // The control: a chooser that adds no point of low order shows every choice.
    const plain = withCurve({
      toRepresentatives: (points, tweaks) =>
        curve.toRepresentatives(
          points,
          tweaks.map((tweak) => tweak & ~7),
        ),
    });
    expect(inSubgroup(strings(plain)[0])).toBe(COUNT);
    const onesPerBit = (list: readonly Uint8Array[]): number[] =>
      Array.from({ length: 256 }, (_, bit) =>
        list.reduce((sum, string) => sum + bitOf(string, bit), 0),
      );
    const worst = (list: readonly Uint8Array[]): number =>
      Math.max(...onesPerBit(list).map((ones) => Math.abs(ones - COUNT / 2)));
    // Six deviations of 8; and the control, strings whose unused bits were left zero.
    expect(worst(made)).toBeLessThan(48);
    expect(worst(drawn)).toBeLessThan(48);
    const bare = withCurve({
      toRepresentatives: (points, tweaks) =>
        curve.toRepresentatives(
          points,
          tweaks.map((tweak) => tweak & 0x3f),
        ),
    });
    expect(worst(strings(bare)[0])).toBe(COUNT / 2);
  });

  it('send the same distribution for either bit: first strings of both are even in every bit', () => {
    for (const choice of [0x00, 0xff]) {
      const { message } = transfer(new Uint8Array(COUNT / 8).fill(choice));
      for (let bit = 0; bit < 512; bit++) {
        let ones = 0;
        for (let i = 0; i < COUNT; i++) ones += bitOf(part(message, i, 64), bit);
        expect(Math.abs(ones - COUNT / 2)).toBeLessThan(52);
      }
    }
  });

  it('bind each key to session, place, offer and both strings', () => {
    const choices = new Uint8Array(1);
    const again = (
      change: (message: Uint8Array) => void,
      session: Uint8Array = SESSION,
    ): number => {
      const offer = offerTransfers(nativePrimitives, bytes);
      const run = chooseTransfers(nativePrimitives, bytes, session, offer.point, choices);
      const altered: Uint8Array = new Uint8Array(run.message);
      change(altered);
      const [zeros] = deriveTransfers(nativePrimitives, SESSION, offer, altered, 8);
      return Array.from({ length: 8 }, (_, i) => i).filter(
        (i) => hex(part(zeros, i)) === hex(part(run.keys, i)),
      ).length;
    };
    expect(again(() => {})).toBe(8);
    expect(again(() => {}, bytes(32))).toBe(0);
    // A bit of either string of the third pair.
    for (const at of [2 * 64, 2 * 64 + 32]) {
      expect(
        again((altered) => {
          altered[at] = (altered[at] ?? 0) ^ 1;
        }),
      ).toBe(7);
    }
    expect(
      again((altered) => {
        const first = new Uint8Array(altered.slice(0, 64));
        altered.copyWithin(0, 64, 128);
        altered.set(first, 64);
      }),
    ).toBe(6);
  });

  it.each([
    ['of low order', LOW_ORDER_U.map(encode)],
    ['on the twist', [encode(2n)]],
    ['not canonical', [encode(P + 9n), encode(9n + 2n ** 255n)]],
  ])('refuse an offer %s', (_, offers) => {
    for (const offer of offers) {
      for (const primitives of [nativePrimitives, withCurve(nobleCurve)]) {
        expect(() => chooseTransfers(primitives, bytes, SESSION, offer, new Uint8Array(1))).toThrow(
          expect.objectContaining({ code: 'point-invalid' }),
        );
      }
    }
  });

  it('refuse messages of another length', () => {
    const offer = offerTransfers(nativePrimitives, bytes);
    for (const size of [0, 31, 33]) {
      const short = new Uint8Array(size);
      expect(() =>
        chooseTransfers(nativePrimitives, bytes, SESSION, short, new Uint8Array(1)),
      ).toThrow(expect.objectContaining({ code: 'length-wrong' }));
    }
    expect(() => deriveTransfers(nativePrimitives, SESSION, offer, new Uint8Array(511), 8)).toThrow(
      expect.objectContaining({ code: 'length-wrong' }),
    );
  });
});

/** The strings of a message without their masks, as the offerer computes them, by their bit. */
function unmasked(message: Uint8Array): readonly Uint8Array[] {
  const seen: Uint8Array[] = [];
  const spy = withCurve({
    fromRepresentatives(strings) {
      seen.push(strings.slice());
      return curve.fromRepresentatives(strings);
    },
  });
  deriveTransfers(spy, SESSION, offerTransfers(spy, bytes), message, message.length / 64);
  return seen;
}
