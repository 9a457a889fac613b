/**
 * Where noise takes its randomness from: 32-bit words of a key stream. The key is derived from a
 * secret of the domain and the question, so that the same question gets the same noise and asking
 * again averages nothing away.
 */
import { createCipheriv, createHmac } from 'node:crypto';

/** Uniform 32-bit words, one after another. */
export interface WordStream {
  /** 0 to 2^32 − 1. */
  next(): number;
}

const BUFFER_BYTES = 65_536;
const ZEROS = new Uint8Array(BUFFER_BYTES);

/**
 * The words of AES-256-CTR under `key`, counter from zero.
 * @param key - 32 bytes, secret, used for one stream only.
 */
export function wordStream(key: Uint8Array): WordStream {
  const cipher = createCipheriv('aes-256-ctr', key, ZEROS.subarray(0, 16));
  let words = new Uint32Array();
  let at = 0;
  return {
    next() {
      if (at === words.length) {
        const block = cipher.update(ZEROS);
        words = new Uint32Array(block.buffer, block.byteOffset, block.byteLength / 4);
        at = 0;
      }
      const word = words[at] ?? 0;
      at += 1;
      return word;
    },
  };
}

/**
 * A stream's key: HMAC-SHA256 of question and label under the domain's noise secret.
 * @param secret - 32 bytes that never leave the domain.
 * @param question - hash of everything that makes the question: a different one, different noise.
 */
export function noiseKey(secret: Uint8Array, question: string, label: string): Uint8Array {
  const mac = createHmac('sha256', secret);
  return new Uint8Array(mac.update(`weir/noise/v1\0${question}\0${label}`).digest());
}
