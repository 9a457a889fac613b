import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import {
  encodeFrame,
  encodeMaps,
  encodeSeed,
  FRAME_HEADER_BYTES,
  frameCount,
  parseFrame,
  parseMaps,
  parseSeed,
} from '../../protocols/secure-sum/messages.ts';
import {
  BLOCK_BYTES,
  blockCount,
  blockRange,
  bodyBytes,
  cellBytes,
  CELLS_MAX,
  cellsPerBlock,
  countsLayout,
  FRAME_BODY_BYTES,
  measuresLayout,
  sections,
} from '../../protocols/secure-sum/params.ts';

const MESSAGE_BYTES_MAX = 262_144;
const layoutArbitrary = fc
  .tuple(
    fc.integer({ min: 1, max: 300_000 }),
    fc.array(fc.boolean(), { maxLength: 16 }),
    fc.boolean(),
  )
  .map(([cells, squares, isFirst]) =>
    isFirst ? countsLayout(cells, squares.length + 1) : measuresLayout(cells, squares),
  );

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

describe('blocks', () => {
  it('cover every cell once, within the stated memory, aligned for the key stream', () => {
    fc.assert(
      fc.property(layoutArbitrary, (layout) => {
        let next = 0;
        for (let block = 0; block < blockCount(layout); block++) {
          const { start, end } = blockRange(layout, block);
          expect(start).toBe(next);
          expect(end).toBeGreaterThan(start);
          next = end;
          const parts = sections(layout, block);
          const length = parts.reduce((sum, part) => sum + part.length, 0);
          expect(length).toBe(bodyBytes(layout, block));
          expect(length).toBe((end - start) * cellBytes(layout));
          expect(length).toBeLessThanOrEqual(BLOCK_BYTES);
        }
        expect(next).toBe(layout.cells);
        expect(codeOf(() => blockRange(layout, blockCount(layout)))).toBe('parameter-invalid');
      }),
      { numRuns: 60 },
    );
  });

  it('refuse no cells, too many cells and too many vectors', () => {
    expect(codeOf(() => countsLayout(0, 1))).toBe('set-too-large');
    expect(codeOf(() => countsLayout(CELLS_MAX, 1))).toBeUndefined();
    expect(codeOf(() => countsLayout(CELLS_MAX + 1, 1))).toBe('set-too-large');
    const columns = (count: number) => Array.from({ length: count }, () => true);
    expect(codeOf(() => measuresLayout(1, columns(16)))).toBeUndefined();
    expect(codeOf(() => measuresLayout(1, columns(17)))).toBe('set-too-large');
  });
});

describe('frames', () => {
  it('carry a body there and back, each below the size a link takes', () => {
    fc.assert(
      fc.property(layoutArbitrary, fc.nat(), (layout, pick) => {
        const block = pick % blockCount(layout);
        const body = Uint8Array.from({ length: bodyBytes(layout, block) }, (_, at) => at * 7);
        const back = new Uint8Array(body.length);
        for (let frame = 0; frame < frameCount(layout, block); frame++) {
          const message = encodeFrame(layout, block, frame, body);
          expect(message.length).toBeLessThanOrEqual(FRAME_HEADER_BYTES + FRAME_BODY_BYTES);
          expect(message.length).toBeLessThan(MESSAGE_BYTES_MAX);
          parseFrame(layout, block, frame, message, back);
        }
        expect(Buffer.compare(back, body)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  const layout = measuresLayout(cellsPerBlock(measuresLayout(1, [])) + 5, []);
  const body = new Uint8Array(bodyBytes(layout, 0));
  const message = encodeFrame(layout, 0, 1, body);

  it('of another round, block, position, version or length are refused', () => {
    const into = new Uint8Array(body.length);
    const parse = (bytes: Uint8Array, block = 0, frame = 1) =>
      codeOf(() => parseFrame(layout, block, frame, bytes, into));
    expect(parse(message)).toBeUndefined();
    expect(parse(message, 0, 2)).toBe('message-unexpected');
    expect(parse(message, 1, 0)).toBe('length-wrong');
    expect(parse(message, 0, frameCount(layout, 0))).toBe('parameter-invalid');
    const other = countsLayout(layout.cells, 1);
    expect(codeOf(() => parseFrame(other, 0, 1, message, into))).toBe('message-unexpected');
    for (let bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
      const flipped = message.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(parse(flipped)).toMatch(/^message-(malformed|unexpected)$/);
    }
    for (const length of [0, 1, FRAME_HEADER_BYTES, message.length - 1]) {
      expect(parse(message.subarray(0, length))).toBe('length-wrong');
    }
    expect(parse(new Uint8Array(message.length + 1))).toBe('length-wrong');
    expect(into.every((byte) => byte === 0)).toBe(true);
  });

  it('of random bytes never parse and never fail untyped', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 1, max: 4 }),
        (bytes, count) => {
          const into = new Uint8Array(body.length);
          expect(codeOf(() => parseFrame(layout, 0, 0, bytes, into))).toBe('length-wrong');
          expect(codeOf(() => parseSeed(bytes))).toMatch(/^(length-wrong|message-malformed)$/);
          expect(codeOf(() => parseMaps(bytes, count))).toMatch(
            /^(length-wrong|message-malformed)$/,
          );
        },
      ),
    );
  });
});

describe('seed and statements', () => {
  it('go there and back, and at exact lengths only', () => {
    const seed = new Uint8Array(32).fill(9);
    const message = encodeSeed(seed);
    expect(parseSeed(message)).toEqual(seed);
    expect(codeOf(() => parseSeed(message.subarray(1)))).toBe('length-wrong');
    expect(codeOf(() => parseSeed(new Uint8Array(message.length)))).toBe('message-malformed');
    expect(codeOf(() => encodeSeed(seed.subarray(1)))).toBe('length-wrong');
    const statements = [1, 2, 3].map((fill) => ({
      hash: new Uint8Array(32).fill(fill),
      signature: new Uint8Array(64).fill(fill),
    }));
    const maps = encodeMaps(statements);
    expect(parseMaps(maps, 3)).toEqual(statements);
    expect(codeOf(() => parseMaps(maps, 2))).toBe('length-wrong');
    expect(codeOf(() => parseMaps(maps.fill(0, 0, 4), 3))).toBe('message-malformed');
  });
});
