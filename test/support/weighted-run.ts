/** A whole weighted sum in memory: the secure sum's cases, roles of the weighted one, and the opener. */
import { createHash } from 'node:crypto';
import { openWeightedSum } from '../../src/client/weights-opener.ts';
import {
  encryptedWeights,
  weightedShape,
  weighingKeyHash,
} from '../../src/client/weights-sender.ts';
import type { GatewayRole, Release } from '../../src/computations/computation.ts';
import { secretWeights } from '../../src/computations/secret-weights/secret-weights.ts';
import type { WeightedShape } from '../../src/computations/secret-weights/shape.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { contractHash, descriptorHash } from '../../src/contracts/signed-documents.ts';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { GATEWAY, HashSchema, type PartyId } from '../../src/system/ids.ts';
import type { SealingKeys } from '../../protocols/homomorphic/keys.ts';
import type { EncryptWeightsArgument, OpenWeightedArgument } from '../../workers/weights.ts';
import { memoryNetwork, timedOut, type MemoryNetwork, type Tamper } from './memory-network.ts';
import { makeRecipient, type Recipient } from './sealed-sum-run.ts';
import {
  caseNoise,
  laneSource,
  prepare,
  seededRandom,
  type Prepared,
  type RunCase,
} from './secure-sum-run.ts';

/** Weights of two decimals, at most 10 either way. */
export const WEIGHT_TERMS = { maximum: '1000', scale: 2 };

/** The recipient with a weighing key, for two residues, in the place of its sealing key. */
export async function makeWeigher(pool: Pool): Promise<Recipient> {
  const { keys } = await makeRecipient(pool, 1);
  const sealingKey = await pool.run<SealingKeys>('weights', 'weighingKeysTask', { residues: 2 });
  return { keys, sealingKey };
}

/** Counts and sums of a case's columns. */
export function weightedPlan(run: RunCase): Contract['plan'] {
  return {
    kind: 'aggregate',
    table: 'd',
    groups: run.groups.map((_, index) => ({ column: `g${index}` })),
    measures: [
      { as: 'n', fn: 'count' },
      ...run.columns.map((_, index) => ({
        as: `sum${index}`,
        fn: 'sum' as const,
        column: `x${index}`,
      })),
    ],
    select: [],
  };
}

/** Contract and descriptor of a weighted sum over a case. */
export function prepareWeighted(
  run: RunCase,
  recipient: Recipient,
  terms: Partial<Contract> = {},
): Prepared {
  const named = (weighingHash: string): Partial<Contract> => ({
    plan: weightedPlan(run),
    ...terms,
    protocol: {
      name: 'secret-weights',
      weighingKeyHash: HashSchema.parse(weighingHash),
      weights: WEIGHT_TERMS,
    },
    recipient: {
      id: 'analyst' as PartyId,
      encryptionKey: encodeBase64url(recipient.keys.publicKey),
    },
  });
  const { residues } = weightedShape(prepare(run, {}, named('0'.repeat(64))).contract);
  const hash = weighingKeyHash(recipient.sealingKey.publicKeys, residues);
  const prepared = prepare(run, {}, named(hash));
  const { contract } = prepared;
  const estimate = secretWeights.estimate(contract, {});
  const descriptor = {
    ...prepared.descriptor,
    protocol: 'secret-weights' as const,
    contractHash: contractHash(contract),
    engine: estimate.engine,
    shape: { cells: estimate.cells, lanes: estimate.lanes },
  };
  const bytes = Buffer.from(descriptorHash(descriptor), 'hex');
  return { ...prepared, descriptor, descriptorHash: new Uint8Array(bytes) };
}

/** A weight of an output and cell, in units. */
export type WeightOf = (output: number, cell: number) => number;

export function encrypted(
  pool: Pool,
  contract: Contract,
  recipient: Recipient,
  weightOf: WeightOf,
): Promise<Uint8Array> {
  const { outputs, base } = weightedShape(contract);
  const weights = new BigInt64Array(outputs.length * base.cells).map((_, at) =>
    BigInt(weightOf(Math.floor(at / base.cells), at % base.cells)),
  );
  return encryptedWeights(
    contract,
    recipient.sealingKey.publicKeys,
    weights,
    (task: EncryptWeightsArgument) =>
      pool.run('weights', 'encryptWeightsTask', task, { transfer: [task.weights.buffer] }),
  );
}

