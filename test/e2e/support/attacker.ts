/**
 * A gateway in the hands of an attacker: it has the enrolled gateway key, the link and every
 * message, and asks real domains what it likes. Played honestly, the same steps give the result.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { unpack } from 'msgpackr';
import { expect } from 'vitest';
import type { Computation, Release } from '../../../src/computations/computation.ts';
import { COMPUTATIONS } from '../../../src/computations/registry.ts';
import { describeRun } from '../../../src/contracts/describe-run.ts';
import {
  type Descriptor,
  type DescriptorSignature,
  DescriptorSignatureSchema,
  type SignedRunKey,
  SignedRunKeySchema,
} from '../../../src/contracts/descriptor.ts';
import { DOMAIN_ASKS, LogQuerySchema } from '../../../src/contracts/link-messages.ts';
import { RUN_METHODS } from '../../../src/contracts/run-messages.ts';
import { type SignedSpend, SignedSpendSchema } from '../../../src/contracts/spend.ts';
import { adminClient } from '../../../src/domain/admin-client.ts';
import { WeirError } from '../../../src/errors.ts';
import { attachLinkServer, type LinkServer } from '../../../src/link/link-server.ts';
import type { RunChannelHandle } from '../../../src/link/run-channel.ts';
import { openPool } from '../../../src/pool/piscina-pool.ts';
import type { Pool } from '../../../src/pool/pool.ts';
import { type Clock, systemClock } from '../../../src/system/clock.ts';
import { extendHead } from '../../../src/system/hash-link.ts';
import { type Hash, HashSchema, type PartyId, type RunId } from '../../../src/system/ids.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { eddsaSuite, type KeyPair } from '../../../src/system/signature-suite.ts';
import { type Cast, HOLDERS, makeCast } from '../../fixtures/contract.ts';
import { type Ask, askFor, digest, plainAnswer, ROWS } from './attack-case.ts';
import { type HolderSetup, makeHolderDirectory, openHolder, type OpenHolder } from './holders.ts';
import { recordingProxy, type Recording, type Tamper } from './recording-proxy.ts';

/** Frames whose content depends on rows, by their kind. */
const DERIVED_KINDS: ReadonlySet<string> = new Set([
  'round1.counts',
  'round1.map',
  'round2.measures',
]);

/** The code a call was refused with, or `answered`. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
  return 'answered';
}

export interface DataFrame {
  readonly run: string;
  readonly from: string;
  readonly to: string;
  readonly kind: string;
}

/** Owns domains, link server, proxy and pool; `close` it. */
export class Attacker {
  readonly cast: Cast;
  readonly keys: KeyPair;
  readonly links: LinkServer;
  readonly holders: readonly OpenHolder[];
  readonly pool: Pool;
  /** Digests of the audit log's entries, as the attacker tells them. */
  auditLog: readonly Hash[] = [digest(), digest(), digest()];
  readonly #root: string;
  readonly #recording: Recording;
  readonly #end: () => Promise<void>;

