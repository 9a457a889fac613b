/**
 * Opens a sealed sum on the recipient's own machine: the only place where its secret key is. What
 * the gateway handed over is taken as hostile until it is verified.
 */
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import { descriptorHash, signKeyOf } from '../contracts/signed-documents.ts';
import type { Release } from '../computations/computation.ts';
import { finalize } from '../computations/secure-sum/finalize.ts';
import { ENGINE } from '../computations/sealed-sum/estimate.ts';
import { sealedShapeOf, type SealedShape } from '../computations/sealed-sum/shape.ts';
import { openStatement, SEALED_STATEMENT } from '../computations/sealed-sum/statement.ts';
import { asSealedAbort, isSealedRelease } from '../computations/sealed-sum/wire.ts';
import { AbortError } from '../errors.ts';
import { decodeBase64url } from '../system/base64url.ts';
import type { Hash } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { OpenInput } from '../../protocols/homomorphic/opener.ts';
import { frameCount } from '../../protocols/homomorphic/params.ts';
import { lanesOfFrame } from '../../protocols/homomorphic/party.ts';
import type { OpenFramesArgument } from '../../workers/homomorphic.ts';
import { otherThan, verifiedDescriptor } from './released-descriptor.ts';
import { sealingKeyText, type SealingKey } from './sealing-key.ts';

/** What the recipient has besides the result. */
export interface Opener {
  /** As all its parties signed it. */
  readonly contract: Contract;
  /** Hash of the request that asked for this run; absent where another party asked. */
  readonly requestHash?: Hash;
  /** The recipient's X25519 keys, raw. */
  readonly recipient: KeyPair;
  /** The secret half of the contract's sealing key. */
  readonly sealingKey: SealingKey;
  /** Moves the task's key to a thread of this process, and runs `openFramesTask` there. */
  readonly openFrames: (task: OpenFramesArgument) => Promise<readonly Uint8Array[]>;
}

/**
 * Verifies a sealed release, opens it and puts the table together: sums, counts, means, variances.
 * It must be of this contract and request, by parties of the contract, signed by the first of them,
 * and every ciphertext must carry the tags of its sum.
 *
 * Secret: `recipient` and `sealingKey` stay in this process.
 * @throws AbortError `decryption-failed` for a wrong key or a changed result, `transcript-mismatch`
 *   for ciphertexts that are not of the agreed form, or sums that no holders could have;
 *   StateError `descriptor-mismatch`; IdentityError `signature-invalid`
 */
export async function openSealedSum(release: Release, opener: Opener): Promise<Release> {
  const [statement = '', descriptorText = '', ...frames] = textsOf(release);
  const descriptor = verifiedDescriptor(descriptorText, opener.contract, opener.requestHash);
  const { contract, sealingKey } = opener;
  const shape = sealedShapeOf(contract, descriptor.arguments);
  checkShape(descriptor, shape, frames);
  checkSealingKey(contract, shape, sealingKey);
  const hash = descriptorHash(descriptor);
  const [first] = descriptor.parties;
  if (first === undefined) throw otherThan('parties');
  const signKey = signKeyOf(contract, first.id);
  const { recipient } = opener;
  const told = await openStatement(SEALED_STATEMENT, statement, hash, signKey, recipient);
  const { tagKey } = told;
  try {
    const inputs = inputsOf(shape, frames, tagKey, new Uint8Array(Buffer.from(hash, 'hex')));
    const totals = await asSealedAbort(() => openTotals(shape, inputs, opener));
    return await finalize(contract, shape.base, totals);
  } finally {
    tagKey.fill(0);
  }
}

function textsOf(release: Release): readonly string[] {
  const texts = release.rows.map(([text]) => (typeof text === 'string' ? text : ''));
  if (!isSealedRelease(release) || texts.length < 3) throw otherThan('sealed release');
  return texts;
}

function checkShape(descriptor: Descriptor, shape: SealedShape, frames: readonly string[]): void {
  const isPlanned =
    descriptor.protocol === 'sealed-sum' &&
    descriptor.engine === ENGINE &&
    descriptor.shape.cells === shape.base.cells &&
    descriptor.shape.lanes === shape.lanes &&
    frames.length === shape.places.length;
  if (!isPlanned) throw otherThan('shape');
}

/** Told apart from a changed result only here, where no ciphertext is looked at yet. */
function checkSealingKey(
  { protocol }: Contract,
  { publicKeys }: SealedShape,
  sealingKey: SealingKey,
): void {
  const own = sealingKeyText(sealingKey.publicKeys, publicKeys.length);
  if (protocol.name === 'sealed-sum' && protocol.sealingKey === own) return;
  throw new AbortError('decryption-failed', 'The contract names another sealing key.', {
    rule: 'sealingKey',
    remedy: 'Use the sealing key that was made for this contract.',
  });
}

/** For each vector, its frames with all their residues. */
function inputsOf(
  shape: SealedShape,
  frames: readonly string[],
  tagKey: Uint8Array,
  hash: Uint8Array,
): readonly OpenInput[] {
  const bytes = shape.places.map((place, index) => ({
    ...place,
    sum: decodeBase64url(frames[index] ?? ''),
  }));
  return shape.vectors.flatMap((vector) =>
    Array.from({ length: frameCount(vector.cells) }, (_, frame) => ({
      vector,
      frame,
      sums: bytes
        .filter((place) => place.vector === vector && place.frame === frame)
        .map(({ sum }) => sum),
      tagKey,
      descriptorHash: hash,
    })),
  );
}

/** The vectors of the second round over all cells, as the secure sum would have opened them. */
async function openTotals(
  shape: SealedShape,
  inputs: readonly OpenInput[],
  opener: Opener,
): Promise<readonly Uint8Array[]> {
  const opened = await opener.openFrames({
    secretKey: new Uint8Array(opener.sealingKey.secretKey),
    frames: inputs,
  });
  const totals = shape.vectors.map(({ cells, laneBytes }) => new Uint8Array(cells * laneBytes));
  for (const [index, { vector, frame }] of inputs.entries()) {
    const { start } = lanesOfFrame({ vector, residue: 0, frame });
    totals[vector.vector]?.set(opened[index] ?? [], start);
  }
  return totals;
}
