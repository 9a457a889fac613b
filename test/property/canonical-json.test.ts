import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalBytes, canonicalHash } from '../../src/system/canonical-json.ts';

describe('canonical JSON', () => {
  it('gives the RFC 8785 example', () => {
    const value = {
      peach: 'x',
      '\u20ac': 1,
      literals: [null, true, false],
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3],
    };
    expect(new TextDecoder().decode(canonicalBytes(value))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002],"peach":"x","€":1}',
    );
  });

  it('does not depend on key order, and any other value has another hash', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).toReversed());
        expect(canonicalHash(turned)).toBe(canonicalHash(value));
        expect(canonicalHash({ ...value, added: 1.5 })).not.toBe(canonicalHash(value));
      }),
    );
  });

  it('refuses what is not JSON', () => {
    expect(() => canonicalBytes(Number.NaN)).toThrow(/no canonical/);
    expect(() => canonicalBytes(undefined)).toThrow(/no canonical/);
  });
});
