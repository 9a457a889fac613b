/**
 * Opens a weighted sum on the recipient's own machine: the only place where its secret key is. What
 * the gateway handed over is taken as hostile until it is verified.
 */
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import { descriptorHash, signKeyOf } from '../contracts/signed-documents.ts';
import type { Release } from '../computations/computation.ts';
import { openStatement, WEIGHTS_STATEMENT } from '../computations/sealed-sum/statement.ts';
import { asSealedAbort } from '../computations/sealed-sum/wire.ts';
import { countedCellsBytes, isCounted } from '../computations/secret-weights/counted-cells.ts';
import { ENGINE } from '../computations/secret-weights/estimate.ts';
import { weightedShapeOf, type WeightedShape } from '../computations/secret-weights/shape.ts';
import { isWeightedRelease } from '../computations/secret-weights/wire.ts';
import { decimalText } from '../computations/secure-sum/rational.ts';
import { selectedCells } from '../computations/secure-sum/suppression.ts';
import { AbortError } from '../errors.ts';
import { decodeBase64url } from '../system/base64url.ts';
import type { Hash } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { OpenWeightedArgument } from '../../workers/weights.ts';
import { otherThan, verifiedDescriptor } from './released-descriptor.ts';
import type { SealingKey } from './sealing-key.ts';
import { weighingKeyHash } from './weights-sender.ts';

/** What the recipient has besides the result. */
export interface WeightsOpener {
  /** As all its parties signed it. */
  readonly contract: Contract;
  /** Hash of the request that asked for this run; absent where another party asked. */
  readonly requestHash?: Hash;
  /** The recipient's X25519 keys, raw. */
  readonly recipient: KeyPair;
  /** The secret half of the contract's weighing key. */
  readonly weighingKey: SealingKey;
  /** Moves the task's key to a thread of this process, and runs `openWeightedTask` there. */
  readonly open: (task: OpenWeightedArgument) => Promise<readonly bigint[]>;
}

/**
 * Verifies a weighted release and opens it: for each measure Σ weight · cell, exactly, and how many
 * cells it counts. It must be of this contract and request, by parties of the contract, signed by the
 * first of them, and every sum must carry its tags.
 *
 * Secret: `recipient` and `weighingKey` stay in this process.
 * @throws AbortError `decryption-failed` for a wrong key or a changed result, `transcript-mismatch`
 *   for ciphertexts that are not of the agreed form; StateError `descriptor-mismatch`; IdentityError
 *   `signature-invalid`
 */
export async function openWeightedSum(release: Release, opener: WeightsOpener): Promise<Release> {
  const { contract, recipient, weighingKey } = opener;
  const [statement = '', descriptorText = '', ...ciphertexts] = textsOf(release);
  const descriptor = verifiedDescriptor(descriptorText, contract, opener.requestHash);
  const shape = weightedShapeOf(contract, descriptor.arguments);
  checkShape(descriptor, shape, ciphertexts);
  checkKey(contract, shape, weighingKey);
  const hash = descriptorHash(descriptor);
  const [first] = descriptor.parties;
  if (first === undefined) throw otherThan('parties');
  const { tagKey, more } = await openStatement(
    WEIGHTS_STATEMENT,
    statement,
    hash,
    signKeyOf(contract, first.id),
    recipient,
    countedCellsBytes(shape),
  );
  try {
    const sums = await asSealedAbort(() =>
      opener.open({
        secretKey: new Uint8Array(weighingKey.secretKey),
        shape: shape.weights,
        sums: ciphertexts.map((text) => decodeBase64url(text)),
        tagKey,
        descriptorHash: new Uint8Array(Buffer.from(hash, 'hex')),
      }),
    );
    return tableOf(shape, sums, more);
  } finally {
    tagKey.fill(0);
  }
}

function textsOf(release: Release): readonly string[] {
  const texts = release.rows.map(([text]) => (typeof text === 'string' ? text : ''));
  if (!isWeightedRelease(release) || texts.length < 3) throw otherThan('weighted release');
  return texts;
}

function checkShape(
  descriptor: Descriptor,
  shape: WeightedShape,
  ciphertexts: readonly string[],
): void {
  const isPlanned =
    descriptor.protocol === 'secret-weights' &&
    descriptor.engine === ENGINE &&
    descriptor.shape.cells === shape.base.cells &&
    descriptor.shape.lanes === shape.lanes &&
    ciphertexts.length === shape.places.length;
  if (!isPlanned) throw otherThan('shape');
}

/** Told apart from a changed result only here, where no ciphertext is looked at yet. */
function checkKey({ protocol }: Contract, shape: WeightedShape, { publicKeys }: SealingKey): void {
  const own = weighingKeyHash(publicKeys, shape.residues);
  if (protocol.name === 'secret-weights' && protocol.weighingKeyHash === own) return;
  throw new AbortError('decryption-failed', 'The contract names another weighing key.', {
    rule: 'weighingKeyHash',
    remedy: 'Use the weighing key that was made for this contract.',
  });
}

/** A line a measure: its weighted sum, and how many of the chosen cells it counts. */
function tableOf(shape: WeightedShape, sums: readonly bigint[], counted: Uint8Array): Release {
  const chosen = selectedCells(shape.base);
  let [releasedCells, suppressedCells] = [0, 0];
  const rows = shape.outputs.map(({ as, scale }, output) => {
    let [cells, withheld] = [0, 0];
    for (const [cell, isChosen] of chosen.entries()) {
      if (isChosen !== 1) continue;
      if (isCounted(shape, counted, output, cell)) cells += 1;
      else withheld += 1;
    }
    releasedCells += cells;
    suppressedCells += withheld;
    return [as, decimalText(sums[output] ?? 0n, scale), cells, withheld];
  });
  const columns = ['measure', 'weighted_sum', 'cells_counted', 'cells_withheld'];
  return { columns, rows, suppressedCells, releasedCells };
}
