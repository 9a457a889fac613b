/** A whole secure sum in memory: contract, descriptor, sources of random lanes, and the naive answer. */
import { createHash } from 'node:crypto';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import type { AggregateAnswer, DataSource } from '../../src/catalog/data-source.ts';
import type { Release } from '../../src/computations/computation.ts';
import { secureSum } from '../../src/computations/secure-sum/secure-sum.ts';
import { ContractSchema, type Contract } from '../../src/contracts/contract.ts';
import { DescriptorSchema, type Descriptor } from '../../src/contracts/descriptor.ts';
import type { Arguments } from '../../src/contracts/plan.ts';
import { noiseOf } from '../../src/contracts/noise.ts';
import { wordStream, type WordStream } from '../../src/disclosure/noise-stream.ts';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import { GATEWAY, type PartyId } from '../../src/system/ids.ts';
import { eddsaSuite, type KeyPair } from '../../src/system/signature-suite.ts';
import type { Random } from '../../src/system/random.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { memoryNetwork, timedOut, type MemoryNetwork, type Tamper } from './memory-network.ts';

/** One column of one party in one cell; `undefined` values are nulls. */
export interface PartRow {
  readonly cell: number;
  readonly values: readonly (bigint | undefined)[];
}

export interface RunCase {
  /** Labels of each group. */
  readonly groups: readonly (readonly string[])[];
  readonly columns: readonly {
    readonly minimum: bigint;
    readonly maximum: bigint;
    readonly scale: number;
    readonly squares: boolean;
  }[];
  /** Rows of each party. */
  readonly parts: readonly (readonly PartRow[])[];
  readonly smallestCell: number;
  readonly smallestContributors: number;
  readonly seed: number;
  /** Of a contract with noise: what every domain's noise is drawn from. */
  readonly noiseSeed?: string;
}

export interface Prepared {
  readonly contract: Contract;
  readonly descriptor: Descriptor;
  readonly descriptorHash: Uint8Array;
  readonly identities: ReadonlyMap<string, KeyPair>;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly cells: number;
}

/** Bytes of a seeded generator: SHA-256 in counter mode. */
export function seededRandom(seed: string): Random {
  let counter = 0;
  return {
    bytes(sizeBytes) {
      const out = new Uint8Array(sizeBytes);
      for (let at = 0; at < sizeBytes; at += 32) {
        const block = createHash('sha256').update(`${seed}/${counter++}`).digest();
        out.set(block.subarray(0, Math.min(32, sizeBytes - at)), at);
      }
      return out;
    },
  };
}

/** A party's noise in a case. */
export function caseNoise(seed: string, party: string): (label: string) => WordStream {
  return (label) =>
    wordStream(new Uint8Array(createHash('sha256').update(`${seed} ${party} ${label}`).digest()));
}

