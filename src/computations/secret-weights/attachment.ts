/**
 * What comes with a request for a weighted sum: the recipient's public keys, whose hash the contract
 * names, and its encrypted weights, ciphertext by ciphertext. The hash of all of it is in the request.
 */
import { createHash } from 'node:crypto';
import type { Contract } from '../../contracts/contract.ts';
import { AbortError } from '../../errors.ts';
import { equalBytes } from '../../../protocols/common/bytes.ts';
import { ciphertextSizeBytes } from '../../../protocols/common/bgv-ciphertext.ts';
import type { BgvPublicKey } from '../../../protocols/common/bgv.ts';
import { parsePublicBundle, WEIGHING_KEYS } from '../../../protocols/homomorphic/keys.ts';
import { checkWeights } from '../../../protocols/homomorphic/weighted-party.ts';
import { weightsParameters } from '../../../protocols/homomorphic/weights-params.ts';
import type { WeightedShape } from './shape.ts';

/** As a domain uses it; every byte was checked. */
export interface ReceivedWeights {
  readonly publicKeys: readonly BgvPublicKey[];
  /** In the order of the shape's places. */
  readonly ciphertexts: readonly Uint8Array[];
}

/** Lengths of the messages in which it travels to the domains, one after another. */
export function pieceSizes({ bundleSizeBytes, places }: WeightedShape): readonly number[] {
  return [bundleSizeBytes, ...places.map(({ residue }) => sizeAt(residue))];
}

/**
 * Takes the pieces one by one; each has its exact length, all of them the hash that the analyst
 * signed, the keys the hash that every holder signed, and every residue is in range, before
 * anything native sees a byte.
 * @throws AbortError `transcript-mismatch`: the gateway handed over something else. ProtocolError
 *   `ciphertext-invalid` or `message-malformed` where the analyst itself sent what is no ciphertext.
 */
export async function receiveWeights(
  contract: Contract,
  shape: WeightedShape,
  attachmentHash: string | undefined,
  receive: () => Promise<Uint8Array>,
): Promise<ReceivedWeights> {
  const hash = createHash('sha256');
  const pieces: Uint8Array[] = [];
  for (const sizeBytes of pieceSizes(shape)) {
    const piece = await receive();
    if (piece.length !== sizeBytes) throw mismatch('length');
    hash.update(piece);
    pieces.push(piece);
  }
  if (hash.digest('hex') !== attachmentHash) throw mismatch('request.weightsHash');
  const [bundle = new Uint8Array(), ...ciphertexts] = pieces;
  const { protocol } = contract;
  const named = protocol.name === 'secret-weights' ? protocol.weighingKeyHash : '';
  const bundleHash = createHash('sha256').update(bundle).digest();
  if (!equalBytes(bundleHash, Buffer.from(named, 'hex'))) throw mismatch('weighingKeyHash');
  for (const [at, { residue }] of shape.places.entries())
    checkWeights(weightsParameters(residue), ciphertexts[at] ?? new Uint8Array());
  return { publicKeys: parsePublicBundle(bundle, WEIGHING_KEYS), ciphertexts };
}

function sizeAt(residue: number): number {
  return ciphertextSizeBytes(weightsParameters(residue));
}

function mismatch(rule: string): AbortError {
  return new AbortError('transcript-mismatch', 'The weights are not those of the signed request.', {
    rule,
    remedy: 'The analyst signs a new request over weights under the contract’s key.',
  });
}
