/** What the kernel of the fast match has in its memory once it is done: nothing. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import type { OkvsKernel } from '../../workers/okvs-kernel.ts';

const opened = vi.hoisted((): OkvsKernel[] => []);
// The real kernels, each told to the test when it is opened.
vi.mock(import('../../workers/okvs-kernel.ts'), async (original) => {
  const module = await original();
  return {
    ...module,
    openOkvsKernel() {
      const kernel = module.openOkvsKernel();
      if (kernel === undefined) return undefined;
      const watched = { ...kernel };
      opened.push(watched);
      return watched;
    },
  };
});
const { bandShape } = await import('../../protocols/psi/vole/band.ts');
const { nativeGf128 } = await import('../../workers/native-gf128.ts');
const { nativeOkvs } = await import('../../workers/native-okvs.ts');

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const memoryOf = (kernel: OkvsKernel | undefined): Buffer =>
  Buffer.from(kernel?.memory.buffer ?? new ArrayBuffer(0));
const isClean = (kernel: OkvsKernel | undefined): boolean =>
  memoryOf(kernel).every((byte) => byte === 0);
/** The kernels of products and of sharing, opened when their modules are loaded. */
const kept = [...opened];

describe('the kernel’s memory', () => {
  it('holds nothing of a product afterwards: neither scalar nor vectors nor multiples', () => {
    const [scalar, target, vector] = [bytes(16), bytes(16 * 9000), bytes(16 * 9000)];
    const during: boolean[] = [];
    for (const kernel of kept) {
      const real = { ...kernel };
      kernel.accumulateScaled = (...places) => {
        real.accumulateScaled(...places);
        during.push(
          memoryOf(kernel).includes(scalar) && memoryOf(kernel).includes(vector.slice(-16)),
        );
      };
    }
    nativeGf128.accumulate(target, scalar, vector);
    // The control: while it works both are there.
    expect(during).toEqual([false, true]);
    expect(kept.map(isClean)).toEqual([true, true]);
    nativeGf128.add(target, vector);
    expect(kept.map(isClean)).toEqual([true, true]);
  });

  it('holds nothing of elements that were shared out', () => {
    nativeOkvs.shareOut(bytes(32), bytes(37 * 50), 37, 3);
    expect(kept.map(isClean)).toEqual([true, true]);
  });

  it('holds nothing of a table that is closed', () => {
    const shape = bandShape(40);
    const [key, scalar, vector] = [bytes(32), bytes(16), bytes(16 * shape.columns)];
    const table = nativeOkvs.open(shape);
    const kernel = opened.at(-1);
    table.load(key, [bytes(37 * 40)]);
    table.encode(vector);
    table.decode(vector);
    table.addHashes(scalar);
    table.outputs(key, 8);
    expect(kept).not.toContain(kernel);
    expect(isClean(kernel)).toBe(false);
    table.close();
    expect(isClean(kernel)).toBe(true);
  });
});