export interface WeightedOutcome {
  readonly release: PromiseSettledResult<Release>;
  readonly domains: readonly PromiseSettledResult<void>[];
  readonly network: MemoryNetwork;
}

/**
 * Runs every role to its end; when one fails the network ends, as a relay would.
 * @param signed - whose hash the request names; what travels is `attachment`.
 */
export async function runWeighted(
  run: RunCase,
  prepared: Prepared,
  pool: Pool,
  attachment: Uint8Array,
  signed: Uint8Array | undefined = attachment,
  tamper?: Tamper,
  gateway: (role: GatewayRole) => Promise<Release> = (role) => secretWeights.runGateway(role),
): Promise<WeightedOutcome> {
  const network = memoryNetwork(tamper);
  const ending = async <Answer>(work: Promise<Answer>): Promise<Answer> => {
    try {
      return await work;
    } catch (error) {
      network.end(timedOut());
      throw error;
    }
  };
  const { contract, descriptor } = prepared;
  const channel = network.channel(GATEWAY);
  const released = ending(
    gateway({ contract, descriptor, channel, pool, attachment, progress: () => {} }),
  );
  const attachmentHash =
    signed === undefined
      ? undefined
      : HashSchema.parse(createHash('sha256').update(signed).digest('hex'));
  const domains = descriptor.parties.map(({ id }, index) =>
    ending(
      secretWeights.runDomain({
        self: id,
        identity: prepared.identities.get(id)!,
        ephemeralSecret: prepared.secrets.get(id)!,
        contract,
        descriptor,
        descriptorHash: prepared.descriptorHash,
        attachmentHash,
        channel: network.channel(id),
        sealedTo: (peer) => network.sealed(id, peer),
        source: laneSource(run, run.parts[index] ?? [], prepared.cells),
        stages: DISCLOSURE_STAGES,
        admit: undefined,
        noiseOf: run.noiseSeed === undefined ? undefined : caseNoise(run.noiseSeed, id),
        pool,
        random: seededRandom(`${run.seed} ${id}`),
        step: async () => {},
      }),
    ),
  );
  const [release] = await Promise.allSettled([released]);
  return { release, domains: await Promise.allSettled(domains), network };
}

/** The recipient's side, on threads of the same pool. */
export function openWeightedWith(
  pool: Pool,
  prepared: Pick<Prepared, 'contract' | 'descriptor'>,
  recipient: Recipient,
  release: Release,
): Promise<Release> {
  return openWeightedSum(release, {
    contract: prepared.contract,
    requestHash: prepared.descriptor.requestHash,
    recipient: recipient.keys,
    weighingKey: recipient.sealingKey,
    open: (task: OpenWeightedArgument) =>
      pool.run('weights', 'openWeightedTask', task, { transfer: [task.secretKey.buffer] }),
  });
}

/** Σ weight · cell over the rows of a secure sum's release, in units: the naive answer. */
export function naiveSums(shape: WeightedShape, table: Release, weightOf: WeightOf): bigint[] {
  const groups = shape.base.groups;
  return shape.outputs.map(({ as, map }, output) => {
    const at = table.columns.indexOf(as);
    const scale = shape.base.columns[map - 1]?.scale ?? 0;
    let sum = 0n;
    for (const row of table.rows) {
      const cell = groups.reduce((before, { labels }, index) => {
        const label = labels.indexOf(String(row[index]));
        return before * (labels.length + 1) + (label === -1 ? labels.length : label);
      }, 0);
      if (row[at] === null) continue;
      const [whole = '0', decimals = ''] = String(row[at]).split('.');
      const units = BigInt(whole.replace('-', '') + decimals.padEnd(scale, '0'));
      sum += (whole.startsWith('-') ? -units : units) * BigInt(weightOf(output, cell));
    }
    return sum;
  });
}
