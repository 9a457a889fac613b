/** A whole match in memory: contract, descriptor, sources of rows, and the naive answer. */
import { createHash } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import type { DataSource } from '../../src/catalog/data-source.ts';
import type { Release, ReleaseCells, ReleaseReview } from '../../src/computations/computation.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { DescriptorSchema, type Descriptor } from '../../src/contracts/descriptor.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import type { WordStream } from '../../src/disclosure/noise-stream.ts';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { GATEWAY, type PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import type { Cast } from '../fixtures/contract.ts';
import { memoryNetwork, timedOut, type MemoryNetwork } from './memory-network.ts';

export type Rows = readonly (readonly (string | null)[])[];

/** Rows under column names; each reading may see them in another order. */
export function rowSource(
  names: readonly string[],
  rows: Rows,
  directory: string,
  orderOf: (rows: Rows, reading: number) => Rows = (all) => all,
): DataSource {
  const refuse = (): never => {
    throw new Error('not part of this test');
  };
  let readings = 0;
  return {
    async *streamColumns(columns, chunkRows) {
      const places = columns.map((column) => names.indexOf(column));
      const seen = orderOf(rows, readings++);
      for (let at = 0; at < seen.length; at += chunkRows) {
        yield seen
          .slice(at, at + chunkRows)
          .map((row) => places.map((place) => row[place] ?? null));
      }
    },
    spillDirectory: () => mkdtemp(join(directory, 'protocol-')),
    aggregate: refuse,
    describe: refuse,
    close: async () => {},
  };
}

export function describeMatch(contract: Contract): Descriptor {
  const estimate = psi.estimate(contract, {});
  const hash = '0'.repeat(64);
  return DescriptorSchema.parse({
    format: 'weir-descriptor/1',
    runId: '01890a5d-ac96-774b-bcce-b302099a8058',
    attempt: 1,
    contractHash: contractHash(contract),
    requestHash: hash,
    protocol: 'psi',
    arguments: {},
    parties: contract.holders.map(({ id }) => ({
      id,
      ephemeralKey: Buffer.from(x25519.getPublicKey(systemRandom.bytes(32))).toString('base64url'),
      datasetFingerprint: hash,
    })),
    dictionariesHash: hash,
    shape: { cells: estimate.cells, lanes: estimate.lanes },
    noise: contract.disclosure.noise ?? 'none',
    engine: estimate.engine,
  });
}

export interface MatchOutcome {
  readonly release: PromiseSettledResult<Release>;
  readonly domains: ReadonlyMap<PartyId, PromiseSettledResult<void>>;
  readonly network: MemoryNetwork;
  readonly steps: readonly string[];
}

/** Runs every role to its end; when one fails the network ends, as a relay would. */
export async function runMatch(
  contract: Contract,
  sources: ReadonlyMap<PartyId, DataSource>,
  pool: Pool,
  cast: Cast,
  options: {
    readonly descriptor?: Descriptor;
    readonly network?: MemoryNetwork;
    readonly step?: (party: PartyId, name: string) => void;
    readonly note?: (party: PartyId, facts: Readonly<Record<string, number>>) => void;
    readonly review?: (party: PartyId, review: ReleaseReview) => void;
    readonly admit?: (party: PartyId, release: ReleaseCells) => void;
    readonly noiseOf?: (party: PartyId) => (label: string) => WordStream;
  } = {},
): Promise<MatchOutcome> {
  const descriptor = options.descriptor ?? describeMatch(contract);
  const network = options.network ?? memoryNetwork();
  const steps: string[] = [];
  const guarded = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      network.end(timedOut());
      throw error;
    }
  };
  const descriptorHash = createHash('sha256').update(JSON.stringify(descriptor)).digest();
  const parties = contract.holders.map(({ id }) => id);
  const domains = parties.map((self) =>
    guarded(
      psi.runDomain({
        self,
        identity: cast.keyOf(self),
        ephemeralSecret: systemRandom.bytes(32),
        contract,
        descriptor,
        descriptorHash: new Uint8Array(descriptorHash),
        channel: network.channel(self),
        sealedTo: (peer) => network.sealed(self, peer),
        source: sources.get(self)!,
        stages: DISCLOSURE_STAGES,
        review: (review) => options.review?.(self, review),
        admit: async (cells) => options.admit?.(self, cells),
        noiseOf: options.noiseOf?.(self),
        pool,
        random: systemRandom,
        note: (facts) => options.note?.(self, facts),
        step: async (name) => {
          steps.push(`${self} ${name}`);
          options.step?.(self, name);
        },
      }),
    ),
  );
  const gateway = guarded(
    psi.runGateway({
      contract,
      descriptor,
      channel: network.channel(GATEWAY),
      pool,
      progress: () => {},
    }),
  );
  const [release] = await Promise.allSettled([gateway]);
  const settled = await Promise.allSettled(domains);
  return {
    release,
    domains: new Map(parties.map((party, i) => [party, settled[i]!])),
    network,
    steps,
  };
}