  private constructor(parts: {
    root: string;
    cast: Cast;
    keys: KeyPair;
    links: LinkServer;
    holders: readonly OpenHolder[];
    recording: Recording;
    end: () => Promise<void>;
  }) {
    this.#root = parts.root;
    this.cast = parts.cast;
    this.keys = parts.keys;
    this.links = parts.links;
    this.holders = parts.holders;
    this.#recording = parts.recording;
    this.#end = parts.end;
    this.pool = openPool({ threadsMax: 1 });
    this.links.handle(DOMAIN_ASKS.publish, async () => null);
    this.links.handle(DOMAIN_ASKS.witnessed, async (_body, { party }) => ({
      party,
      latest: null,
      statements: [],
    }));
    this.links.handle(DOMAIN_ASKS.log, async (body) => this.#tellLog(body));
  }

  /**
   * @param line - an attacker between link server and domains, besides.
   * @param clock - the domains'.
   * @param change - another table or configuration of a holder.
   */
  static async open(
    root: string,
    line?: Tamper,
    clock?: Clock,
    change: (party: PartyId) => Partial<HolderSetup> = () => ({}),
  ): Promise<Attacker> {
    const cast = makeCast();
    const keys = eddsaSuite.generate(systemRandom);
    const server = createServer();
    const links = attachLinkServer(server, {
      keys,
      suite: eddsaSuite,
      clock: systemClock,
      random: systemRandom,
      lookupDomain: (party) => cast.keys.get(party)?.publicKey,
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const recording = await recordingProxy((server.address() as AddressInfo).port, line);
    const holderKeys = new Map(HOLDERS.map((party) => [party, cast.keyOf(party)]));
    const opening = HOLDERS.map((party) => {
      const setup = {
        party,
        directory: join(root, party),
        gatewayUrl: `http://127.0.0.1:${recording.port}`,
        gatewayKey: keys.publicKey,
        rows: ROWS.get(party) ?? [],
        keys: holderKeys,
        clock,
        ...change(party),
      };
      makeHolderDirectory(setup);
      return openHolder(setup);
    });
    const holders = await Promise.all(opening);
    const end = async (): Promise<void> => {
      await Promise.all(holders.map(({ domain }) => domain.close()));
      await links.close();
      await recording.close();
      await new Promise((resolve) => server.close(resolve));
    };
    const attacker = new Attacker({ root, cast, keys, links, holders, recording, end });
    await attacker.linked();
    return attacker;
  }

  /** Resolves when all domains are linked and answer: a link that a test broke may not know it yet. */
  async linked(): Promise<void> {
    const answers = async (party: PartyId): Promise<boolean> => {
      if (this.links.linkOf(party) === undefined) return false;
      return (await codeOf(this.request(party, RUN_METHODS.start, {}))) === 'malformed-message';
    };
    while (!(await Promise.all(HOLDERS.map(answers))).every(Boolean)) await systemClock.sleep(20);
  }

  request(party: PartyId, method: string, body: unknown): Promise<unknown> {
    const link = this.links.linkOf(party);
    if (link === undefined) throw new Error(`${party} is not linked`);
    return link.request(method, body);
  }

  prepare(party: PartyId, ask: Ask, parties: readonly PartyId[] = HOLDERS): Promise<SignedRunKey> {
    const { weights: _, ...prepared } = ask;
    const body = { ...prepared, parties: [...parties] };
    return this.request(party, RUN_METHODS.prepare, body).then((answer) =>
      SignedRunKeySchema.parse(answer),
    );
  }

  async prepareAll(
    ask: Ask,
    parties: readonly PartyId[] = HOLDERS,
  ): Promise<ReadonlyMap<PartyId, SignedRunKey>> {
    const answers = await Promise.all(
      parties.map(async (party) => [party, await this.prepare(party, ask, parties)] as const),
    );
    return new Map(answers);
  }

  descriptor(ask: Ask, runKeys: ReadonlyMap<PartyId, SignedRunKey>): Descriptor {
    const { contract } = ask.contract;
    const { request } = ask.request;
    const shape = computationOf(ask).estimate(contract, request.arguments);
    const parties = [...runKeys.values()].map(({ runKey }) => runKey.party);
    const { runId, attempt } = ask;
    return describeRun({ contract, request, runId, attempt, parties, shape });
  }

  agree(
    party: PartyId,
    descriptor: Descriptor,
    runKeys: ReadonlyMap<PartyId, SignedRunKey>,
  ): Promise<DescriptorSignature> {
    const body = { descriptor, runKeys: [...runKeys.values()] };
    return this.request(party, RUN_METHODS.agree, body).then((answer) =>
      DescriptorSignatureSchema.parse(answer),
    );
  }

  agreeAll(
    descriptor: Descriptor,
    runKeys: ReadonlyMap<PartyId, SignedRunKey>,
  ): Promise<DescriptorSignature[]> {
    const parties = descriptor.parties.map(({ id }) => id);
    return Promise.all(parties.map((party) => this.agree(party, descriptor, runKeys)));
  }

  start(
    party: PartyId,
    ask: Ask,
    signatures: readonly DescriptorSignature[],
  ): Promise<SignedSpend> {
    const { runId, attempt } = ask;
    const body = { runId, attempt, signatures: [...signatures] };
    return this.request(party, RUN_METHODS.start, body).then((answer) =>
      SignedSpendSchema.parse(answer),
    );
  }

  /** Prepared, agreed and signed by all, not started; the channel is open. */
  async agreed(
    ask: Ask,
    parties: readonly PartyId[] = HOLDERS,
  ): Promise<{
    readonly descriptor: Descriptor;
    readonly signatures: readonly DescriptorSignature[];
    readonly channel: RunChannelHandle;
  }> {
    const runKeys = await this.prepareAll(ask, parties);
    const descriptor = this.descriptor(ask, runKeys);
    const signatures = await this.agreeAll(descriptor, runKeys);
    return { descriptor, signatures, channel: this.openChannel(ask, parties) };
  }

  openChannel(ask: Ask, parties: readonly PartyId[] = HOLDERS): RunChannelHandle {
    return this.links.openRunChannel({ runId: ask.runId, attempt: ask.attempt, parties });
  }

  /** Everything as an honest gateway does it. */
  async runHonestly(
    ask: Ask = askFor(this.cast),
    parties: readonly PartyId[] = HOLDERS,
  ): Promise<{ release: Release; descriptor: Descriptor; spends: readonly SignedSpend[] }> {
    const { descriptor, signatures, channel } = await this.agreed(ask, parties);
    const spends = await Promise.all(parties.map((party) => this.start(party, ask, signatures)));
    try {
      const release = await computationOf(ask).runGateway({
        contract: ask.contract.contract,
        descriptor,
        channel,
        pool: this.pool,
        attachment: ask.weights,
        progress: () => undefined,
      });
      return { release, descriptor, spends };
    } finally {
      channel.close();
    }
  }

  /** Frames of a run that domains sent and whose content depends on rows. */
  derivedFrames(runId: RunId): readonly DataFrame[] {
    return this.#recording.messages.flatMap(({ where, bytes }) => {
      if (where !== 'frame domain to gateway') return [];
      const frame = unpack(bytes) as Record<string, string>;
      if (frame['t'] !== 'data' || frame['run'] !== runId) return [];
      const { run = '', from = '', to = '', kind = '' } = frame;
      return DERIVED_KINDS.has(kind) ? [{ run, from, to, kind }] : [];
    });
  }

  /** What each domain has counted so far, by its own officer's view. */
  counted(): Promise<readonly number[]> {
    return Promise.all(
      HOLDERS.map(async (party) => {
        const { counters } = await adminClient(join(this.#root, party)).status();
        return counters.spends;
      }),
    );
  }

  /** The reasons that a run's domains ended it for, once each of them has. */
  async ends(before: readonly number[]): Promise<readonly string[]> {
    const codes: string[] = [];
    for (const [index, holder] of this.holders.entries()) {
      while (holder.endCodes().length <= (before[index] ?? 0)) await systemClock.sleep(10);
      codes.push(holder.endCodes()[before[index] ?? 0] ?? '');
    }
    return codes;
  }

  endCounts(): readonly number[] {
    return this.holders.map((holder) => holder.endCodes().length);
  }

  async close(): Promise<void> {
    await this.#end();
    await this.pool.close();
  }

  #tellLog(body: unknown): { size: string; hash: string; entries: Hash[] } {
    const { fromSize } = LogQuerySchema.parse(body);
    const start = { size: 0n, hash: HashSchema.parse('0'.repeat(64)) };
    const { size, hash } = extendHead(start, this.auditLog);
    const entries = fromSize === null ? [] : this.auditLog.slice(Number(fromSize));
    return { size: String(size), hash, entries };
  }
}

function computationOf({ contract: { contract } }: Ask): Computation {
  const found = COMPUTATIONS.find(({ name }) => name === contract.protocol.name);
  if (found === undefined) throw new Error(`no computation ${contract.protocol.name}`);
  return found;
}

/** The positive control: played honestly, the same steps give exactly the plain answer. */
export async function expectHonest(attacker: Attacker): Promise<void> {
  await attacker.linked();
  const ask = askFor(attacker.cast);
  const { release } = await attacker.runHonestly(ask);
  const rows = release.rows.filter(([, count]) => count !== null);
  expect(new Map(rows.map(([label, count, sum]) => [label, [Number(count), String(sum)]]))).toEqual(
    plainAnswer(),
  );
  // The count of frames sees what leaves, so that none seen means that none left.
  expect(attacker.derivedFrames(ask.runId).length).toBeGreaterThanOrEqual(9);
}
