import { describe, expect, it } from 'vitest';
import { eddsaSuite, fingerprintOf } from '../../src/system/signature-suite.ts';
import { systemRandom } from '../../src/system/random.ts';

describe('EdDSA suite', () => {
  const keys = eddsaSuite.generate(systemRandom);
  const message = new TextEncoder().encode('a document');
  const signature = eddsaSuite.sign('weir/contract/v1', message, keys);

  it('accepts its own signature', () => {
    expect(eddsaSuite.isValid('weir/contract/v1', message, signature, keys.publicKey)).toBe(true);
  });

  it('refuses the signature under another context, key, message, or with any bit turned', () => {
    const other = eddsaSuite.generate(systemRandom);
    expect(eddsaSuite.isValid('weir/receipt/v1', message, signature, keys.publicKey)).toBe(false);
    expect(eddsaSuite.isValid('weir/contract/v1', message, signature, other.publicKey)).toBe(false);
    expect(
      eddsaSuite.isValid('weir/contract/v1', message.slice(1), signature, keys.publicKey),
    ).toBe(false);
    for (let bit = 0; bit < 512; bit += 7) {
      const turned = signature.slice();
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(eddsaSuite.isValid('weir/contract/v1', message, turned, keys.publicKey)).toBe(false);
    }
    expect(
      eddsaSuite.isValid('weir/contract/v1', message, signature.slice(0, 63), keys.publicKey),
    ).toBe(false);
  });

  it('shows fingerprints that people can compare', () => {
    expect(fingerprintOf(keys.publicKey)).toMatch(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/);
  });
});
