/** The WASM kernel of curve25519: hashing, checks and strings. X25519 itself is native. */
import { POINT_BYTES, nobleCurve } from '../protocols/common/noble-curve.ts';
import type { CurvePrimitive } from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { kernelBytes } from './kernel-file.ts';

/** What the kernel exports. @see workers/kernels/curve25519.ts */
interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer };
  batchMax(): number;
  inputOffset(): number;
  outputOffset(): number;
  tagOffset(): number;
  useTag(sizeBytes: number): void;
  hashToCurve(count: number, sizeBytes: number): number;
  firstBadPoint(count: number): number;
  foundOffset(): number;
  mapStrings(count: number): void;
  findStrings(count: number): void;
}

const TAG_BYTES_MAX = 255;
const MESSAGE_BYTES_MAX = 1024;

type Multiplying = 'engine' | 'multiply' | 'multiplyOne';

/** All but the multiplication; by @noble, slowly, where this machine has no relaxed SIMD. */
export function openCurveKernel(): Omit<CurvePrimitive, Multiplying> & {
  readonly isNoble: boolean;
} {
  const bytes = kernelBytes('curve25519');
  if (!WebAssembly.validate(bytes)) return { ...nobleCurve, isNoble: true };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: {} });
  return { isNoble: false, ...withKernel(exports as unknown as Kernel) };
}

function withKernel(kernel: Kernel): Omit<CurvePrimitive, Multiplying> {
  const memory = new Uint8Array(kernel.memory.buffer);
  const [input, output] = [kernel.inputOffset(), kernel.outputOffset()];
  const batchMax = kernel.batchMax();
  return {
    hashToCurve(tag, messages, messageBytes, count) {
      requireHashSizes(tag, messages, messageBytes, count);
      memory.set(tag, kernel.tagOffset());
      kernel.useTag(tag.length);
      const points = new Uint8Array(count * POINT_BYTES);
      for (let first = 0; first < count; first += batchMax) {
        const batch = Math.min(batchMax, count - first);
        const part = messages.subarray(first * messageBytes, (first + batch) * messageBytes);
        memory.set(part, input);
        const found = kernel.hashToCurve(batch, messageBytes) === 1;
        points.set(
          found
            ? memory.subarray(output, output + batch * POINT_BYTES)
            : nobleCurve.hashToCurve(tag, part, messageBytes, batch),
          first * POINT_BYTES,
        );
      }
      // Hashed elements are private to this party: they do not stay in the kernel's memory.
      memory.fill(0, input, input + Math.min(count, batchMax) * messageBytes);
      memory.fill(0, output, output + Math.min(count, batchMax) * POINT_BYTES);
      return points;
    },
    requirePoints(points) {
      const step = batchMax * POINT_BYTES;
      for (let at = 0; at < points.length; at += step) {
        const part = points.subarray(at, at + step);
        memory.set(part, input);
        const bad = kernel.firstBadPoint(part.length / POINT_BYTES);
        if (bad >= 0) {
          const position = at / POINT_BYTES + bad;
          throw new ProtocolError('point-invalid', `point ${position} is not acceptable`);
        }
      }
    },
    ...stringsWith(kernel, memory),
  };
}

/** Points and the strings they are mapped from, in batches. */
function stringsWith(
  kernel: Kernel,
  memory: Uint8Array,
): Pick<CurvePrimitive, 'fromRepresentatives' | 'toRepresentatives'> {
  const [input, output] = [kernel.inputOffset(), kernel.outputOffset()];
  const step = kernel.batchMax() * POINT_BYTES;
  return {
    fromRepresentatives(representatives) {
      const points = new Uint8Array(representatives.length);
      for (let at = 0; at < points.length; at += step) {
        const part = representatives.subarray(at, at + step);
        memory.set(part, input);
        kernel.mapStrings(part.length / POINT_BYTES);
        points.set(memory.subarray(output, output + part.length), at);
      }
      return points;
    },
    toRepresentatives(points, tweaks) {
      const strings = new Uint8Array(points.length);
      const found = new Uint8Array(points.length / POINT_BYTES);
      for (let at = 0; at < points.length; at += step) {
        const part = points.subarray(at, at + step);
        const [first, count] = [at / POINT_BYTES, part.length / POINT_BYTES];
        memory.set(part, input);
        memory.set(tweaks.subarray(first, first + count), input + part.length);
        kernel.findStrings(count);
        strings.set(memory.subarray(output, output + part.length), at);
        const flags = kernel.foundOffset();
        found.set(memory.subarray(flags, flags + count), first);
      }
      found.forEach((flag, i) => {
        if (flag === 0) strings.fill(0, i * POINT_BYTES, (i + 1) * POINT_BYTES);
      });
      // Which strings were made and not drawn is the chooser's secret.
      memory.fill(0, input, input + step + kernel.batchMax());
      memory.fill(0, output, output + step);
      return { strings, found };
    },
  };
}

/**
 * What every implementation of `hashToCurve` refuses.
 * @throws ProtocolError `parameter-invalid`, `element-too-long`, `length-wrong`
 */
export function requireHashSizes(
  tag: Uint8Array,
  messages: Uint8Array,
  messageBytes: number,
  count: number,
): void {
  if (tag.length < 1 || tag.length > TAG_BYTES_MAX) {
    throw new ProtocolError('parameter-invalid', 'a domain separation tag has 1 to 255 bytes');
  }
  if (messageBytes > MESSAGE_BYTES_MAX) {
    throw new ProtocolError('element-too-long', `messages have at most ${MESSAGE_BYTES_MAX} bytes`);
  }
  if (messages.length !== count * messageBytes) {
    throw new ProtocolError('length-wrong', 'the messages do not fill their buffer');
  }
}
