/** SHA-256 of many short messages by the WASM kernel, one instance a thread. */
import type { HashPrimitive } from '../protocols/common/primitives.ts';
import { longestMessage, sha256Each } from '../protocols/common/noble-primitives.ts';
import { kernelBytes } from './kernel-file.ts';

/** What the kernel exports. @see workers/kernels/sha256.ts */
interface Sha256Kernel {
  readonly memory: WebAssembly.Memory;
  heapStart(): number;
  hashEach(
    prefix: number,
    prefixBytes: number,
    messages: number,
    ends: number,
    count: number,
    lanes: number,
    laneBytes: number,
    out: number,
  ): void;
}

const PAGE_BYTES = 65_536;
const DIGEST_BYTES = 32;
const LANES = 4;
/** The kernel reads so far behind messages. */
const READ_SLACK_BYTES = 16;
/** The kernel pads a message by at most so many bytes, and zeroes a block beyond. */
const LANE_SLACK_BYTES = 128;

const moduleBytes = kernelBytes('sha256');

/**
 * The kernel where WASM SIMD runs, else the portable code: slower, and equal in every bit.
 * @see HashPrimitive.sha256Each
 */
export const nativeSha256Each: HashPrimitive['sha256Each'] = WebAssembly.validate(moduleBytes)
  ? wasmSha256Each(openKernel())
  : sha256Each;

function openKernel(): Sha256Kernel {
  const kernelModule = new WebAssembly.Module(moduleBytes);
  return new WebAssembly.Instance(kernelModule, { env: {} }).exports as unknown as Sha256Kernel;
}

function wasmSha256Each(kernel: Sha256Kernel): HashPrimitive['sha256Each'] {
  return (prefix, messages, ends) => {
    const laneBytes = roundUp(prefix.length + longestMessage(messages, ends) + LANE_SLACK_BYTES);
    const prefixAt = roundUp(kernel.heapStart());
    const endsAt = roundUp(prefixAt + prefix.length);
    const messagesAt = endsAt + ends.byteLength;
    const lanesAt = roundUp(messagesAt + messages.length + READ_SLACK_BYTES);
    const outAt = lanesAt + LANES * laneBytes;
    const end = outAt + (ends.length + LANES) * DIGEST_BYTES;
    const missing = end - kernel.memory.buffer.byteLength;
    if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
    const memory = new Uint8Array(kernel.memory.buffer);
    memory.set(prefix, prefixAt);
    memory.set(messages, messagesAt);
    new Uint32Array(memory.buffer, endsAt, ends.length).set(ends);
    kernel.hashEach(
      prefixAt,
      prefix.length,
      messagesAt,
      endsAt,
      ends.length,
      lanesAt,
      laneBytes,
      outAt,
    );
    const digests = memory.slice(outAt, outAt + ends.length * DIGEST_BYTES);
    // The messages are secret, and the instance stays. What lies before is the kernel's own affair.
    memory.fill(0, prefixAt, end);
    return digests;
  };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
