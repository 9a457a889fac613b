import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BandShape, OkvsPrimitive, OkvsTable } from '../../protocols/common/primitives.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { BAND_WIDTH, bandShape } from '../../protocols/psi/vole/band.ts';
import { portableGf128 } from '../../protocols/psi/vole/gf128.ts';
import { portableOkvs } from '../../protocols/psi/vole/portable-okvs.ts';
import { nativeGf128 } from '../../workers/native-gf128.ts';
import { nativeOkvs } from '../../workers/native-okvs.ts';

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const OUTPUT_BYTES = 12;
const engines: readonly OkvsPrimitive[] = [portableOkvs, nativeOkvs];

function shapeOf(items: number, elementBytes = 37): BandShape {
  return { ...bandShape(items), elementBytes };
}

function loaded(
  engine: OkvsPrimitive,
  shape: BandShape,
  key: Uint8Array,
  set: Uint8Array,
): OkvsTable {
  const table = engine.open(shape);
  // In two pieces, of which the first is no multiple of what the kernel takes at once.
  const cut = Math.min(set.length, 3 * shape.elementBytes);
  table.load(key, [set.subarray(0, cut), set.subarray(cut)]);
  return table;
}

/** Every number a table gives for one set, from one vector. */
function everything(
  engine: OkvsPrimitive,
  shape: BandShape,
  key: Uint8Array,
  set: Uint8Array,
  vector: Uint8Array,
  scalar: Uint8Array,
) {
  const table = loaded(engine, shape, key, set);
  const encoded = vector.slice();
  const outcome = table.encode(encoded);
  table.decode(vector);
  table.addHashes(scalar);
  const outputs = table.outputs(key, OUTPUT_BYTES);
  const found = table.match(outputs);
  table.close();
  return { outcome, encoded, outputs, found };
}

describe('band OKVS', () => {
  it('the kernel gives what the plain code gives, bit by bit', () => {
    expect(nativeOkvs.engine).toBe('wasm');
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 8, max: 64 }),
        fc.constantFrom(8, 63, 64, 65, 192, 240, 256),
        (items, elementBytes, width) => {
          const shape = { ...shapeOf(items + 5, elementBytes), width };
          const arguments_ = [
            bytes(32),
            bytes(items * elementBytes),
            bytes(shape.columns * 16),
            bytes(16),
          ] as const;
          const [plain, kernel] = engines.map((engine) => everything(engine, shape, ...arguments_));
          expect(kernel).toEqual(plain);
          if (width === BAND_WIDTH) expect(plain?.outcome).toBe('encoded');
        },
      ),
      { numRuns: 40 },
    );
  });

  it('says so where bands are dependent, with the kernel as without, and leaves the vector', () => {
    // No set of so many fits bands so narrow; of 300 in bands of 8 one in six does.
    const shape = { ...shapeOf(1000), width: 4 };
    const set = bytes(1000 * 37);
    for (const engine of engines) {
      const table = loaded(engine, shape, new Uint8Array(32), set);
      const vector = bytes(shape.columns * 16);
      const before = vector.slice();
      expect(table.encode(vector)).toBe('dependent');
      expect(vector).toEqual(before);
    }
  });

  it.each([1, 4, 63, 255, 1023, 4095, 4096, 4097, 20_000, 65_536, 131_073])(
    'decodes what it encoded to the hashes of all %i items',
    (items) => {
      const shape = shapeOf(items);
      const [key, set] = [bytes(32), bytes(items * 37)];
      const table = loaded(nativeOkvs, shape, key, set);
      const vector = bytes(shape.columns * 16);
      expect(table.encode(vector)).toBe('encoded');
      table.decode(vector);
      // Value + 1 · hash = 0 for every item exactly if the value is the hash: then all outputs are
      // those of zero values.
      table.addHashes(Uint8Array.of(1, ...new Uint8Array(15)));
      const outputs = table.outputs(key, OUTPUT_BYTES);
      table.decode(new Uint8Array(shape.columns * 16));
      expect(Buffer.from(table.outputs(key, OUTPUT_BYTES)).equals(outputs)).toBe(true);
      table.close();
    },
  );
});

describe('sharing out', () => {
  it('the kernel gives what the plain code gives, and every element once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200 }),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 40 }),
        (items, elementBytes, parts) => {
          const [key, set] = [bytes(32), bytes(items * elementBytes)];
          const [plain, kernel] = engines.map((engine) =>
            engine.shareOut(key, set, elementBytes, parts),
          );
          expect(kernel).toEqual(plain);
          expect(kernel?.numbers.toSorted()).toEqual(
            Uint32Array.from({ length: items }, (_, i) => i),
          );
        },
      ),
    );
  });

  it.each([
    [0, 1, 37],
    [1025, 1, 37],
    [2, 2 ** 22 / 64 + 1, 64],
  ])('refuses %i parts of %i elements of %i bytes', (parts, items, elementBytes) => {
    for (const engine of engines) {
      const set = new Uint8Array(items * elementBytes);
      expect(() => engine.shareOut(bytes(32), set, elementBytes, parts)).toThrow(ProtocolError);
    }
  });
});

describe('products of vectors', () => {
  it('the kernel gives what the plain code gives', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70 }), (count) => {
        const [scalar, target, vector] = [bytes(16), bytes(count * 16), bytes(count * 16)];
        const other = target.slice();
        portableGf128.accumulate(target, scalar, vector);
        nativeGf128.accumulate(other, scalar, vector);
        expect(other).toEqual(target);
        portableGf128.add(target, vector);
        nativeGf128.add(other, vector);
        expect(other).toEqual(target);
      }),
    );
  });
});
