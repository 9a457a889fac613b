/**
 * A run on generated data: the same planner, protocol, thresholds and finalisation as the real
 * thing, over mock rows made from published metadata, every party in this process. Nothing is
 * asked of a domain, nothing is counted, and nothing in the answer comes from a row.
 */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataSource } from '../../catalog/data-source.ts';
import { mockRegistration, mockRows } from '../../catalog/mock-rows.ts';
import type { PublishedDataset } from '../../catalog/published.ts';
import type { Computation, Release } from '../../computations/computation.ts';
import { checkPlanned } from '../../contracts/check-contract.ts';
import type { Contract } from '../../contracts/contract.ts';
import { describeRun } from '../../contracts/describe-run.ts';
import type { Descriptor } from '../../contracts/descriptor.ts';
import { checkArguments } from '../../contracts/plan-fits.ts';
import type { Arguments } from '../../contracts/plan.ts';
import { provisionalContract, type ProvisionalPlan } from '../../contracts/provisional.ts';
import { contractHash, descriptorHash } from '../../contracts/signed-documents.ts';
import { noiseKey, wordStream } from '../../disclosure/noise-stream.ts';
import { DISCLOSURE_STAGES } from '../../disclosure/stages.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../domain/sources/engine-limits.ts';
import { boundToPurpose } from '../../domain/purpose-source.ts';
import { openDuckDbSource } from '../../domain/sources/duckdb-source.ts';
import { AbortError, PolicyError } from '../../errors.ts';
import type { Pool } from '../../pool/pool.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { systemClock } from '../../system/clock.ts';
import { createExchangeKeys } from '../../system/exchange-keys.ts';
import {
  ContractIdSchema,
  GATEWAY,
  type Hash,
  type PartyId,
  RunIdSchema,
} from '../../system/ids.ts';
import { systemRandom, uuidV7 } from '../../system/random.ts';
import { eddsaSuite, type KeyPair } from '../../system/signature-suite.ts';
import { mockRecipient } from './mock-recipient.ts';
import { localNetwork, type LocalNetwork } from './local-network.ts';

/** Lines written to disk at once. */
const LINES_AT_ONCE = 1000;

export interface MockRunOptions {
  readonly planned: ProvisionalPlan;
  readonly arguments: Arguments;
  readonly published: readonly PublishedDataset[];
  /** Rows of each holder; never more than its dataset may have. */
  readonly rows: number;
  /** The same seed gives the same rows. */
  readonly seed: string;
  readonly analyst: PartyId;
  /** Where the rows lie while it runs. */
  readonly directory: string;
  readonly computations: readonly Computation[];
  readonly pool: Pool;
}

/** A holder as this process plays it. */
interface Player {
  readonly party: PartyId;
  readonly identity: KeyPair;
  readonly exchange: KeyPair;
  readonly fingerprint: Hash;
  readonly source: DataSource;
}

/**
 * Runs a plan that the published rules allow (`planRefusals`) on mock rows.
 * @throws InputError, PolicyError where the plan or its arguments cannot run for real either.
 */
