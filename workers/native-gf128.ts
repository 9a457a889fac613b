/** Products of vectors with an element of GF(2^128) by the WASM kernel, one instance a thread. */
import type { Gf128Primitive } from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { GF128_BYTES, portableGf128, requireVectors } from '../protocols/psi/vole/gf128.ts';
import {
  SCALED_BYTES,
  WINDOW_BYTES,
  openOkvsKernel,
  reserve,
  roundUp,
  type OkvsKernel,
} from './okvs-kernel.ts';

const kernel = openOkvsKernel();

/** The kernel where relaxed SIMD runs, else the portable code: slower, and equal in every bit. */
export const nativeGf128: Gf128Primitive = kernel === undefined ? portableGf128 : wasmGf128(kernel);

function wasmGf128(kernel: OkvsKernel): Gf128Primitive {
  const scalarAt = roundUp(kernel.heapStart());
  const targetAt = scalarAt + GF128_BYTES;
  const vectorAt = targetAt + WINDOW_BYTES;
  const memory = reserve(kernel, vectorAt + WINDOW_BYTES);
  const eachWindow = (
    target: Uint8Array,
    vector: Uint8Array,
    work: (bytes: number) => void,
  ): void => {
    requireVectors(target, vector);
    for (let at = 0; at < target.length; at += WINDOW_BYTES) {
      const part = target.subarray(at, at + WINDOW_BYTES);
      memory.set(part, targetAt);
      memory.set(vector.subarray(at, at + WINDOW_BYTES), vectorAt);
      work(part.length);
      part.set(memory.subarray(targetAt, targetAt + part.length));
    }
    // Windows, scalar and its multiples are secrets, and the instance stays. Nothing in its memory
    // is set but by calls.
    memory.fill(0);
  };
  return {
    accumulate(target, scalar, vector) {
      if (scalar.length !== GF128_BYTES) {
        throw new ProtocolError('length-wrong', `a field element has ${GF128_BYTES} bytes`);
      }
      memory.set(scalar, scalarAt);
      kernel.useScalar(scalarAt);
      eachWindow(target, vector, (bytes) =>
        kernel.accumulateScaled(targetAt, vectorAt, roundUp(bytes, SCALED_BYTES)),
      );
    },
    add(target, vector) {
      eachWindow(target, vector, (bytes) => kernel.addElements(targetAt, vectorAt, bytes));
    },
  };
}
