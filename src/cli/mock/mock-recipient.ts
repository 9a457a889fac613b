/**
 * The recipient of a mock run, with keys that this process makes and forgets: what is sealed is sealed
 * to them and opened here, by the code that opens the real thing.
 */
import { openMatch } from '../../client/match-opener.ts';
import { releaseKindOf } from '../../client/release-kind.ts';
import { openSealedSum } from '../../client/sealed-opener.ts';
import { sealingKeyText, type SealingKey } from '../../client/sealing-key.ts';
import type { Release } from '../../computations/computation.ts';
import { residuesNeeded } from '../../computations/sealed-sum/shape.ts';
import type { Contract } from '../../contracts/contract.ts';
import type { Descriptor } from '../../contracts/descriptor.ts';
import { InvariantError } from '../../errors.ts';
import type { Pool } from '../../pool/pool.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { createExchangeKeys } from '../../system/exchange-keys.ts';
import { systemRandom } from '../../system/random.ts';

export interface MockRecipient {
  /** The contract with the recipient's keys in it. */
  readonly contract: Contract;
  /** The table, opened where it is sealed. @throws AbortError as the real openers */
  open(release: Release, descriptor: Descriptor): Promise<Release>;
}

/** @param contract - provisional: of its recipient's keys nothing is kept. */
export async function mockRecipient(contract: Contract, pool: Pool): Promise<MockRecipient> {
  const recipient = createExchangeKeys(systemRandom);
  const { id } = contract.recipient;
  const readable = {
    ...contract,
    recipient: { id, encryptionKey: encodeBase64url(recipient.publicKey) },
  };
  const sealing = await sealingKeyOf(readable, pool);
  const keyed =
    sealing === undefined ? readable : { ...readable, protocol: protocolOf(readable, sealing) };
  return {
    contract: keyed,
    open: (release, { runId, contractHash, requestHash }) => {
      const place = { runId, contractHash, requestHash };
      const kind = releaseKindOf(keyed);
      if (kind === 'match') return openMatch(release, place, keyed, recipient);
      if (kind === 'table') return Promise.resolve(release);
      if (sealing === undefined) throw new InvariantError('internal', 'sealed without a key');
      return openSealedSum(release, {
        contract: keyed,
        recipient,
        sealingKey: sealing,
        openFrames: (task) => pool.run('homomorphic', 'openFramesTask', task),
      });
    },
  };
}

async function sealingKeyOf(contract: Contract, pool: Pool): Promise<SealingKey | undefined> {
  if (contract.protocol.name !== 'sealed-sum') return undefined;
  const residues = residuesNeeded(contract);
  return pool.run<SealingKey>('homomorphic', 'generateKeysTask', { residues });
}

function protocolOf(contract: Contract, { publicKeys }: SealingKey): Contract['protocol'] {
  return {
    name: 'sealed-sum',
    sealingKey: sealingKeyText(publicKeys, residuesNeeded(contract)),
  };
}
