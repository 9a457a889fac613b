/** `Primitives` by @noble and plain TypeScript: the oracle in tests, and the portable fallback. */
import { ctr } from '@noble/ciphers/aes.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { portableGf128 } from '../psi/vole/gf128.ts';
import { portableOkvs } from '../psi/vole/portable-okvs.ts';
import { concatBytes } from './bytes.ts';
import { nobleCurve } from './noble-curve.ts';
import { portableLanes } from './portable-lanes.ts';
import { portableVole } from './portable-vole.ts';
import { ProtocolError } from './protocol-error.ts';
import { SEGMENT_BYTES_MAX, type KeyStream, type Primitives } from './primitives.ts';

const BLOCK_BYTES = 16;
const SHA256_BYTES = 32;
/** The counter of a segment's first block: what GCM's body starts at. */
const COUNTER_START = 2;

/** @see Primitives */
export const noblePrimitives: Primitives = {
  hash: {
    sha256,
    sha256Each,
    sha512,
    hkdfSha256: (secret, salt, info, lengthBytes) => hkdf(sha256, secret, salt, info, lengthBytes),
  },
  stream: { open: openSegment },
  x25519: {
    publicKey: (secretKey) => x25519.getPublicKey(secretKey),
    sharedSecret(secretKey, publicKey) {
      try {
        return x25519.getSharedSecret(secretKey, publicKey);
      } catch {
        throw new ProtocolError('point-invalid', 'the peer key is not a usable X25519 point');
      }
    },
  },
  lanes: portableLanes,
  curve: nobleCurve,
  gf128: portableGf128,
  okvs: portableOkvs,
  vole: portableVole,
};

/**
 * Bytes of the longest of messages that stand one behind the other.
 * @throws ProtocolError `length-wrong`
 */
export function longestMessage(messages: Uint8Array, ends: Uint32Array): number {
  let longest = 0;
  let start = 0;
  for (let i = 0; i < ends.length; i++) {
    const end = ends[i] ?? 0;
    if (end < start) throw wrongEnds();
    longest = Math.max(longest, end - start);
    start = end;
  }
  if (start !== messages.length) throw wrongEnds();
  return longest;
}

function wrongEnds(): ProtocolError {
  return new ProtocolError('length-wrong', 'messages end where the last one does, in order');
}

/** @see HashPrimitive.sha256Each */
export function sha256Each(
  prefix: Uint8Array,
  messages: Uint8Array,
  ends: Uint32Array,
): Uint8Array {
  longestMessage(messages, ends);
  const digests = new Uint8Array(ends.length * SHA256_BYTES);
  let start = 0;
  ends.forEach((end, i) => {
    const message = concatBytes([prefix, messages.subarray(start, end)]);
    digests.set(sha256(message), i * SHA256_BYTES);
    start = end;
  });
  return digests;
}

/**
 * The 16-byte counter block `blockIndex` blocks into a segment.
 * @throws ProtocolError `parameter-invalid` for a segment outside 0..2^53−1.
 */
export function counterBlock(segment: number, blockIndex: number): Uint8Array {
  if (!Number.isSafeInteger(segment) || segment < 0) {
    throw new ProtocolError('parameter-invalid', 'a segment is a whole number from 0');
  }
  const block = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(block.buffer);
  view.setUint32(4, Math.floor(segment / 2 ** 32));
  view.setUint32(8, segment % 2 ** 32);
  view.setUint32(12, COUNTER_START + blockIndex);
  return block;
}

function openSegment(key: Uint8Array, segment: number): KeyStream {
  let at = 0;
  return {
    next(lengthBytes) {
      if (lengthBytes % BLOCK_BYTES !== 0 || at + lengthBytes > SEGMENT_BYTES_MAX) {
        throw new ProtocolError('parameter-invalid', 'a segment is read in whole blocks');
      }
      const start = counterBlock(segment, at / BLOCK_BYTES);
      at += lengthBytes;
      return ctr(key, start).encrypt(new Uint8Array(lengthBytes));
    },
  };
}
