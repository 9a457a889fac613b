/**
 * The native library's serialisation headers, written by us around checked residues: its loader
 * never parses a header from outside.
 * @see Microsoft SEAL 4.1.2: serialization.h, ciphertext.cpp, plaintext.h, dynarray.h
 */
import type { BgvParameters } from '../protocols/common/bgv.ts';
import { dataModuli, parametersId, POLYNOMIALS } from '../protocols/common/bgv-ciphertext.ts';

const MAGIC = 0xa15e;
const HEADER_BYTES = 16;
const VERSION_MAJOR = 4;
const VERSION_MINOR = 1;
const UNCOMPRESSED = 0;
const WORD_BYTES = 8;
/** Header, identifier, form flag, three sizes, scale, correction factor. */
const CIPHERTEXT_FIELDS_BYTES = HEADER_BYTES + 32 + 1 + 5 * WORD_BYTES;
/** Header, identifier, coefficient count, scale. */
const PLAINTEXT_FIELDS_BYTES = HEADER_BYTES + 32 + 2 * WORD_BYTES;
const ARRAY_FIELDS_BYTES = HEADER_BYTES + WORD_BYTES;

/** The bytes before a ciphertext's residues at the given level. */
export function ciphertextPrefix(parameters: BgvParameters, level: 'key' | 'data'): Uint8Array {
  const primes = (level === 'key' ? parameters.moduli : dataModuli(parameters)).length;
  const words = POLYNOMIALS * primes * parameters.degree;
  const prefix = new Uint8Array(CIPHERTEXT_FIELDS_BYTES + ARRAY_FIELDS_BYTES);
  const view = new DataView(prefix.buffer);
  writeHeader(view, 0, prefix.length + words * WORD_BYTES);
  prefix.set(parametersId(parameters, level), HEADER_BYTES);
  let at = HEADER_BYTES + 32;
  view.setUint8(at, 1);
  at += 1;
  for (const size of [POLYNOMIALS, parameters.degree, primes]) {
    view.setBigUint64(at, BigInt(size), true);
    at += WORD_BYTES;
  }
  view.setFloat64(at, 1, true);
  view.setBigUint64(at + WORD_BYTES, 1n, true);
  writeArray(view, CIPHERTEXT_FIELDS_BYTES, words);
  return prefix;
}

/** The bytes before a secret key's residues. */
export function secretKeyPrefix(parameters: BgvParameters): Uint8Array {
  const words = parameters.moduli.length * parameters.degree;
  const prefix = new Uint8Array(PLAINTEXT_FIELDS_BYTES + ARRAY_FIELDS_BYTES);
  const view = new DataView(prefix.buffer);
  writeHeader(view, 0, prefix.length + words * WORD_BYTES);
  prefix.set(parametersId(parameters, 'key'), HEADER_BYTES);
  view.setBigUint64(HEADER_BYTES + 32, BigInt(words), true);
  view.setFloat64(HEADER_BYTES + 32 + WORD_BYTES, 1, true);
  writeArray(view, PLAINTEXT_FIELDS_BYTES, words);
  return prefix;
}

function writeArray(view: DataView, at: number, words: number): void {
  writeHeader(view, at, ARRAY_FIELDS_BYTES + words * WORD_BYTES);
  view.setBigUint64(at + HEADER_BYTES, BigInt(words), true);
}

function writeHeader(view: DataView, at: number, sizeBytes: number): void {
  view.setUint16(at, MAGIC, true);
  view.setUint8(at + 2, HEADER_BYTES);
  view.setUint8(at + 3, VERSION_MAJOR);
  view.setUint8(at + 4, VERSION_MINOR);
  view.setUint8(at + 5, UNCOMPRESSED);
  view.setBigUint64(at + 8, BigInt(sizeBytes), true);
}
