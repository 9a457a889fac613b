/** Lane arithmetic by the WASM SIMD kernel, one instance a thread, over two fixed windows. */
import type { LanePrimitive } from '../protocols/common/primitives.ts';
import { portableLanes } from '../protocols/common/portable-lanes.ts';
import { laneBytes, maskBytes, type Ring } from '../protocols/common/rings.ts';
import { kernelBytes } from './kernel-file.ts';

/** Key stream and lanes are worked on in windows of this size, small enough for the L2 cache. */
const WINDOW_BYTES = 131_072;
const PAGE_BYTES = 65_536;
const TARGET = 0;
const ADDEND = WINDOW_BYTES;

type Kernel = (target: number, addend: number, bytes: number) => void;
const KERNELS = [
  'add64',
  'subtract64',
  'add128',
  'subtract128',
  'addField',
  'addFieldWords',
  'subtractFieldWords',
  'multiplyField',
] as const;
type Kernels = Readonly<Record<(typeof KERNELS)[number], Kernel>> & {
  readonly settleField: (target: number, bytes: number) => void;
};

const MASK_KERNELS = {
  mod64: { 1: 'add64', [-1]: 'subtract64' },
  mod128: { 1: 'add128', [-1]: 'subtract128' },
  field61: { 1: 'addFieldWords', [-1]: 'subtractFieldWords' },
} as const;
const ADD_KERNELS = { mod64: 'add64', mod128: 'add128', field61: 'addField' } as const;

/** The kernels where WASM SIMD runs, else the portable code: slower, and equal in every bit. */
export const nativeLanes: LanePrimitive = lanesOf(kernelBytes('lanes'));

/** The kernels of a module, or the portable code where this engine cannot run it. */
export function lanesOf(bytes: Uint8Array): LanePrimitive {
  if (!WebAssembly.validate(bytes)) return portableLanes;
  const memory = new WebAssembly.Memory({ initial: (2 * WINDOW_BYTES) / PAGE_BYTES });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  return wasmLanes(pickKernels(instance.exports), new Uint8Array(memory.buffer));
}

function pickKernels(exports: WebAssembly.Exports): Kernels {
  const names = [...KERNELS, 'settleField'];
  return Object.fromEntries(names.map((name) => [name, exports[name]])) as Kernels;
}

function wasmLanes(kernels: Kernels, window: Uint8Array): LanePrimitive {
  const run = (kernel: keyof Kernels, addend: Uint8Array, bytes: number): void => {
    window.set(addend, ADDEND);
    kernels[kernel](TARGET, ADDEND, bytes);
  };
  return {
    mask(ring, target, streams) {
      const kernel = MASK_KERNELS[ring];
      eachWindow(ring, target, window, (part, words) => {
        for (const { sign, stream } of streams) {
          run(kernel[sign], stream.next(roundUp16(words)), part.length);
          stream.release?.();
        }
        if (ring === 'field61') kernels.settleField(TARGET, part.length);
      });
    },
    add(ring, target, addends) {
      eachWindow(ring, target, window, (part, _words, at) => {
        for (const addend of addends) {
          run(ADD_KERNELS[ring], addend.subarray(at, at + part.length), part.length);
        }
      });
    },
    multiplyField(target, factor) {
      eachWindow('field61', target, window, (part) => run('multiplyField', factor, part.length));
    },
  };
}

/** Carries `target` through the first window, piece by piece, around `work`. */
function eachWindow(
  ring: Ring,
  target: Uint8Array,
  window: Uint8Array,
  work: (part: Uint8Array, words: number, at: number) => void,
): void {
  const step = (WINDOW_BYTES / maskBytes(ring)) * laneBytes(ring);
  for (let at = 0; at < target.length; at += step) {
    const part = target.subarray(at, Math.min(at + step, target.length));
    window.set(part, TARGET);
    work(part, (part.length / laneBytes(ring)) * maskBytes(ring), at);
    part.set(window.subarray(TARGET, TARGET + part.length));
  }
}

function roundUp16(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
