/** What a sealed sum looks like, from the contract and the request's arguments alone. */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { VectorNoise } from '../../disclosure/noise-plan.ts';
import { InputError } from '../../errors.ts';
import { decodeBase64url } from '../../system/base64url.ts';
import type { BgvPublicKey } from '../../../protocols/common/bgv.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { residueCount, type SealedVector } from '../../../protocols/homomorphic/headroom.ts';
import { parsePublicBundle } from '../../../protocols/homomorphic/keys.ts';
import type { FramePlace } from '../../../protocols/homomorphic/messages.ts';
import { ciphertextCount, DEGREE, frameCount } from '../../../protocols/homomorphic/params.ts';
import { shapeOf, type MeasuredColumn, type Shape } from '../secure-sum/shape.ts';

/**
 * Ciphertexts of one result, 64 KiB each: a result is kept, encrypted once more to its recipient,
 * as one document.
 */
export const CIPHERTEXTS_MAX = 256;

export interface SealedShape {
  /** The partition, its counting round and its vectors: those of a secure sum. */
  readonly base: Shape;
  /** The vectors of the secure sum's second round, as residues. */
  readonly vectors: readonly SealedVector[];
  /** The recipient's public keys, one a residue. */
  readonly publicKeys: readonly BgvPublicKey[];
  /** Every frame a party sends, in this order. */
  readonly places: readonly FramePlace[];
  /** Ciphertexts a party sends. */
  readonly ciphertexts: number;
  /** 64-bit words that a party sends over both rounds. */
  readonly lanes: number;
}

/**
 * Plans a sealed sum.
 * @throws InputError as `shapeOf` of the secure sum; `query-not-supported` for another protocol;
 *   `parameter-invalid` for an unusable sealing key; `too-many-cells`, `overflow-possible`.
 */
export function sealedShapeOf(contract: Contract, args: Arguments): SealedShape {
  const base = shapeOf(contract, args);
  const vectors = vectorsOf(contract, base);
  const residues = vectors.map(residuesOf);
  const publicKeys = publicKeysOf(contract, Math.max(...residues));
  const perResidue = ciphertextCount(base.cells);
  const ciphertexts = residues.reduce((sum, count) => sum + count * perResidue, 0);
  if (ciphertexts > CIPHERTEXTS_MAX) {
    throw new InputError('too-many-cells', `The result would take ${ciphertexts} ciphertexts.`, {
      rule: `at most ${CIPHERTEXTS_MAX} ciphertexts in a sealed sum`,
      remedy: 'Use fewer groups, shorter dictionaries, fewer measures or tighter bounds.',
    });
  }
  const lanes = base.counts.vectors.length * base.cells + ciphertexts * 2 * DEGREE;
  return { base, vectors, publicKeys, places: placesOf(vectors), ciphertexts, lanes };
}

/**
 * How many public keys the contract's bounds need: the same for every request, since arguments
 * only choose cells.
 * @throws InputError as `sealedShapeOf`, the sealing key aside.
 */
export function residuesNeeded(contract: Contract): number {
  const args = Object.fromEntries(
    Object.entries(contract.parameters).map(([name, { labels }]) => [name, labels.slice(0, 1)]),
  );
  return Math.max(...vectorsOf(contract, shapeOf(contract, args)).map(residuesOf));
}

/**
 * Rows, then for each column its non-null rows, sum and, where asked, sum of squares: bounds of one
 * holder's cell, its share of noise included.
 */
function vectorsOf(contract: Contract, base: Shape): readonly SealedVector[] {
  const rowsMax = BigInt(Math.max(...contract.datasets.map((dataset) => dataset.rowsMax)));
  const counts = { laneBytes: 8, minimum: 0n, maximum: rowsMax } as const;
  const bounds = [
    widened(counts, base.noise?.rows),
    ...base.columns.flatMap((column, index) => {
      const noise = base.noise?.columns[index];
      const sums = [widened(counts, noise?.nonNull), widened(sumsOf(column, rowsMax), noise?.sum)];
      if (!column.squares) return sums;
      return [...sums, widened(squaresOf(column, rowsMax), noise?.squares)];
    }),
  ];
  const common = { cells: base.cells, addends: contract.holders.length };
  return bounds.map((bound, vector) => ({ vector, ...bound, ...common }));
}

type LaneBounds = Pick<SealedVector, 'laneBytes' | 'minimum' | 'maximum'>;

/** By the most that one holder's noise can be: clamping must not cut it, which would bias it. */
function widened(bounds: LaneBounds, noise: VectorNoise | undefined): LaneBounds {
  const tail = noise?.tail ?? 0n;
  return { ...bounds, minimum: bounds.minimum - tail, maximum: bounds.maximum + tail };
}

/** An empty cell is a sum too, so zero is always within. */
function sumsOf(column: MeasuredColumn, rowsMax: bigint): LaneBounds {
  const [minimum, maximum] = [BigInt(column.minimum), BigInt(column.maximum)];
  return {
    laneBytes: 8,
    minimum: minimum < 0n ? rowsMax * minimum : 0n,
    maximum: maximum > 0n ? rowsMax * maximum : 0n,
  };
}

function squaresOf(column: MeasuredColumn, rowsMax: bigint): LaneBounds {
  const [minimum, maximum] = [BigInt(column.minimum), BigInt(column.maximum)];
  const bound = -minimum > maximum ? -minimum : maximum;
  return { laneBytes: 16, minimum: 0n, maximum: rowsMax * bound * bound };
}

function residuesOf(vector: SealedVector): number {
  try {
    return residueCount(vector);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new InputError(
      'overflow-possible',
      'A sum could exceed what the encryption holds.',
      {
        rule: 'holders · rows · bound within the plain moduli',
        remedy: 'Declare tighter bounds, a smaller scale or smaller row caps.',
      },
      { cause: error },
    );
  }
}

/** The contract's keys; every signature covers them, yet they are the recipient's word only. */
function publicKeysOf(contract: Contract, residues: number): readonly BgvPublicKey[] {
  if (contract.protocol.name !== 'sealed-sum') {
    throw new InputError('query-not-supported', 'The contract is not for a sealed sum.', {
      remedy: 'Propose a contract whose protocol is sealed-sum, with a sealing key.',
    });
  }
  let keys: readonly BgvPublicKey[];
  try {
    keys = parsePublicBundle(decodeBase64url(contract.protocol.sealingKey));
  } catch (error) {
    throw unusable('it is not a public bundle of this protocol', error);
  }
  if (keys.length < residues) throw unusable(`these bounds need keys for ${residues} residues`);
  return keys;
}

function placesOf(vectors: readonly SealedVector[]): readonly FramePlace[] {
  return vectors.flatMap((vector) =>
    Array.from({ length: residueCount(vector) }, (_, residue) => residue).flatMap((residue) =>
      Array.from({ length: frameCount(vector.cells) }, (__, frame) => ({ vector, residue, frame })),
    ),
  );
}

function unusable(why: string, cause?: unknown): InputError {
  return new InputError(
    'parameter-invalid',
    `The contract's sealing key cannot be used: ${why}.`,
    {
      rule: 'sealingKey',
      remedy: 'The recipient makes a sealing key and puts it in the contract.',
    },
    { cause },
  );
}
