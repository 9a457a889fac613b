/**
 * `Primitives` by node:crypto and WASM kernels. Only performance differs from
 * `noblePrimitives`: a property test holds the two equal.
 */
import {
  createCipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from 'node:crypto';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import {
  SEGMENT_BYTES_MAX,
  type KeyStream,
  type Primitives,
} from '../protocols/common/primitives.ts';
import { counterBlock } from '../protocols/common/noble-primitives.ts';
import { nativeCurve } from './native-curve.ts';
import { nativeGf128 } from './native-gf128.ts';
import { nativeLanes } from './native-lanes.ts';
import { nativeOkvs } from './native-okvs.ts';
import { nativeSha256Each } from './native-sha256.ts';
import { nativeVole } from './native-vole.ts';

const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');
/** Below the allocator's mapping threshold, so that outputs reuse pages instead of faulting. */
const ZEROS = new Uint8Array(131_072);

/** @see Primitives */
export const nativePrimitives: Primitives = {
  hash: {
    sha256: (message) => digest('sha256', message),
    sha256Each: nativeSha256Each,
    sha512: (message) => digest('sha512', message),
    hkdfSha256: (secret, salt, info, lengthBytes) =>
      new Uint8Array(hkdfSync('sha256', secret, salt, info, lengthBytes)),
  },
  stream: { open: openSegment },
  x25519: {
    publicKey(secretKey) {
      const spki = createPublicKey(privateKey(secretKey)).export({ format: 'der', type: 'spki' });
      return new Uint8Array(spki.subarray(-32));
    },
    sharedSecret(secretKey, publicKey) {
      try {
        const peer = createPublicKey({
          key: Buffer.concat([SPKI_X25519, publicKey]),
          format: 'der',
          type: 'spki',
        });
        return new Uint8Array(
          diffieHellman({ privateKey: privateKey(secretKey), publicKey: peer }),
        );
      } catch {
        throw new ProtocolError('point-invalid', 'the peer key is not a usable X25519 point');
      }
    },
  },
  lanes: nativeLanes,
  curve: nativeCurve,
  gf128: nativeGf128,
  okvs: nativeOkvs,
  vole: nativeVole,
};

/**
 * The body of AES-256-GCM over zeros is the counter-mode key stream of the seam, and OpenSSL has
 * wider (VAES) code for it than for plain CTR: about one and a half times as fast. The tag is not
 * asked for, since nobody checks it.
 */
function openSegment(key: Uint8Array, segment: number): KeyStream {
  const cipher = createCipheriv('aes-256-gcm', key, counterBlock(segment, 0).subarray(0, 12));
  let at = 0;
  let last: Uint8Array = new Uint8Array();
  return {
    next(lengthBytes) {
      at += lengthBytes;
      if (lengthBytes % 16 !== 0 || at > SEGMENT_BYTES_MAX) {
        throw new ProtocolError('parameter-invalid', 'a segment is read in whole blocks');
      }
      const zeros =
        lengthBytes <= ZEROS.length ? ZEROS.subarray(0, lengthBytes) : new Uint8Array(lengthBytes);
      last = cipher.update(zeros);
      return last;
    },
    release() {
      const { buffer, byteLength } = last;
      // A transfer to nothing frees the memory. Never a buffer that others have a part of.
      if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
    },
  };
}

function digest(algorithm: string, message: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(message).digest());
}

function privateKey(secretKey: Uint8Array): ReturnType<typeof createPrivateKey> {
  return createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, secretKey]),
    format: 'der',
    type: 'pkcs8',
  });
}