/** Contract and descriptor of a case, keys drawn from its seed. */
export function prepare(run: RunCase, args: Arguments = {}, change?: Partial<Contract>): Prepared {
  // holder-a … holder-z, then holder-za …: names that sort in the order of their index.
  const letter = (index: number) => String.fromCharCode(97 + index);
  const ids = run.parts.map((_, index) =>
    index < 25
      ? `holder-${letter(index)}`
      : `holder-z${letter(Math.floor(index / 26))}${letter(index % 26)}`,
  );
  const random = seededRandom(`keys ${run.seed}`);
  const identities = new Map(ids.map((id) => [id, eddsaSuite.generate(random)]));
  const secrets = new Map(ids.map((id) => [id, random.bytes(32)]));
  const text = { zh: '测试', en: 'test' };
  const key = (bytes: Uint8Array | undefined): string =>
    Buffer.from(bytes ?? []).toString('base64url');
  const contract = ContractSchema.parse({
    format: 'weir-contract/1',
    id: '01890a5d-ac96-774b-bcce-b302099a8057',
    title: text,
    purpose: text,
    legalBasis: 'test',
    analyst: { id: 'analyst', name: text, signKey: key(random.bytes(32)) },
    holders: ids.map((id) => ({ id, name: text, signKey: key(identities.get(id)?.publicKey) })),
    datasets: ids.map((holder) => ({ holder, dataset: 'd', version: 'any', rowsMax: 1024 })),
    plan: {
      kind: 'aggregate',
      table: 'd',
      groups: run.groups.map((_, index) => ({ column: `g${index}` })),
      measures: [
        { as: 'n', fn: 'count' },
        ...run.columns.flatMap(({ squares }, index) => [
          { as: `sum${index}`, fn: 'sum', column: `x${index}` },
          { as: `avg${index}`, fn: 'avg', column: `x${index}` },
          ...(squares ? [{ as: `var${index}`, fn: 'var', column: `x${index}` }] : []),
        ]),
      ],
      select: [],
    },
    parameters: {},
    dictionaries: run.groups.map((labels, index) => ({ column: `g${index}`, labels })),
    bounds: run.columns.map(({ minimum, maximum, scale }, index) => ({
      column: `x${index}`,
      minimum: minimum.toString(),
      maximum: maximum.toString(),
      scale,
    })),
    protocol: { name: 'secure-sum' },
    recipient: { id: 'analyst', encryptionKey: key(random.bytes(32)) },
    disclosure: {
      smallestCell: run.smallestCell,
      smallestContributors: run.smallestContributors,
    },
    limits: {
      runsTotal: 1,
      runsPerDay: 1,
      runsPerMonth: 1,
      rowsTotal: 10_000_000,
      computeMilliUnitsTotal: 1_000_000,
      microRhoTotal: 0,
    },
    timeZone: 'UTC',
    validity: { notBefore: '2026-01-01T00:00:00Z', notAfter: '2027-01-01T00:00:00Z' },
    resultRetentionS: 3600,
    price: { currency: 'CNY', perRunMicros: 0, perComputeUnitMicros: 0 },
    minimumParties: 2,
    ...change,
  });
  const estimate = secureSum.estimate(contract, args);
  const hash = '0'.repeat(64);
  const descriptor = DescriptorSchema.parse({
    format: 'weir-descriptor/1',
    runId: '01890a5d-ac96-774b-bcce-b302099a8058',
    attempt: 1,
    contractHash: hash,
    requestHash: hash,
    protocol: 'secure-sum',
    arguments: args,
    parties: ids.map((id) => ({
      id,
      ephemeralKey: key(noblePrimitives.x25519.publicKey(secrets.get(id) ?? new Uint8Array())),
      datasetFingerprint: hash,
    })),
    dictionariesHash: hash,
    shape: { cells: estimate.cells, lanes: estimate.lanes },
    noise: noiseOf(contract),
    engine: estimate.engine,
  });
  // Any 32 bytes serve the drivers: a descriptor that gains a field leaves the fixed transcript alone.
  const descriptorHash = createHash('sha256').update(`descriptor ${run.seed}`).digest();
  const { cells } = estimate;
  return {
    contract,
    descriptor,
    descriptorHash: new Uint8Array(descriptorHash),
    identities,
    secrets,
    cells,
  };
}

/** A source that answers one party's rows as lanes. */
export function laneSource(run: RunCase, rows: readonly PartRow[], cells: number): DataSource {
  return answeringSource(answerOf(run, rows, cells));
}

/** A source that gives one answer to whatever it is asked. */
export function answeringSource(answer: AggregateAnswer): DataSource {
  const refuse = (): never => {
    throw new Error('not part of this test');
  };
  return {
    aggregate: async () => answer,
    describe: refuse,
    streamColumns: refuse,
    spillDirectory: refuse,
    close: async () => {},
  };
}

