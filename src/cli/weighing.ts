/** An analyst's secret weights: the key they are encrypted under, and the way from a file to a request. */
import {
  createSealingKey,
  readSealingKey,
  readSealingPublicKeys,
  type SealingKey,
} from '../client/sealing-key.ts';
import { encryptedWeights, weightedShape, weighingKeyHash } from '../client/weights-sender.ts';
import { parseWeights } from '../client/weights-table.ts';
import { type Contract, ContractSchema } from '../contracts/contract.ts';
import { openPool } from '../pool/piscina-pool.ts';
import { systemRandom } from '../system/random.ts';
import { type SealingKeys, WEIGHING_KEYS } from '../../protocols/homomorphic/keys.ts';
import { keyDirectory } from './directories.ts';

/** What a contract says of weights. */
export type WeightTerms = Extract<Contract['protocol'], { name: 'secret-weights' }>['weights'];

/** Stands in for a hash while its length of keys is being planned. */
const NO_HASH = '0'.repeat(64);

/** Makes the key pair in this process; the secret half reaches the disk encrypted only. */
export async function makeWeighingKey(directory: string, passphrase: string): Promise<void> {
  const pool = openPool({ threadsMax: 1 });
  try {
    const { residuesMax } = WEIGHING_KEYS;
    const argument = { residues: residuesMax };
    const keys = await pool.run<SealingKeys>('weights', 'weighingKeysTask', argument);
    try {
      const own = keyDirectory(directory, 'weighing');
      createSealingKey(own, keys, passphrase, systemRandom, WEIGHING_KEYS);
    } finally {
      keys.secretKey.fill(0);
    }
  } finally {
    await pool.close();
  }
}

export function loadWeighingKey(directory: string, passphrase: string): SealingKey {
  return readSealingKey(keyDirectory(directory, 'weighing'), passphrase, WEIGHING_KEYS);
}

/** The same contract with secret weights of this analyst. @throws SetupError, InputError */
export function asWeighted(directory: string, contract: Contract, weights: WeightTerms): Contract {
  const named = (hash: string): Contract =>
    ContractSchema.parse({
      ...contract,
      protocol: { name: 'secret-weights', weighingKeyHash: hash, weights },
    });
  const { residues } = weightedShape(named(NO_HASH));
  return named(weighingKeyHash(publicKeysOf(directory), residues));
}

/** What comes with a request: a file's weights, encrypted in this process. @throws InputError, SetupError */
export async function weightsFor(
  directory: string,
  contract: Contract,
  text: string,
): Promise<Uint8Array> {
  const weights = parseWeights(text, weightedShape(contract));
  const pool = openPool({ threadsMax: 1 });
  try {
    return await encryptedWeights(contract, publicKeysOf(directory), weights, (task) =>
      pool.run('weights', 'encryptWeightsTask', task, { transfer: [task.weights.buffer] }),
    );
  } finally {
    await pool.close();
  }
}

function publicKeysOf(directory: string): SealingKeys['publicKeys'] {
  return readSealingPublicKeys(keyDirectory(directory, 'weighing'), WEIGHING_KEYS);
}
