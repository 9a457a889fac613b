/** What a weighted sum looks like, from the contract and the request's arguments alone. */
import type { Contract } from '../../contracts/contract.ts';
import { aggregatePlanOf } from '../../contracts/plan-fits.ts';
import type { Arguments } from '../../contracts/plan.ts';
import { InputError } from '../../errors.ts';
import { ciphertextSizeBytes } from '../../../protocols/common/bgv-ciphertext.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { publicBundleSizeBytes, WEIGHING_KEYS } from '../../../protocols/homomorphic/keys.ts';
import {
  WEIGHTS_CIPHERTEXTS_MAX,
  WEIGHTS_PART_SLOTS,
  weightsParameters,
  weightsPlaces,
  weightsResidueCount,
  type WeightsPlace,
  type WeightsShape,
} from '../../../protocols/homomorphic/weights-params.ts';
import { shapeOf, type Shape } from '../secure-sum/shape.ts';

const WORD_BYTES = 8;

/** One weighted sum: a measure of the plan, over all cells of the partition. */
export interface WeightedOutput {
  readonly as: string;
  /** Which vector of the secure sum's second round it weighs. */
  readonly vector: number;
  /** Which suppression map: of the rows, or of a measured column. */
  readonly map: number;
  /** Decimals of the result: the column's and the weights'. */
  readonly scale: number;
}

export interface WeightedShape {
  /** The partition, its counting round and its vectors: those of a secure sum. */
  readonly base: Shape;
  readonly weights: WeightsShape;
  /** Decimals of a weight. */
  readonly weightScale: number;
  readonly outputs: readonly WeightedOutput[];
  /** Every ciphertext that a party sends, in this order; so do the weights come. */
  readonly places: readonly WeightsPlace[];
  /** Public keys, one a residue. */
  readonly residues: number;
  readonly bundleSizeBytes: number;
  /** Public keys and encrypted weights, as they come with a request. */
  readonly attachmentSizeBytes: number;
  /** 64-bit words that a party sends over both rounds. */
  readonly lanes: number;
}

/**
 * Plans a weighted sum.
 * @throws InputError as `shapeOf` of the secure sum; `query-not-supported` for another protocol or a
 *   measure that cannot be weighted; `too-many-cells`, `overflow-possible`.
 */
export function weightedShapeOf(contract: Contract, args: Arguments): WeightedShape {
  const { protocol } = contract;
  if (protocol.name !== 'secret-weights') {
    throw new InputError('query-not-supported', 'The contract is not for secret weights.', {
      remedy: 'Propose a contract whose protocol is secret-weights.',
    });
  }
  const base = shapeOf(contract, args);
  const outputs = outputsOf(contract, base, protocol.weights.scale);
  const weights: WeightsShape = {
    outputs: outputs.length,
    perOutput: base.cells,
    weightMax: BigInt(protocol.weights.maximum),
    cellMax: cellMaxOf(contract, base, outputs),
    holders: contract.holders.length,
  };
  if (weights.outputs * weights.perOutput > WEIGHTS_CIPHERTEXTS_MAX * WEIGHTS_PART_SLOTS)
    throw tooMany(weights);
  const residues = residuesOf(weights);
  const places = weightsPlaces(weights);
  if (places.length > WEIGHTS_CIPHERTEXTS_MAX) throw tooMany(weights);
  const bundleSizeBytes = publicBundleSizeBytes(residues, WEIGHING_KEYS);
  const ciphertextsBytes = places.length * ciphertextSizeBytes(weightsParameters(0));
  return {
    base,
    weights,
    weightScale: protocol.weights.scale,
    outputs,
    places,
    residues,
    bundleSizeBytes,
    attachmentSizeBytes: bundleSizeBytes + ciphertextsBytes,
    lanes: base.counts.vectors.length * base.cells + ciphertextsBytes / WORD_BYTES,
  };
}

function outputsOf(
  contract: Contract,
  base: Shape,
  weightScale: number,
): readonly WeightedOutput[] {
  return aggregatePlanOf(contract).measures.map((measure) => {
    const { as, fn } = measure;
    if (fn === 'count') return { as, vector: 0, map: 0, scale: weightScale };
    const at =
      fn === 'sum' ? base.columns.findIndex(({ column }) => column === measure.column) : -1;
    const column = base.columns[at];
    if (column === undefined) {
      throw new InputError('query-not-supported', 'Only counts and sums can be weighted.', {
        rule: `${as} is ${fn}`,
        remedy: 'Ask for the sum and the count, and divide the weighted sums.',
      });
    }
    return { as, vector: column.sumVector, map: at + 1, scale: column.scale + weightScale };
  });
}

/** The most that one holder's cell can be, its share of noise included: clamping must not cut it. */
function cellMaxOf(contract: Contract, base: Shape, outputs: readonly WeightedOutput[]): bigint {
  const rowsMax = BigInt(Math.max(...contract.datasets.map((dataset) => dataset.rowsMax)));
  const bounds = outputs.map(({ map }) => {
    const column = base.columns[map - 1];
    if (column === undefined) return rowsMax + (base.noise?.rows.tail ?? 0n);
    const [low, high] = [-BigInt(column.minimum), BigInt(column.maximum)];
    const bound = low > high ? low : high;
    return rowsMax * bound + (base.noise?.columns[map - 1]?.sum.tail ?? 0n);
  });
  return bounds.reduce((most, bound) => (bound > most ? bound : most), 1n);
}

function residuesOf(weights: WeightsShape): number {
  try {
    return weightsResidueCount(weights);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new InputError(
      'overflow-possible',
      'A weighted sum could exceed what the encryption holds.',
      {
        rule: 'holders · cells · weight · rows · bound within the plain moduli',
        remedy:
          'Agree on smaller weights or fewer decimals of them, tighter bounds or smaller row caps.',
      },
      { cause: error },
    );
  }
}

function tooMany({ outputs, perOutput }: WeightsShape): InputError {
  return new InputError(
    'too-many-cells',
    `${outputs} measures of ${perOutput} cells are too many to be weighted in one run.`,
    {
      rule: `at most ${WEIGHTS_CIPHERTEXTS_MAX} ciphertexts of ${WEIGHTS_PART_SLOTS} values`,
      remedy: 'Use fewer groups, shorter dictionaries, fewer measures, or tighter bounds.',
    },
  );
}
