import { deflateSync, gzipSync, brotliCompressSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { findCanaries, needlesOf } from '../e2e/support/canary.ts';

const NUMBER = 5_172_839_401_663n;
const SMALL = 1_234_567_891n;
const TEXT = 'canary-Qx7-留痕';

describe('canary search', () => {
  for (const canary of [NUMBER, SMALL, TEXT]) {
    for (const { encoding, bytes } of needlesOf(canary)) {
      it(`sees ${String(canary)} leaking as ${encoding}`, () => {
        const haystack = Buffer.concat([randomBytes(1000), bytes, randomBytes(1000)]);
        expect(findCanaries([canary], haystack, 'x').map((f) => f.encoding)).toContain(encoding);
      });
    }
  }

  it('sees base64 at any alignment', () => {
    for (let shift = 0; shift < 6; shift += 1) {
      const raw = Buffer.concat([randomBytes(shift), Buffer.from(TEXT), randomBytes(9)]);
      const haystack = Buffer.from(`"${raw.toString('base64url')}"`);
      expect(findCanaries([TEXT], haystack, 'x')).not.toEqual([]);
    }
  });

  it('sees what is compressed, twice too', () => {
    const plain = Buffer.from(`{"value":${NUMBER}}`);
    for (const haystack of [
      Buffer.concat([randomBytes(77), gzipSync(plain)]),
      Buffer.concat([randomBytes(77), deflateSync(plain)]),
      brotliCompressSync(plain),
      gzipSync(gzipSync(plain)),
    ]) {
      expect(findCanaries([NUMBER], haystack, 'x')).not.toEqual([]);
    }
  });

  it('finds nothing in random bytes', () => {
    expect(findCanaries([NUMBER, TEXT], randomBytes(100_000), 'x')).toEqual([]);
  });
});
