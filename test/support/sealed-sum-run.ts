/** A whole sealed sum in memory: the secure sum's cases, roles of the sealed one, and the opener. */
import { generateKeyPairSync } from 'node:crypto';
import { openSealedSum } from '../../src/client/sealed-opener.ts';
import { sealingKeyText, type SealingKey } from '../../src/client/sealing-key.ts';
import type { GatewayRole, Release } from '../../src/computations/computation.ts';
import { sealedSum } from '../../src/computations/sealed-sum/sealed-sum.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { contractHash, descriptorHash } from '../../src/contracts/signed-documents.ts';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { decodeBase64url, encodeBase64url } from '../../src/system/base64url.ts';
import { GATEWAY, type PartyId } from '../../src/system/ids.ts';
import type { KeyPair } from '../../src/system/signature-suite.ts';
import type { SealingKeys } from '../../protocols/homomorphic/keys.ts';
import type { OpenFramesArgument } from '../../workers/homomorphic.ts';
import { memoryNetwork, timedOut, type MemoryNetwork, type Tamper } from './memory-network.ts';
import {
  laneSource,
  prepare,
  seededRandom,
  type Prepared,
  type RunCase,
  caseNoise,
} from './secure-sum-run.ts';

/** The recipient's two keys: one for results, one for sums. */
export interface Recipient {
  readonly keys: KeyPair;
  readonly sealingKey: SealingKey;
}

export async function makeRecipient(pool: Pool, residues = 4): Promise<Recipient> {
  const made = await pool.run<SealingKeys>('homomorphic', 'generateKeysTask', { residues });
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const raw = privateKey.export({ format: 'jwk' });
  return {
    keys: {
      publicKey: decodeBase64url(String(publicKey.export({ format: 'jwk' }).x)),
      secretKey: decodeBase64url(String(raw.d)),
    },
    sealingKey: made,
  };
}

/** The contract's text for all keys of a recipient. */
export function sealingText({ sealingKey: { publicKeys } }: Recipient): string {
  return sealingKeyText(publicKeys, publicKeys.length);
}

/** Contract and descriptor of a sealed sum over a case. */
export function prepareSealed(
  run: RunCase,
  recipient: Recipient,
  terms: Partial<Contract> = {},
): Prepared {
  const change: Partial<Contract> = {
    ...terms,
    protocol: { name: 'sealed-sum', sealingKey: sealingText(recipient) },
    recipient: {
      id: 'analyst' as PartyId,
      encryptionKey: encodeBase64url(recipient.keys.publicKey),
    },
  };
  const prepared = prepare(run, {}, change);
  const { contract } = prepared;
  const estimate = sealedSum.estimate(contract, {});
  const descriptor = {
    ...prepared.descriptor,
    protocol: 'sealed-sum' as const,
    contractHash: contractHash(contract),
    engine: estimate.engine,
    shape: { cells: estimate.cells, lanes: estimate.lanes },
  };
  const hash = Buffer.from(descriptorHash(descriptor), 'hex');
  return { ...prepared, descriptor, descriptorHash: new Uint8Array(hash) };
}

export interface SealedOutcome {
  readonly release: PromiseSettledResult<Release>;
  readonly domains: readonly PromiseSettledResult<void>[];
  readonly network: MemoryNetwork;
  readonly steps: readonly string[];
}

/** Runs every role to its end; when one fails the network ends, as a relay would. */
export async function runSealed(
  run: RunCase,
  prepared: Prepared,
  pool: Pool,
  tamper?: Tamper,
  gateway: (role: GatewayRole) => Promise<Release> = (role) => sealedSum.runGateway(role),
): Promise<SealedOutcome> {
  const network = memoryNetwork(tamper);
  const steps: string[] = [];
  const ending = async <Answer>(work: Promise<Answer>): Promise<Answer> => {
    try {
      return await work;
    } catch (error) {
      network.end(timedOut());
      throw error;
    }
  };
  const { contract, descriptor } = prepared;
  const released = ending(
    gateway({
      contract,
      descriptor,
      channel: network.channel(GATEWAY),
      pool,
      progress: () => {},
    }),
  );
  const domains = descriptor.parties.map(({ id }, index) =>
    ending(
      sealedSum.runDomain({
        self: id,
        identity: prepared.identities.get(id)!,
        ephemeralSecret: prepared.secrets.get(id)!,
        contract,
        descriptor,
        descriptorHash: prepared.descriptorHash,
        channel: network.channel(id),
        sealedTo: (peer) => network.sealed(id, peer),
        source: laneSource(run, run.parts[index] ?? [], prepared.cells),
        stages: DISCLOSURE_STAGES,
        admit: undefined,
        noiseOf: run.noiseSeed === undefined ? undefined : caseNoise(run.noiseSeed, id),
        pool,
        random: seededRandom(`${run.seed} ${id}`),
        step: async (name) => {
          steps.push(`${id} ${name}`);
        },
      }),
    ),
  );
  const [release] = await Promise.allSettled([released]);
  return { release, domains: await Promise.allSettled(domains), network, steps };
}

/** The recipient's side, on threads of the same pool. */
export function openWith(
  pool: Pool,
  prepared: Pick<Prepared, 'contract' | 'descriptor'>,
  recipient: Recipient,
  release: Release,
): Promise<Release> {
  return openSealedSum(release, {
    contract: prepared.contract,
    requestHash: prepared.descriptor.requestHash,
    recipient: recipient.keys,
    sealingKey: recipient.sealingKey,
    openFrames: (task: OpenFramesArgument) =>
      pool.run('homomorphic', 'openFramesTask', task, { transfer: [task.secretKey.buffer] }),
  });
}
