/**
 * `CurvePrimitive` by the WASM kernel (hashing and checks) and native X25519: libsodium, or where
 * its package is missing for this machine the OpenSSL that Node carries, at nearly the same speed.
 * Chosen once, when the thread loads this file.
 */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { createRequire } from 'node:module';
import { POINT_BYTES, nobleCurve } from '../protocols/common/noble-curve.ts';
import type { CurvePrimitive } from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { kernelBytes } from './kernel-file.ts';

/** What the kernel exports. @see workers/kernels/curve25519.ts */
interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer };
  batchMax(): number;
  messageBytesMax(): number;
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

/** X25519 over a batch. */
type Multiply = CurvePrimitive['multiply'];

interface Sodium {
  crypto_scalarmult(out: Uint8Array, scalar: Uint8Array, point: Uint8Array): void;
}

const TAG_BYTES_MAX = 255;
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');

/** The fastest this machine has. */
export const nativeCurve: CurvePrimitive = openCurve(loadSodium());

/** The curve with a given libsodium, or with OpenSSL where there is none. */
export function openCurve(sodium: Sodium | undefined): CurvePrimitive {
  const multiply = sodium === undefined ? multiplyByOpenssl : multiplyBySodium(sodium);
  const engine = sodium === undefined ? 'openssl' : 'sodium';
  const bytes = kernelBytes('curve25519');
  // No relaxed SIMD on this machine: the same answers, slowly.
  if (!WebAssembly.validate(bytes)) return { ...nobleCurve, engine: `noble+${engine}`, multiply };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: {} });
  return { engine, multiply, ...withKernel(exports as unknown as Kernel) };
}

function withKernel(kernel: Kernel): Omit<CurvePrimitive, 'engine' | 'multiply'> {
  const memory = new Uint8Array(kernel.memory.buffer);
  const [input, output] = [kernel.inputOffset(), kernel.outputOffset()];
  const batchMax = kernel.batchMax();
  return {
    hashToCurve(tag, messages, messageBytes, count) {
      requireSizes(tag, messages, messageBytes, count, kernel.messageBytesMax());
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

function requireSizes(
  tag: Uint8Array,
  messages: Uint8Array,
  messageBytes: number,
  count: number,
  messageBytesMax: number,
): void {
  if (tag.length < 1 || tag.length > TAG_BYTES_MAX) {
    throw new ProtocolError('parameter-invalid', 'a domain separation tag has 1 to 255 bytes');
  }
  if (messageBytes > messageBytesMax) {
    throw new ProtocolError('element-too-long', `messages have at most ${messageBytesMax} bytes`);
  }
  if (messages.length !== count * messageBytes) {
    throw new ProtocolError('length-wrong', 'the messages do not fill their buffer');
  }
}

function multiplyBySodium(sodium: Sodium): Multiply {
  return (scalar, points) => {
    // The binding takes Buffers; views, so nothing is copied.
    const out = Buffer.alloc(points.length);
    const from = Buffer.from(points.buffer, points.byteOffset, points.length);
    for (let at = 0; at < points.length; at += POINT_BYTES) {
      const end = at + POINT_BYTES;
      try {
        sodium.crypto_scalarmult(out.subarray(at, end), scalar, from.subarray(at, end));
      } catch {
        throw new ProtocolError('point-invalid', `point ${at / POINT_BYTES} is of low order`);
      }
    }
    return new Uint8Array(out.buffer, out.byteOffset, out.length);
  };
}

function multiplyByOpenssl(scalar: Uint8Array, points: Uint8Array): Uint8Array {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, scalar]),
    format: 'der',
    type: 'pkcs8',
  });
  const spki = Buffer.concat([SPKI_X25519, new Uint8Array(POINT_BYTES)]);
  const out = new Uint8Array(points.length);
  for (let at = 0; at < points.length; at += POINT_BYTES) {
    spki.set(points.subarray(at, at + POINT_BYTES), SPKI_X25519.length);
    try {
      const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      out.set(diffieHellman({ privateKey, publicKey }), at);
    } catch {
      throw new ProtocolError('point-invalid', `point ${at / POINT_BYTES} is of low order`);
    }
  }
  return out;
}

/** The package is optional in effect: machines without its prebuilt part run on OpenSSL. */
function loadSodium(): Sodium | undefined {
  try {
    return createRequire(import.meta.url)('sodium-native') as Sodium;
  } catch {
    return undefined;
  }
}
