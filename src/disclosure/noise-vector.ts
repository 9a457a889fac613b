/** Noise for every cell of a vector, in an order that does not depend on how the question was put. */
import { setImmediate } from 'node:timers/promises';
import type { WordStream } from './noise-stream.ts';
import { gaussianSampler } from './sampler.ts';
import type { VectorNoise } from './noise-plan.ts';

/** Cells drawn before others get a turn: some 20 ms. */
const CELLS_AT_ONCE = 65_536;

/**
 * One domain's share for each cell, cut at the tail.
 * @param place - where the canonical order's cells are in the vector; absent: the orders agree.
 */
export async function noiseShares(
  noise: VectorNoise,
  stream: WordStream,
  cells: number,
  place?: Uint32Array,
): Promise<Float64Array> {
  const sample = gaussianSampler(noise.variance);
  const tail = Number(noise.tail);
  const shares = new Float64Array(cells);
  for (let cell = 0; cell < cells; cell += 1) {
    if (cell % CELLS_AT_ONCE === CELLS_AT_ONCE - 1) await setImmediate();
    const drawn = sample(stream);
    shares[place?.[cell] ?? cell] = Math.max(-tail, Math.min(tail, drawn));
  }
  return shares;
}

/**
 * For each cell in the order of `canonical`'s groups, its index in the order of `groups`.
 * @param radices - of `groups`, the first the most significant digit.
 */
export function cellPlaces(
  groups: readonly string[],
  radices: readonly number[],
  canonical: readonly string[],
): Uint32Array | undefined {
  if (groups.every((group, index) => canonical[index] === group)) return undefined;
  let stride = 1;
  const strideOf = new Map<string, { readonly radix: number; readonly stride: number }>();
  for (let index = groups.length - 1; index >= 0; index -= 1) {
    const radix = radices[index] ?? 1;
    strideOf.set(groups[index] ?? '', { radix, stride });
    stride *= radix;
  }
  let places = new Uint32Array(1);
  for (const group of canonical) {
    const { radix, stride: step } = strideOf.get(group) ?? { radix: 1, stride: 0 };
    const next = new Uint32Array(places.length * radix);
    for (const [at, base] of places.entries()) {
      for (let digit = 0; digit < radix; digit += 1) next[at * radix + digit] = base + digit * step;
    }
    places = next;
  }
  return places;
}
