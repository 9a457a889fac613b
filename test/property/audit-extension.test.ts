import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HEAD, leafHash } from '../../src/audit/hash-chain.ts';
import { entryHash, extendHead } from '../../src/system/hash-link.ts';
import type { AuditHead } from '../../src/audit/audit-sink.ts';

const chainOf = (entries: readonly string[]): AuditHead =>
  entries.reduce<AuditHead>(
    (head, entry) => ({ size: head.size + 1n, hash: leafHash(head.hash, head.size, entry) }),
    EMPTY_HEAD,
  );

describe('extension of a witnessed head', () => {
  it('leads from any earlier head to the later one by entry hashes alone', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 20 }), fc.nat(20), (all, at) => {
        const from = Math.min(at, all.length);
        const grown = extendHead(chainOf(all.slice(0, from)), all.slice(from).map(entryHash));
        expect(grown).toEqual(chainOf(all));
      }),
    );
  });

  it('leads elsewhere where an entry was changed, dropped or added', () => {
    const all = ['a', 'b', 'c', 'd'];
    const witnessed = chainOf(['a']);
    for (const other of [
      ['b', 'x', 'd'],
      ['b', 'd'],
      ['b', 'c', 'c', 'd'],
      ['c', 'b', 'd'],
    ]) {
      expect(extendHead(witnessed, other.map(entryHash)).hash).not.toBe(chainOf(all).hash);
    }
  });
});
