// expand_message_xmd with SHA-512 for 96 bytes, and their reading as two field elements (RFC 9380
// §5.3.1, §5.2). AssemblyScript, see ../curve25519.ts.
import { ELEMENT_BYTES, scaleAdd, setLane } from './field';
import { sha512Compress, sha512Digest, sha512Init } from './sha512';

/** Longest message, and longest domain separation tag, in bytes. */
export const MESSAGE_BYTES_MAX: usize = 1024;
export const TAG_BYTES_MAX: usize = 255;

/** I2OSP(96, 2) between message and tag, and a zero: three bytes. */
const UNIFORM_BYTES: u8 = 96;

const TAG: usize = memory.data(256, 16);
const AFTER_ZERO_BLOCK: usize = memory.data(64, 16);
const STATE: usize = memory.data(64, 16);
const BLOCKS: usize = memory.data(1536, 16);
const FIRST: usize = memory.data(64, 16);
const UNIFORM: usize = memory.data(128, 16);
let tagBytes: usize = 0;

/** Takes the domain separation tag of the following calls and precomputes the all-zero first block. */
export function setTag(tag: usize, sizeBytes: usize): void {
  memory.copy(TAG, tag, sizeBytes);
  store<u8>(TAG + sizeBytes, <u8>sizeBytes);
  tagBytes = sizeBytes + 1;
  memory.fill(BLOCKS, 0, 128);
  sha512Init(AFTER_ZERO_BLOCK);
  sha512Compress(AFTER_ZERO_BLOCK, BLOCKS);
}

/** One lane of the pair `fields` = hash_to_field of a message; call `reduceWide` once both lanes are set. */
export function hashToFields(
  fields: usize,
  highs: usize,
  lane: usize,
  message: usize,
  sizeBytes: usize,
): void {
  memory.copy(BLOCKS, message, sizeBytes);
  store<u8>(BLOCKS + sizeBytes, 0);
  store<u8>(BLOCKS + sizeBytes + 1, UNIFORM_BYTES);
  store<u8>(BLOCKS + sizeBytes + 2, 0);
  memory.copy(STATE, AFTER_ZERO_BLOCK, 64);
  hashBlocks(FIRST, sizeBytes + 3, 128);
  for (let i: usize = 0; i < 64; i += 8) store<u64>(BLOCKS + i, load<u64>(FIRST + i));
  store<u8>(BLOCKS + 64, 1);
  sha512Init(STATE);
  hashBlocks(UNIFORM, 65, 0);
  for (let i: usize = 0; i < 64; i += 8) {
    store<u64>(BLOCKS + i, load<u64>(FIRST + i) ^ load<u64>(UNIFORM + i));
  }
  store<u8>(BLOCKS + 64, 2);
  sha512Init(STATE);
  hashBlocks(UNIFORM + 64, 65, 0);
  setWide(fields, highs, lane, UNIFORM);
  setWide(fields + ELEMENT_BYTES, highs + ELEMENT_BYTES, lane, UNIFORM + 48);
}

/** Folds the part above 2^255 of 384-bit numbers into their field elements, both lanes. */
export function reduceWide(fields: usize, highs: usize): void {
  scaleAdd(fields, highs, 19, fields);
  scaleAdd(fields + ELEMENT_BYTES, highs + ELEMENT_BYTES, 19, fields + ELEMENT_BYTES);
}

/** Appends the tag and the padding to `filled` bytes in BLOCKS, hashes them after `before` bytes. */
function hashBlocks(out: usize, filled: usize, before: usize): void {
  memory.copy(BLOCKS + filled, TAG, tagBytes);
  const end = filled + tagBytes;
  const padded = (end + 17 + 127) & ~127;
  store<u8>(BLOCKS + end, 0x80);
  memory.fill(BLOCKS + end + 1, 0, padded - end - 1);
  store<u64>(BLOCKS + padded - 8, bswap<u64>((<u64>(end + before)) << 3));
  for (let i: usize = 0; i < padded; i += 128) sha512Compress(STATE, BLOCKS + i);
  sha512Digest(STATE, out);
}

/** A 48-byte big-endian number: its low 255 bits to `target`, the rest to `high`. */
function setWide(target: usize, high: usize, lane: usize, bytes: usize): void {
  const w0 = bswap<u64>(load<u64>(bytes, 40));
  const w1 = bswap<u64>(load<u64>(bytes, 32));
  const w2 = bswap<u64>(load<u64>(bytes, 24));
  const w3 = bswap<u64>(load<u64>(bytes, 16));
  const w4 = bswap<u64>(load<u64>(bytes, 8));
  const w5 = bswap<u64>(load<u64>(bytes, 0));
  setLane(target, lane, w0, w1, w2, w3);
  setLane(high, lane, (w3 >> 63) | (w4 << 1), (w4 >> 63) | (w5 << 1), w5 >> 63, 0);
}