export async function mockRun(options: MockRunOptions): Promise<Release> {
  const { planned, pool } = options;
  const computation = options.computations.find(({ name }) => name === planned.protocol.name);
  // Weights are the analyst's own, and there is no attachment to make up.
  if (computation === undefined || planned.protocol.name === 'secret-weights') {
    throw new PolicyError('plan-outside-contract', 'This protocol has no mock run.', {
      rule: `protocol ${planned.protocol.name}`,
      remedy: 'Try the plan as a secure sum: cells and thresholds are the same.',
    });
  }
  const { plan } = planned;
  if (plan.kind === 'own-set') {
    throw new PolicyError('plan-outside-contract', 'A set of your own has no mock run.', {
      rule: `plan ${plan.kind}`,
      remedy: '`weir explain` tells what a run costs and how far off its answer is.',
    });
  }
  if (plan.kind === 'match' && plan.ask === 'intersection') {
    // By VOLE each holder works on a thread of its own, and one pool plays both.
    throw new PolicyError('plan-outside-contract', 'Revealed keys have no mock run.', {
      rule: `ask ${plan.ask}`,
      remedy: 'Try the plan as a cardinality: keys and thresholds are the same.',
    });
  }
  const directory = await mkdtemp(join(options.directory, 'weir-mock-'));
  const players: Player[] = [];
  try {
    for (const { holder, dataset } of planned.datasets) {
      const found = options.published.find((one) => one.holder === holder && one.name === dataset);
      if (found !== undefined) players.push(await play(found, directory, options));
    }
    const recipient = await mockRecipient(contractOf(options, players), pool);
    const { contract } = recipient;
    checkPlanned(contract);
    checkArguments(contract, options.arguments);
    const descriptor = descriptorOf(computation, contract, options, players);
    const release = await runAll(computation, contract, descriptor, players, pool);
    return await recipient.open(release, descriptor);
  } finally {
    for (const { source } of players) await source.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function play(
  dataset: PublishedDataset,
  directory: string,
  options: MockRunOptions,
): Promise<Player> {
  const file = join(directory, `${dataset.holder}.json`);
  const out = await open(file, 'wx', 0o600);
  try {
    let lines: string[] = [];
    for (const row of mockRows(dataset, Math.min(options.rows, dataset.rowsMax), options.seed)) {
      lines.push(`${JSON.stringify(row)}\n`);
      if (lines.length < LINES_AT_ONCE) continue;
      await out.write(lines.join(''));
      lines = [];
    }
    await out.write(lines.join(''));
  } finally {
    await out.close();
  }
  const source = await openDuckDbSource({
    registration: mockRegistration(dataset, file),
    directory,
    spillDirectory: join(directory, `${dataset.holder}.spill`),
    limits: DEFAULT_ENGINE_LIMITS,
  });
  return {
    party: dataset.holder,
    identity: eddsaSuite.generate(systemRandom),
    exchange: createExchangeKeys(systemRandom),
    fingerprint: dataset.fingerprint,
    source: boundToPurpose(source, options.planned.purposeCode),
  };
}

/** The provisional contract, with the keys that this process plays the holders with. */
function contractOf(options: MockRunOptions, players: readonly Player[]): Contract {
  const holders = players.map(({ party, identity }) => ({
    id: party,
    name: { zh: party, en: party },
    signKey: encodeBase64url(identity.publicKey),
  }));
  const id = ContractIdSchema.parse(uuidV7(systemClock, systemRandom));
  return provisionalContract(options.planned, holders, options.analyst, id, systemClock.now());
}

function descriptorOf(
  computation: Computation,
  contract: Contract,
  options: MockRunOptions,
  players: readonly Player[],
): Descriptor {
  return describeRun({
    contract,
    request: {
      format: 'weir-request/1',
      contractId: contract.id,
      contractHash: contractHash(contract),
      arguments: options.arguments,
      nonce: encodeBase64url(systemRandom.bytes(32)),
      expiresAt: contract.validity.notAfter,
    },
    runId: RunIdSchema.parse(uuidV7(systemClock, systemRandom)),
    attempt: 1,
    parties: players.map(({ party, exchange, fingerprint }) => ({
      id: party,
      ephemeralKey: encodeBase64url(exchange.publicKey),
      datasetFingerprint: fingerprint,
    })),
    shape: computation.estimate(contract, options.arguments),
  });
}

async function runAll(
  computation: Computation,
  contract: Contract,
  descriptor: Descriptor,
  players: readonly Player[],
  pool: Pool,
): Promise<Release> {
  const network = localNetwork();
  const question = descriptor.runId;
  const hash = new Uint8Array(Buffer.from(descriptorHash(descriptor), 'hex'));
  const release = endingOnFailure(
    network,
    computation.runGateway({
      contract,
      descriptor,
      channel: network.channel(GATEWAY),
      pool,
      progress: () => undefined,
    }),
  );
  const domains = players.map(({ party, identity, exchange, source }) =>
    endingOnFailure(
      network,
      computation.runDomain({
        self: party,
        identity,
        ephemeralSecret: exchange.secretKey,
        contract,
        descriptor,
        descriptorHash: hash,
        channel: network.channel(party),
        sealedTo: (peer) => network.sealed(party, peer),
        source,
        stages: DISCLOSURE_STAGES,
        admit: undefined,
        noiseOf: (label) => wordStream(noiseKey(exchange.secretKey, question, label)),
        pool,
        random: systemRandom,
        step: () => Promise.resolve(),
      }),
    ),
  );
  const ended = await Promise.allSettled([release, ...domains]);
  // The first failure is the cause; the others were told that it ended the run.
  const failures = ended.flatMap((one) =>
    one.status === 'rejected' ? [one.reason as unknown] : [],
  );
  const [cause] = failures.filter((reason) => !isAftermath(reason)).concat(failures);
  if (cause !== undefined) throw cause;
  return release;
}

const ENDED = 'A party of the mock run failed.';

function isAftermath(reason: unknown): boolean {
  return reason instanceof AbortError && reason.message === ENDED;
}

async function endingOnFailure<Answer>(
  network: LocalNetwork,
  work: Promise<Answer>,
): Promise<Answer> {
  try {
    return await work;
  } catch (error) {
    network.end(new AbortError('domain-left', ENDED));
    throw error;
  }
}
