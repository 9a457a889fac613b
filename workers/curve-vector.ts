/**
 * The vector kernel of curve25519: eight points at a time by AVX-512 IFMA, several times as fast
 * as libsodium (`npm run bench -- psi --case 'ecdh 2^14'`). C, compiled by `npm run build` where the machine has a compiler, since WASM has
 * neither vectors of this width nor their product; optional, for a build without one and a processor
 * without the instructions do the same slower.
 * @see workers/vector
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { POINT_BYTES, nobleCurve } from '../protocols/common/noble-curve.ts';
import type { CurvePrimitive } from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { requireHashSizes } from './curve-kernel.ts';
import { newestMs } from './kernel-file.ts';

/** What the addon exports; positions are −1 where there is nothing to name. */
interface Addon {
  /** One scalar or many, one point or many: as many products as `out` has room for. */
  multiply(scalars: Uint8Array, points: Uint8Array, out: Uint8Array): number;
  hashToCurve(tag: Uint8Array, messages: Uint8Array, messageBytes: number, out: Uint8Array): number;
  firstBadPoint(points: Uint8Array): number;
}

/** The part of `CurvePrimitive` that the vector kernel does. */
export type VectorCurve = Pick<
  CurvePrimitive,
  'engine' | 'multiply' | 'multiplyOne' | 'hashToCurve' | 'requirePoints'
>;

/** The kernel of the build; none where the build or the processor has none. */
export function loadVectorCurve(): VectorCurve | undefined {
  const isSource = import.meta.url.endsWith('.ts');
  const built = isSource ? '../dist/workers/vector/' : './vector/';
  const file = new URL(`${built}curve25519.node`, import.meta.url);
  return openVectorCurve(file, isSource ? new URL('./vector/', import.meta.url) : undefined);
}

/**
 * The kernel of a given file.
 * @param sources - their folder, with a slash at the end; none where only the build is there.
 * @throws Error where it is older than its sources, or answers otherwise than the others
 */
export function openVectorCurve(file: URL, sources?: URL): VectorCurve | undefined {
  // A build may take it away at any moment.
  const built = statSync(file, { throwIfNoEntry: false });
  if (built === undefined) return undefined;
  if (sources !== undefined && newestMs(sources) > built.mtimeMs) {
    throw new Error('The vector kernel is older than its sources: npm run build.');
  }
  const addon = load(file);
  if (addon.multiply === undefined) return undefined;
  const curve = vectorCurveOf(addon as Addon);
  requireSound(curve);
  return curve;
}

/** What the file exports: nothing on a processor, or for a system, that it was not made for. */
function load(file: URL): Partial<Addon> {
  try {
    if (isCutShort(readFileSync(file))) return {};
    return createRequire(import.meta.url)(fileURLToPath(file)) as Partial<Addon>;
  } catch {
    return {};
  }
}

const ELF_MAGIC = 0x7f454c46;
const ELF_HEADER_BYTES = 64;

/**
 * A library that a full disk or a broken copy cut short: to load it would end the process by a signal.
 * Linkers write the table of its sections last.
 * @see elf(5)
 */
function isCutShort(library: Buffer): boolean {
  if (library.length < ELF_HEADER_BYTES || library.readUInt32BE(0) !== ELF_MAGIC) return false;
  const sections = library.readUInt16LE(58) * library.readUInt16LE(60);
  return library.readBigUInt64LE(40) + BigInt(sections) > BigInt(library.length);
}

function vectorCurveOf(addon: Addon): VectorCurve {
  return {
    engine: 'avx512ifma',
    multiply(scalar, points) {
      requireLength(scalar, POINT_BYTES);
      return products(addon, scalar, points, points.length);
    },
    multiplyOne(scalars, point) {
      requireLength(point, POINT_BYTES);
      return products(addon, scalars, point, scalars.length);
    },
    hashToCurve(tag, messages, messageBytes, count) {
      requireHashSizes(tag, messages, messageBytes, count);
      const points = new Uint8Array(count * POINT_BYTES);
      const missed = addon.hashToCurve(tag, messages, messageBytes, points);
      return missed < 0 ? points : nobleCurve.hashToCurve(tag, messages, messageBytes, count);
    },
    requirePoints(points) {
      const bad = addon.firstBadPoint(points);
      if (bad < 0) return;
      throw new ProtocolError('point-invalid', `point ${bad} is not acceptable`);
    },
  };
}

function products(
  addon: Addon,
  scalars: Uint8Array,
  points: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const out = new Uint8Array(lengthBytes);
  const low = addon.multiply(scalars, points, out);
  if (low < 0) return out;
  throw new ProtocolError('point-invalid', `point ${low} is of low order`);
}

/** Else one would be taken for many, or many for one. */
function requireLength(bytes: Uint8Array, lengthBytes: number): void {
  if (bytes.length === lengthBytes) return;
  throw new ProtocolError('length-wrong', `${lengthBytes} bytes are due, not ${bytes.length}`);
}

const CHECK_POINTS = 9;
/** SHA-256 of what `knownAnswer` must give. */
const KNOWN_ANSWER = '39c5361a57f5b0861483d24ee9d90375dcda45422e37fb94004084b2c88482b3';

/**
 * Hashes, checks and products of a few points, more than one vector of them: the same with every
 * implementation.
 */
function knownAnswer(curve: Omit<VectorCurve, 'engine'>): string {
  const messages = Uint8Array.from({ length: CHECK_POINTS * 5 }, (_, i) => i);
  const scalar = new Uint8Array(POINT_BYTES).fill(0x5a);
  const points = curve.hashToCurve(scalar, messages, 5, CHECK_POINTS);
  curve.requirePoints(points);
  const hash = createHash('sha256').update(points).update(curve.multiply(scalar, points));
  return hash.update(curve.multiplyOne(points, points.subarray(0, POINT_BYTES))).digest('hex');
}

/**
 * The compiler is the machine's own, not one we tested: no kernel is used before it has answered as
 * the others do.
 * @throws Error where it does not
 */
function requireSound(curve: VectorCurve): void {
  let answer: string | undefined;
  try {
    answer = knownAnswer(curve);
  } catch {
    // It refuses a good point.
  }
  if (answer === KNOWN_ANSWER) return;
  throw new Error(
    'The vector kernel of curve25519 computes something else than it should: ' +
      'compile it otherwise (CC), or take away dist/workers/vector.',
  );
}
