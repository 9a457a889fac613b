import { readFileSync } from 'node:fs';
import { ed25519_hasher } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { curvesHere } from '../support/curves.ts';

interface HashVectors {
  readonly suites: readonly {
    readonly suite: string;
    readonly section: string;
    readonly dst: string;
    readonly vectors: readonly { readonly msg: string; readonly x: string; readonly y?: string }[];
  }[];
}
interface X25519Vectors {
  readonly single: readonly { scalar: string; u: string; out: string; section: string }[];
  readonly iterated: {
    readonly start: string;
    readonly after1: string;
    readonly after1000: string;
  };
}

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T;
const hash = read<HashVectors>('hash-to-curve25519.json');
const x25519 = read<X25519Vectors>('x25519.json');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

describe.each([nobleCurve, ...curvesHere])('curve25519 by $engine', (curve) => {
  const suite = hash.suites.find(({ suite: name }) => name.startsWith('curve25519'));

  it.each(suite?.vectors ?? [])('hashes to the point of RFC 9380 J.4.1 ($msg)', ({ msg, x }) => {
    const message = utf8(msg);
    const u = curve.hashToCurve(utf8(suite?.dst ?? ''), message, message.length, 1);
    expect(hex(u.toReversed())).toBe(x);
    expect(() => curve.requirePoints(u)).not.toThrow();
  });

  it.each(x25519.single)('multiplies as RFC 7748 §$section says', ({ scalar, u, out }) => {
    // The RFC's inputs set the unused top bit in one case; a received point would be refused for it.
    expect(hex(curve.multiply(unhex(scalar), unhex(u)))).toBe(out);
  });

  it('multiplies a thousand times over as RFC 7748 §5.2 says', () => {
    let [k, u] = [unhex(x25519.iterated.start), unhex(x25519.iterated.start)];
    for (let round = 1; round <= 1000; round++) {
      [k, u] = [curve.multiply(k, u), k];
      if (round === 1) expect(hex(k)).toBe(x25519.iterated.after1);
    }
    expect(hex(k)).toBe(x25519.iterated.after1000);
  });
});

describe('the oracle', () => {
  const suite = hash.suites.find(({ suite: name }) => name.startsWith('edwards25519'));

  it.each(suite?.vectors ?? [])('hashes to the point of RFC 9380 J.5.1 ($msg)', ({ msg, x, y }) => {
    const point = ed25519_hasher.hashToCurve(utf8(msg), { DST: suite?.dst ?? '' }).toAffine();
    expect(point.x.toString(16).padStart(64, '0')).toBe(x);
    expect(point.y.toString(16).padStart(64, '0')).toBe(y);
  });
});
