/**
 * Lane arithmetic in plain TypeScript on pairs of 32-bit words: the oracle the WASM kernels are
 * compared with, and what runs where WASM SIMD is missing.
 */
import { viewOf } from './bytes.ts';
import { addField, multiplyField, negateField, reduceWord, type Element } from './field61.ts';
import type { LanePrimitive } from './primitives.ts';
import { laneBytes, maskBytes, type Ring } from './rings.ts';

/** Key stream taken at a time; a multiple of 16. */
const CHUNK_BYTES = 65_536;
const WORD = 2 ** 32;

/** @see LanePrimitive */
export const portableLanes: LanePrimitive = {
  mask(ring, target, streams) {
    const lanesPerChunk = CHUNK_BYTES / maskBytes(ring);
    const chunkBytes = lanesPerChunk * laneBytes(ring);
    for (let at = 0; at < target.length; at += chunkBytes) {
      const part = target.subarray(at, Math.min(at + chunkBytes, target.length));
      const words = (part.length / laneBytes(ring)) * maskBytes(ring);
      for (const { sign, stream } of streams) {
        const mask = stream.next(Math.ceil(words / 16) * 16).subarray(0, words);
        maskChunk(ring, part, mask, sign);
      }
    }
  },
  add(ring, target, addends) {
    for (const addend of addends) {
      if (ring === 'field61') addFieldLanes(target, addend);
      else addWords(target, addend, laneBytes(ring), 1);
    }
  },
  multiplyField(target, factor) {
    const view = viewOf(target);
    const by = elementAt(viewOf(factor), 0);
    for (let at = 0; at < target.length; at += 8) {
      store(view, at, multiplyField(elementAt(view, at), by));
    }
  },
};

function maskChunk(ring: Ring, target: Uint8Array, words: Uint8Array, sign: 1 | -1): void {
  if (ring !== 'field61') {
    addWords(target, words, laneBytes(ring), sign);
    return;
  }
  const view = viewOf(target);
  const mask = viewOf(words);
  for (let at = 0; at < target.length; at += 8) {
    const from = at * 2;
    const element = reduceWord(
      mask.getUint32(from, true),
      mask.getUint32(from + 4, true),
      mask.getUint32(from + 8, true),
      mask.getUint32(from + 12, true),
    );
    store(view, at, addField(elementAt(view, at), sign === 1 ? element : negateField(element)));
  }
}

/** target ±= addend in lanes of `lane` bytes; a subtraction adds the complement plus one. */
function addWords(target: Uint8Array, addend: Uint8Array, lane: number, sign: 1 | -1): void {
  const to = viewOf(target);
  const from = viewOf(addend);
  for (let start = 0; start < target.length; start += lane) {
    let carry = sign === 1 ? 0 : 1;
    for (let at = start; at < start + lane; at += 4) {
      const word = from.getUint32(at, true);
      const sum = to.getUint32(at, true) + (sign === 1 ? word : WORD - 1 - word) + carry;
      to.setUint32(at, sum % WORD, true);
      carry = sum >= WORD ? 1 : 0;
    }
  }
}

function addFieldLanes(target: Uint8Array, addend: Uint8Array): void {
  const to = viewOf(target);
  const from = viewOf(addend);
  for (let at = 0; at < target.length; at += 8) {
    store(to, at, addField(elementAt(to, at), elementAt(from, at)));
  }
}

function elementAt(view: DataView, at: number): Element {
  return { low: view.getUint32(at, true), high: view.getUint32(at + 4, true) };
}

function store(view: DataView, at: number, element: Element): void {
  view.setUint32(at, element.low, true);
  view.setUint32(at + 4, element.high, true);
}
