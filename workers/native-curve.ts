/**
 * `CurvePrimitive` by the fastest parts this machine has, chosen once, when the thread loads this
 * file: the vector kernel, or libsodium, or where its package is missing the OpenSSL that Node
 * carries, at nearly its speed; hashing and checks without the vector kernel by the WASM kernel.
 */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { createRequire } from 'node:module';
import { POINT_BYTES, oneByOne } from '../protocols/common/noble-curve.ts';
import type { CurvePrimitive } from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { openCurveKernel } from './curve-kernel.ts';
import { loadVectorCurve, type VectorCurve } from './curve-vector.ts';

/** X25519 over a batch. */
type Multiply = CurvePrimitive['multiply'];

interface Sodium {
  crypto_scalarmult(out: Uint8Array, scalar: Uint8Array, point: Uint8Array): void;
}

const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');

/** The fastest this machine has. */
export const nativeCurve: CurvePrimitive = openCurve(loadSodium(), loadVectorCurve());

/** The curve with a given libsodium, or with OpenSSL where there is none, and the vector kernel or not. */
export function openCurve(sodium?: Sodium, vector?: VectorCurve): CurvePrimitive {
  const multiply = sodium === undefined ? multiplyByOpenssl : multiplyBySodium(sodium);
  const engine = sodium === undefined ? 'openssl' : 'sodium';
  const { isNoble, ...kernel } = openCurveKernel();
  const multiplyOne = oneByOne(multiply);
  const plain = { ...kernel, multiply, multiplyOne, engine: isNoble ? `noble+${engine}` : engine };
  return vector === undefined ? plain : { ...plain, ...vector };
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
export function loadSodium(): Sodium | undefined {
  try {
    return createRequire(import.meta.url)('sodium-native') as Sodium;
  } catch {
    return undefined;
  }
}
