/** Encrypts an analyst's weights on its own machine: what leaves it is ciphertext under the recipient's key. */
import { createHash } from 'node:crypto';
import type { Contract } from '../contracts/contract.ts';
import { weightedShapeOf, type WeightedShape } from '../computations/secret-weights/shape.ts';
import { widestArguments } from '../contracts/provisional.ts';
import { SetupError } from '../errors.ts';
import { HashSchema, type Hash } from '../system/ids.ts';
import { concatBytes } from '../../protocols/common/bytes.ts';
import {
  encodePublicBundle,
  type SealingKeys,
  WEIGHING_KEYS,
} from '../../protocols/homomorphic/keys.ts';
import type { EncryptWeightsArgument } from '../../workers/weights.ts';

type PublicKeys = SealingKeys['publicKeys'];

/** The same for every request: arguments only choose cells. @throws as `weightedShapeOf` */
export function weightedShape(contract: Contract): WeightedShape {
  return weightedShapeOf(contract, widestArguments(contract.parameters));
}

/** What a contract names of the recipient's public keys: as many as its bounds need. */
export function weighingKeyHash(publicKeys: PublicKeys, residues: number): Hash {
  const bundle = bundleOf(publicKeys, residues);
  return HashSchema.parse(createHash('sha256').update(bundle).digest('hex'));
}

/**
 * The public keys and the encrypted weights, as they come with a request.
 *
 * Secret: `weights`, wiped in the end.
 * @param weights - in units of 10^−scale, output by output over all cells.
 * @param encrypt - moves a task's weights to a thread of this process, and runs `encryptWeightsTask`.
 * @throws SetupError `key-unreadable` where the contract names other keys; ProtocolError
 *   `value-out-of-range` for a weight beyond the agreed bound.
 */
export async function encryptedWeights(
  contract: Contract,
  publicKeys: PublicKeys,
  weights: BigInt64Array<ArrayBuffer>,
  encrypt: (task: EncryptWeightsArgument) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { places, residues } = weightedShape(contract);
  const { protocol } = contract;
  const isNamed =
    protocol.name === 'secret-weights' &&
    protocol.weighingKeyHash === weighingKeyHash(publicKeys, residues);
  if (!isNamed) throw otherKey();
  try {
    const ciphertexts: Uint8Array[] = [];
    for (const place of places) {
      const publicKey = publicKeys[place.residue] ?? new Uint8Array();
      ciphertexts.push(await encrypt({ place, publicKey, weights: weights.slice() }));
    }
    return concatBytes([bundleOf(publicKeys, residues), ...ciphertexts]);
  } finally {
    weights.fill(0n);
  }
}

function bundleOf(publicKeys: PublicKeys, residues: number): Uint8Array {
  return encodePublicBundle(publicKeys.slice(0, residues), WEIGHING_KEYS);
}

function otherKey(): SetupError {
  return new SetupError('key-unreadable', 'The contract names another weighing key.', {
    rule: 'weighingKeyHash',
    remedy: 'Use the weighing key that was made for this contract.',
  });
}
