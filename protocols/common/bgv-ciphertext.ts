/**
 * What pure code does with BGV residues: sizes, checks before anything native sees them, and the
 * blind addition, which is plain addition of residues and needs neither a key nor the library.
 */
import { blake2b } from '@noble/hashes/blake2.js';
import type { BgvParameters, BgvPublicKey, BgvSecretKey, Ciphertext } from './bgv.ts';
import { ProtocolError, type ProtocolErrorCode } from './protocol-error.ts';

export const WORD_BYTES = 8;
export const PARAMETERS_ID_BYTES = 32;
/** A fresh ciphertext; products that would have more are relinearised nowhere here, so refused. */
export const POLYNOMIALS = 2;

const BGV_SCHEME = 3n;

/** Primes of a fresh ciphertext. */
export function dataModuli(parameters: BgvParameters): readonly bigint[] {
  return parameters.moduli.length > 1 ? parameters.moduli.slice(0, -1) : parameters.moduli;
}

export function ciphertextSizeBytes(parameters: BgvParameters): number {
  return POLYNOMIALS * dataModuli(parameters).length * parameters.degree * WORD_BYTES;
}

export function publicKeySizeBytes(parameters: BgvParameters): number {
  return POLYNOMIALS * parameters.moduli.length * parameters.degree * WORD_BYTES;
}

export function secretKeySizeBytes(parameters: BgvParameters): number {
  return parameters.moduli.length * parameters.degree * WORD_BYTES;
}

/**
 * The library's own identifier of a parameter set: BLAKE2b-256 over scheme, degree, primes and
 * plain modulus as 64-bit words. Frames carry it, so that foreign parameters are refused by name.
 */
export function parametersId(parameters: BgvParameters, level: 'key' | 'data'): Uint8Array {
  const moduli = level === 'key' ? parameters.moduli : dataModuli(parameters);
  const words = [BGV_SCHEME, BigInt(parameters.degree), ...moduli, parameters.plainModulus];
  const bytes = new Uint8Array(words.length * WORD_BYTES);
  const view = new DataView(bytes.buffer);
  words.forEach((word, index) => view.setBigUint64(index * WORD_BYTES, word, true));
  return blake2b(bytes, { dkLen: PARAMETERS_ID_BYTES });
}

/**
 * Accepts the residues of one ciphertext: the exact length of a fresh, uncompressed, unseeded one
 * and every residue below its prime.
 * @throws ProtocolError `ciphertext-invalid`
 */
export function checkCiphertext(parameters: BgvParameters, bytes: Uint8Array): Ciphertext {
  checkResidues(
    bytes,
    parameters.degree,
    dataModuli(parameters),
    POLYNOMIALS,
    'ciphertext-invalid',
  );
  return bytes as Ciphertext;
}

/**
 * Accepts a public key from whoever will open the result: exact length, residues in range, neither
 * polynomial zero (encryptions under a zero polynomial would lie open to the gateway).
 * @throws ProtocolError `message-malformed`
 */
export function checkPublicKey(parameters: BgvParameters, bytes: Uint8Array): BgvPublicKey {
  checkResidues(bytes, parameters.degree, parameters.moduli, POLYNOMIALS, 'message-malformed');
  const half = bytes.length / 2;
  for (const polynomial of [bytes.subarray(0, half), bytes.subarray(half)])
    if (polynomial.every((byte) => byte === 0))
      throw new ProtocolError('message-malformed', 'a public key polynomial is zero');
  return bytes as BgvPublicKey;
}

/** @throws ProtocolError `message-malformed`; names no byte of the key. */
export function checkSecretKey(parameters: BgvParameters, bytes: Uint8Array): BgvSecretKey {
  checkResidues(bytes, parameters.degree, parameters.moduli, 1, 'message-malformed');
  return bytes as BgvSecretKey;
}

/**
 * Blind addition: `target += addend`, residue by residue. Needs no key and learns nothing.
 * Both arguments must have been checked; the sum then is in range again.
 */
export function addCiphertext(
  parameters: BgvParameters,
  target: Ciphertext,
  addend: Ciphertext,
): void {
  const { degree } = parameters;
  if (target.byteOffset % 4 !== 0)
    throw new ProtocolError('length-wrong', 'the target of an addition must be aligned to words');
  const sums = words32(target);
  const addends = words32(addend);
  if (sums.length !== addends.length)
    throw new ProtocolError('length-wrong', 'ciphertexts of different sizes cannot be added');
  const moduli = dataModuli(parameters);
  for (let block = 0; block < POLYNOMIALS * moduli.length; block++) {
    const start = block * degree * 2;
    addBlock(sums, addends, start, start + degree * 2, moduli[block % moduli.length] ?? 0n);
  }
}

/**
 * Residues are below 2^61, so the sum of two fits the two halves without a carry out. Carries and
 * the subtraction of the prime are arithmetic on bits: on uniform residues a branch would be
 * guessed wrong half of the time.
 */
function addBlock(
  sums: Int32Array,
  addends: Int32Array,
  start: number,
  end: number,
  modulus: bigint,
): void {
  const modulusLow = Number(BigInt.asIntN(32, modulus));
  const modulusHigh = Number(modulus >> 32n);
  for (let at = start; at < end; at += 2) {
    const left = sums[at] as number;
    const right = addends[at] as number;
    const low = (left + right) | 0;
    const carry = ((left & right) | ((left | right) & ~low)) >>> 31;
    const high = ((sums[at + 1] as number) + (addends[at + 1] as number) + carry) | 0;
    const lowLess = (low - modulusLow) | 0;
    const borrow = ((~low & modulusLow) | ((~low | modulusLow) & lowLess)) >>> 31;
    const highLess = (high - modulusHigh - borrow) | 0;
    // All ones where the sum is below the prime, and stays.
    const keep = highLess >> 31;
    sums[at] = (low & keep) | (lowLess & ~keep);
    sums[at + 1] = (high & keep) | (highLess & ~keep);
  }
}

function checkResidues(
  bytes: Uint8Array,
  degree: number,
  moduli: readonly bigint[],
  polynomials: number,
  code: ProtocolErrorCode,
): void {
  const expected = polynomials * moduli.length * degree * WORD_BYTES;
  if (bytes.length !== expected)
    throw new ProtocolError(code, `${bytes.length} bytes of residues where ${expected} are due`);
  const words = words32(bytes);
  for (let block = 0; block < polynomials * moduli.length; block++) {
    const start = block * degree * 2;
    const at = firstOutOfRange(
      words,
      start,
      start + degree * 2,
      moduli[block % moduli.length] ?? 0n,
    );
    if (at >= 0) throw new ProtocolError(code, `residue ${at} is not below its prime`);
  }
}

/** The upper halves alone settle nearly every block; the exact look is for the one in 2^16. */
function firstOutOfRange(words: Int32Array, start: number, end: number, modulus: bigint): number {
  const modulusLow = Number(modulus & 0xffff_ffffn);
  const modulusHigh = Number(modulus >> 32n);
  const highest = (modulusHigh - 1) | 0;
  let signs = 0;
  for (let at = start + 1; at < end; at += 2) {
    const high = words[at] as number;
    signs |= high | ((highest - high) | 0);
  }
  if (signs >= 0) return -1;
  for (let at = start; at < end; at += 2) {
    const high = (words[at + 1] as number) >>> 0;
    if (high > modulusHigh || (high === modulusHigh && (words[at] as number) >>> 0 >= modulusLow))
      return at >> 1;
  }
  return -1;
}

/** A view where the alignment allows it, else a copy. */
function words32(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}
