/**
 * How many residues a vector needs, decided from public bounds before anything is encoded: a sum
 * that does not fit would wrap silently under encryption, where nobody could see it.
 */
import { ProtocolError } from '../common/protocol-error.ts';
import { ADDENDS_MAX, CIPHERTEXTS_MAX, ciphertextCount, PLAIN_MODULI } from './params.ts';

/** One vector of cells, as all parties agreed on it. */
export interface SealedVector {
  /** Its number within the run: labels every stream. */
  readonly vector: number;
  readonly cells: number;
  /** Two's complement little-endian lanes: 8 bytes for sums and counts, 16 for sums of squares. */
  readonly laneBytes: 8 | 16;
  /** What one holder's cell is clamped to. */
  readonly minimum: bigint;
  readonly maximum: bigint;
  /** Holders that contribute, at most. */
  readonly addends: number;
}

/** The largest absolute value that the sum of a cell can take. */
export function sumBound(vector: SealedVector): bigint {
  const low = vector.minimum < 0n ? -vector.minimum : vector.minimum;
  const high = vector.maximum < 0n ? -vector.maximum : vector.maximum;
  return BigInt(vector.addends) * (low > high ? low : high);
}

/**
 * Residues that hold every possible sum, signed: addends × |bound| < Π t / 2.
 * @returns 1..4
 * @throws ProtocolError `headroom-exceeded` where a sum might not fit its lane or four residues;
 * `parameter-invalid` for impossible shapes.
 */
export function residueCount(vector: SealedVector): number {
  if (
    !Number.isInteger(vector.addends) ||
    vector.addends < 2 ||
    vector.addends > ADDENDS_MAX ||
    vector.minimum > vector.maximum
  )
    throw new ProtocolError('parameter-invalid', `2..${ADDENDS_MAX} addends with ordered bounds`);
  if (
    !Number.isInteger(vector.cells) ||
    vector.cells < 1 ||
    ciphertextCount(vector.cells) > CIPHERTEXTS_MAX
  )
    throw new ProtocolError('parameter-invalid', `${vector.cells} cells`);
  const bound = sumBound(vector);
  if (bound >= 1n << BigInt(vector.laneBytes * 8 - 1))
    throw new ProtocolError('headroom-exceeded', `sums do not fit ${vector.laneBytes} bytes`);
  let product = 1n;
  for (const [index, plainModulus] of PLAIN_MODULI.entries()) {
    product *= plainModulus;
    if (2n * bound < product) return index + 1;
  }
  throw new ProtocolError('headroom-exceeded', 'sums do not fit the plain moduli');
}
