import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { LinkViolation } from '../../src/link/close-reason.ts';
import { decodeFrame, encodeFrame, isPlain } from '../../src/link/frame-codec.ts';
import { LinkFrameSchema } from '../../src/link/frames.ts';
import { FRAME_DEPTH_MAX, FRAME_ITEMS_MAX } from '../../src/link/limits.ts';

const key = fc.string().filter((name) => name !== '__proto__');
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    // Minus zero becomes zero, as in JSON.
    fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(key, tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

describe('frames as bytes', () => {
  it('come back as they went, whatever plain value they hold', () => {
    fc.assert(
      fc.property(value, (content) => {
        const bytes = encodeFrame(content);
        expect(isPlain(bytes)).toBe(true);
        expect(decodeFrame(z.unknown(), bytes)).toEqual(content);
      }),
      { numRuns: 300 },
    );
  });

  it('are refused when cut short or padded', () => {
    fc.assert(
      fc.property(value, fc.nat(), (content, at) => {
        const bytes = encodeFrame(content);
        expect(isPlain(bytes.slice(0, at % bytes.length))).toBe(false);
        expect(isPlain(Buffer.concat([bytes, Buffer.of(0xc0)]))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it('never do worse than a typed refusal, whatever the bytes', () => {
    const frame = encodeFrame({ t: 'request', n: 0, id: 0, method: 'a', body: { b: [1, 'c'] } });
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .array(fc.tuple(fc.nat(frame.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
        .map((turns) => {
          const bytes = frame.slice();
          for (const [at, byte] of turns) bytes[at] = byte;
          return bytes;
        }),
    );
    fc.assert(
      fc.property(garbage, (bytes) => {
        try {
          expect(decodeFrame(LinkFrameSchema, bytes)).toMatchObject({ n: expect.any(Number) });
        } catch (error) {
          expect(error).toBeInstanceOf(LinkViolation);
          expect(error).toMatchObject({ reason: 'frame-malformed' });
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('hold no extension: no record definition, typed array, date, or bundled string', () => {
    const loose = [
      new Packr({ useRecords: true }).pack({ a: 1 }),
      new Packr({ moreTypes: true }).pack(new Float64Array(2)),
      new Packr().pack(new Date(0)),
      new Packr({ moreTypes: true }).pack(new Set([1])),
      new Packr({ bundleStrings: true }).pack(['text', 'more text', 'and more of it']),
      Buffer.of(0xd4, 0x72, 0x40),
      Buffer.of(0xc7, 0x00, 0x01),
      Buffer.of(0xc1),
    ];
    for (const bytes of loose) expect(isPlain(bytes)).toBe(false);
    // The decoder by itself would have taken the record: the walk is what stops it.
    expect(new Packr({ useRecords: false }).unpack(loose[0] ?? Buffer.of())).toEqual({ a: 1 });
  });

  it('have string keys only', () => {
    expect(isPlain(Buffer.of(0x81, 0xa1, 0x61, 0x01))).toBe(true);
    expect(isPlain(Buffer.of(0x81, 0x01, 0x01))).toBe(false);
    expect(isPlain(Buffer.of(0x81, 0x90, 0x01))).toBe(false);
  });

  it('hold FRAME_ITEMS_MAX values and FRAME_DEPTH_MAX levels, not one more', () => {
    const flat = (items: number): Uint8Array =>
      encodeFrame(Array.from({ length: items - 1 }, () => 0));
    expect(isPlain(flat(FRAME_ITEMS_MAX))).toBe(true);
    expect(isPlain(flat(FRAME_ITEMS_MAX + 1))).toBe(false);
    const deep = (levels: number): Uint8Array =>
      Buffer.concat([Buffer.alloc(levels, 0x91), Buffer.of(0xc0)]);
    expect(isPlain(deep(FRAME_DEPTH_MAX))).toBe(true);
    expect(isPlain(deep(FRAME_DEPTH_MAX + 1))).toBe(false);
    // Counts that promise more than the bytes left are refused before anything is made room for.
    expect(isPlain(Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0))).toBe(false);
    expect(isPlain(Buffer.of(0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0))).toBe(false);
  });

  it('cannot reach a prototype', () => {
    const bytes = Buffer.concat([Buffer.of(0x81, 0xa9), Buffer.from('__proto__'), Buffer.of(0x80)]);
    const decoded: unknown = decodeFrame(z.unknown(), bytes);
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
    expect(() => decodeFrame(LinkFrameSchema, bytes)).toThrow(LinkViolation);
  });
});