/** Rows as dense lanes. */
export function answerOf(run: RunCase, rows: readonly PartRow[], cells: number): AggregateAnswer {
  const lanes = () => new BigUint64Array(cells);
  const counts = lanes();
  const columns = run.columns.map(() => ({
    nonNull: lanes(),
    sums: lanes(),
    low: lanes(),
    high: lanes(),
  }));
  for (const { cell, values } of rows) {
    counts[cell]! += 1n;
    for (const [index, value] of values.entries()) {
      const column = columns[index];
      if (value === undefined || column === undefined) continue;
      column.nonNull[cell]! += 1n;
      column.sums[cell] = BigInt.asUintN(64, column.sums[cell]! + value);
      const squares = (column.high[cell]! << 64n) + column.low[cell]! + value * value;
      column.low[cell] = BigInt.asUintN(64, squares);
      column.high[cell] = squares >> 64n;
    }
  }
  const bytes = (array: BigUint64Array): Uint8Array => new Uint8Array(array.buffer);
  return {
    cells,
    counts: bytes(counts),
    columns: columns.map(({ nonNull, sums, low, high }, index) => {
      const squares = new BigUint64Array(cells * 2);
      for (let cell = 0; cell < cells; cell++) squares.set([low[cell]!, high[cell]!], cell * 2);
      return {
        nonNull: bytes(nonNull),
        sums: bytes(sums),
        squares: run.columns[index]?.squares === true ? bytes(squares) : undefined,
      };
    }),
    engineMs: 0,
  };
}

export interface Outcome {
  readonly release: PromiseSettledResult<Release>;
  readonly domains: readonly PromiseSettledResult<void>[];
  readonly network: MemoryNetwork;
  readonly steps: readonly string[];
}

/** Runs every role to its end; when one fails the network ends, as a relay would. */
export async function runAll(
  run: RunCase,
  prepared: Prepared,
  pool: Pool,
  tamper?: Tamper,
  network: MemoryNetwork = memoryNetwork(tamper),
  sources?: readonly DataSource[],
): Promise<Outcome> {
  const steps: string[] = [];
  const gateway = endingOnFailure(
    network,
    secureSum.runGateway({
      contract: prepared.contract,
      descriptor: prepared.descriptor,
      channel: network.channel(GATEWAY),
      pool,
      progress: () => {},
    }),
  );
  const domains = startDomains(run, prepared, pool, network, steps, sources).map((domain) =>
    endingOnFailure(network, domain),
  );
  const [release] = await Promise.allSettled([gateway]);
  return { release, domains: await Promise.allSettled(domains), network, steps };
}

async function endingOnFailure<Answer>(
  network: MemoryNetwork,
  work: Promise<Answer>,
): Promise<Answer> {
  try {
    return await work;
  } catch (error) {
    network.end(timedOut());
    throw error;
  }
}

/** Every domain of the run, each with its own source, keys and seeded randomness. */
export function startDomains(
  run: RunCase,
  prepared: Prepared,
  pool: Pool,
  network: MemoryNetwork,
  steps: string[] = [],
  sources: readonly DataSource[] = run.parts.map((rows) => laneSource(run, rows, prepared.cells)),
): readonly Promise<void>[] {
  const { contract, descriptor, descriptorHash } = prepared;
  return descriptor.parties.map(({ id }, index) =>
    secureSum.runDomain({
      self: id,
      identity: prepared.identities.get(id)!,
      ephemeralSecret: prepared.secrets.get(id)!,
      contract,
      descriptor,
      descriptorHash,
      channel: network.channel(id),
      sealedTo: (peer: PartyId) => network.sealed(id, peer),
      source: sources[index]!,
      stages: DISCLOSURE_STAGES,
      admit: undefined,
      noiseOf: run.noiseSeed === undefined ? undefined : caseNoise(run.noiseSeed, id),
      pool,
      random: seededRandom(`${run.seed} ${id}`),
      step: async (name) => {
        steps.push(`${id} ${name}`);
      },
    }),
  );
}

/** Three holders, two groups, two columns: enough of everything, always the same. */
export const FIXED_CASE: RunCase = {
  groups: [
    ['west', 'east'],
    ['1', '2', '3'],
  ],
  columns: [
    { minimum: -1000n, maximum: 1000n, scale: 2, squares: true },
    { minimum: 0n, maximum: 10n ** 15n, scale: 0, squares: false },
  ],
  parts: [0, 1, 2].map((party) =>
    Array.from({ length: 60 }, (_, row) => ({
      cell: (row * 7 + party) % 12,
      values: [
        row % 5 === 0 ? undefined : BigInt(((row * 389 + party * 71) % 2001) - 1000),
        BigInt(row) * 12_345_678_901n,
      ],
    })),
  ),
  smallestCell: 3,
  smallestContributors: 2,
  seed: 7,
};

/** A pool for tests, of real threads. */
export function testPool(): Pool {
  return openPool({ threadsMax: 2 });
}
