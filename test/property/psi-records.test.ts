import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyBytes, resizeRecords, uint32At } from '../../protocols/psi/records.ts';

const size = fc.integer({ min: 1, max: 40 });

describe('records', () => {
  it('are cut, or get zeros behind them', () => {
    fc.assert(
      fc.property(
        size,
        size,
        fc.nat(20),
        fc.infiniteStream(fc.nat(255)),
        (from, to, count, bytes) => {
          const rows = Array.from({ length: count }, () => [...bytes.take(from)]);
          const expected = rows.map((row) => Array.from({ length: to }, (_, i) => row[i] ?? 0));
          const resized = resizeRecords(Uint8Array.from(rows.flat()), from, to);
          expect([...resized]).toEqual(expected.flat());
        },
      ),
    );
  });

  it('copy and number their bytes as views do', () => {
    const bytes = fc.uint8Array({ minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(bytes, fc.nat(4), fc.nat(4), (from, fromAt, toAt) => {
        const [copied, viewed] = [new Uint8Array(8), new Uint8Array(8)];
        copyBytes(from, fromAt, copied, toAt, 4);
        viewed.set(from.subarray(fromAt, fromAt + 4), toAt);
        expect(copied).toEqual(viewed);
        expect(uint32At(from, fromAt)).toBe(new DataView(from.buffer).getUint32(fromAt, true));
      }),
    );
    expect(uint32At(new Uint8Array(4).fill(255), 0)).toBe(2 ** 32 - 1);
  });
});
