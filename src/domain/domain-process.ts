/** A running domain: its parts put together, its link to the gateway, its officer's door. */
import { join, resolve } from 'node:path';
import type { SignedPublishedDataset } from '../catalog/published.ts';
import type { Computation } from '../computations/computation.ts';
import { DOMAIN_ASKS, GATEWAY_ASKS, WitnessedSchema } from '../contracts/link-messages.ts';
import { CountersignSchema, PrepareSchema, RUN_METHODS } from '../contracts/run-messages.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import type { DisclosureStage } from '../disclosure/stage.ts';
import { AbortError, SetupError, WeirError } from '../errors.ts';
import type { DomainConnection } from '../link/domain-connection.ts';
import type { Link, LinkStatus } from '../link/link.ts';
import type { LinkLimits } from '../link/limits.ts';
import { openPool } from '../pool/piscina-pool.ts';
import type { Pool } from '../pool/pool.ts';
import { openLocked } from '../store/process-lock.ts';
import { decodeBase64url } from '../system/base64url.ts';
import type { Clock } from '../system/clock.ts';
import type { RunId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { Random } from '../system/random.ts';
import { eddsaSuite, fingerprintOf } from '../system/signature-suite.ts';
import { listenAdmin } from './admin-server.ts';
import type { DomainConfig } from './config.ts';
import { countersigner } from './countersign.ts';
import {
  openDatasetRegistry,
  type DatasetRegistry,
  type RegisteredDataset,
} from './dataset-registry.ts';
import { type DomainState, domainPaths, openDomainState } from './domain-state.ts';
import type { ArtifactStore } from './artifact-store.ts';
import { openFileArtifactStore } from './file-artifact-store.ts';
import { type GatewayLinks, openGatewayLinks } from './gateway-links.ts';
import { GatewayLog } from './gateway-log.ts';
import { type HeldBook, openHeldBook } from './held-results.ts';
import { officerActions } from './officer.ts';
import { deliverer, tellDecisions } from './officer-releases.ts';
import { publishDatasets } from './publish.ts';
import { keepPurging } from './purge.ts';
import { openRunDisclosure } from './run-disclosure.ts';
import { hearPause, hearRevocation, tellNotices } from './revocations.ts';
import { openPrecomputed } from './run-precomputed.ts';
import { parsed } from './run-session.ts';
import { RunSessions, type SessionParts } from './run-sessions.ts';
import { VerifiedContracts } from './verified-contracts.ts';

/** How often a domain looks whether its data changed, and publishes it anew if so. */
const REPUBLISH_EVERY_MS = 60_000;
/** The first wait after a failure; doubled up to the interval. */
const PUBLISH_RETRY_MS = 1000;

export interface DomainOptions {
  readonly directory: string;
  readonly config: DomainConfig;
  readonly computations: readonly Computation[];
  readonly stages: readonly DisclosureStage[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Bounds of the link other than the usual ones. */
  readonly linkLimits?: Partial<LinkLimits>;
  /** A crash test ends the process here; production does nothing. */
  readonly step?: (name: string, runId: RunId) => Promise<void>;
}

export interface Domain {
  /** For people to compare with what the gateway shows. */
  readonly fingerprint: string;
  readonly links: GatewayLinks;
  close(): Promise<void>;
}

/** Starts a domain: opens its state and data, then dials the gateway. @throws SetupError, CapacityError */
export function openDomain(options: DomainOptions): Promise<Domain> {
  return openLocked(domainPaths(options.directory).lock, () => openAlone(options));
}

async function openAlone(options: DomainOptions): Promise<Domain> {
  const { directory, config, clock, log } = options;
  const gatewayKey = gatewayKeyOf(config);
  const state = await openDomainState(directory, config.party);
  const datasets = await openDatasets(options, state);
  const { pool, engine } = await openToldPool(options);
  const artifacts = await openFileArtifactStore(join(directory, 'state', 'artifacts'));
  const held = await openHeldBook(join(directory, 'state', 'held'), state.store);
  const links = dial(options, state, gatewayKey);
  const precomputedOf = openPrecomputed(state.store, artifacts);
  const sessions = openSessions(options, state, { datasets, held, pool, precomputedOf });
  const gatewayLog = new GatewayLog(state.logWitness, gatewayKey);
  const releases = { self: config.party, state, held, links, clock, log };
  const deliveries = deliverer(releases);
  for (const each of links.all) {
    handleGateway(each, { options, state, sessions, artifacts, held, gatewayLog });
    each.handle(RUN_METHODS.deliver, (body) => deliveries.deliver(body, each));
  }
  const life = new AbortController();
  const bell = makeBell();
  links.start();
  const { signal } = life;
  const keeping = Promise.all([
    keepPurging({ state, sessions, artifacts, clock, log }, signal),
    ...links.all.map((each) =>
      keepPublished(each, { options, state, datasets, artifacts, held, bell, signal }),
    ),
  ]);
  const officer = officerActions({
    self: config.party,
    config,
    state,
    datasets,
    links,
    sessions,
    artifacts,
    held,
    log,
    clock,
    gatewayLog,
    engine,
    republish: bell.ring,
  });
  const admin = await listenAdmin(directory, officer, (error) =>
    log.error({ err: error }, 'a bug at the officer’s door'),
  );
  return {
    fingerprint: fingerprintOf(state.identity.publicKey),
    links,
    close: async () => {
      life.abort();
      await admin.close();
      await links.close();
      await keeping;
      await sessions.drain();
      await deliveries.drain();
      await pool.close();
      await datasets.close();
      await state.close();
    },
  };
}

/** The runs of this domain, over what it has opened. */
function openSessions(
  options: DomainOptions,
  state: DomainState,
  opened: Pick<SessionParts, 'datasets' | 'held' | 'pool' | 'precomputedOf'>,
): RunSessions {
  const { config, clock, random, log } = options;
  const verified = new VerifiedContracts();
  return new RunSessions({
    self: config.party,
    identity: state.identity,
    clock,
    random,
    log,
    counters: state.counters,
    disclosure: openRunDisclosure(state, config, clock),
    ...opened,
    computations: new Map(options.computations.map((one) => [one.name, one])),
    stages: options.stages,
    viewOf: async (message, dataset) => ({
      self: config.party,
      publicKey: state.identity.publicKey,
      pinnedKey: (party) => state.pins.key('holders', party),
      standing: await state.standing.standingOf(contractHash(message.contract.contract)),
      dataset,
      minimumParties: config.minimumParties,
      nowMs: clock.now(),
      verified,
    }),
    step: options.step ?? (() => Promise.resolve()),
  });
}

/** The pool, and in the log what multiplies points on this machine. */
async function openToldPool({
  config,
  log,
}: DomainOptions): Promise<{ readonly pool: Pool; readonly engine: string }> {
  const pool = openPool({ threadsMax: config.workers });
  const engine = await pool.run<string>('psi', 'engineTask', undefined, { small: true });
  log.info({ engine }, 'matches multiply points by this engine');
  return { pool, engine };
}

function openDatasets(options: DomainOptions, state: DomainState): Promise<DatasetRegistry> {
  const { directory, config, clock } = options;
  return openDatasetRegistry({
    files: config.datasets.map((file) => resolve(directory, file)),
    stateDirectory: join(directory, 'state'),
    domain: { holder: config.party, fingerprintSecret: state.fingerprintSecret },
    limits: config.limits,
    clock,
    regrades: state.regrades,
    publicKey: state.identity.publicKey,
  });
}

function gatewayKeyOf(config: DomainConfig): Uint8Array {
  const { publicKey } = config.gateway;
  if (publicKey !== undefined) return decodeBase64url(publicKey, 32);
  throw new SetupError('config-invalid', 'This domain has not enrolled with a gateway yet.', {
    remedy: 'Run `weir init domain` with a one-time token.',
  });
}

function dial(options: DomainOptions, state: DomainState, gatewayKey: Uint8Array): GatewayLinks {
  const { directory, config, clock, random, log, linkLimits } = options;
  return openGatewayLinks(directory, config.gateway, {
    gatewayKey,
    identity: { party: config.party, keys: state.identity, suite: eddsaSuite },
    ...(linkLimits === undefined ? {} : { limits: linkLimits }),
    clock,
    random,
    onStatus: (status) => tellStatus(log, status),
  });
}

/** What answers the gateway, over whichever of its links. */
interface Answering {
  readonly options: DomainOptions;
  readonly state: DomainState;
  readonly sessions: RunSessions;
  readonly artifacts: ArtifactStore;
  readonly held: HeldBook;
  readonly gatewayLog: GatewayLog;
}

function handleGateway(connection: DomainConnection, answering: Answering): void {
  const { state, sessions, artifacts, held, gatewayLog } = answering;
  const { config, clock } = answering.options;
  connection.handle(RUN_METHODS.prepare, async (body) => {
    await gatewayLog.ensure(linkOf(connection));
    const message = parsed(PrepareSchema, body);
    const answer = await sessions.prepare(message);
    // Prepared, so it verified: the contract with everyone's signatures, once.
    await state.evidence.contract(message.contract, config.party, clock.now());
    return answer;
  });
  connection.handle(RUN_METHODS.agree, (body) => sessions.agree(body));
  connection.handle(RUN_METHODS.start, (body) => sessions.start(body, connection));
  const countersign = countersigner(state, config, async (head) =>
    gatewayLog.vouch(linkOf(connection), head),
  );
  connection.handle(RUN_METHODS.countersign, async (body) => {
    const own = await countersign(body);
    const { receipt } = CountersignSchema.parse(body);
    await state.evidence.receipt(receipt, own, clock.now());
    // A run with a receipt is over, whatever its officers said.
    await held.end(receipt.receipt.runId, clock.now());
    return own;
  });
  connection.handle(GATEWAY_ASKS.paused, (body) => hearPause(state, sessions, config.party, body));
  connection.handle(GATEWAY_ASKS.revoked, (body) =>
    hearRevocation(
      state,
      sessions,
      async (hash) => {
        await held.endContract(hash, clock.now());
        await artifacts.purgeContract(hash);
      },
      body,
    ),
  );
}

/** The link that the gateway asks over, to ask it back. */
function linkOf(connection: DomainConnection): Link {
  const link = connection.link();
  if (link !== undefined) return link;
  throw new AbortError('domain-unreachable', 'The link to the gateway has just ended.');
}

interface Keeping {
  readonly options: DomainOptions;
  readonly state: DomainState;
  readonly datasets: DatasetRegistry;
  readonly artifacts: Pick<ArtifactStore, 'purgeFingerprint'>;
  readonly held: HeldBook;
  readonly bell: Bell;
  readonly signal: AbortSignal;
}

/**
 * On every new link: revocations, pauses, and what was witnessed. Whenever the data changed: the
 * catalog; and what was made of the data before is removed.
 */
async function keepPublished(
  connection: DomainConnection,
  { options, state, datasets, artifacts, held, bell, signal }: Keeping,
): Promise<void> {
  const { clock, log, config } = options;
  let known: readonly RegisteredDataset[] = [];
  let greeted: { readonly link: Link; readonly ended: AbortSignal } | undefined;
  let published: { readonly link: Link; readonly versions: string } | undefined;
  let waitMs = PUBLISH_RETRY_MS;
  while (!signal.aborted) {
    // Taken before the look, so that what changes meanwhile is not slept over.
    const rung = bell.next();
    try {
      const link = await connection.connected(signal);
      if (greeted?.link !== link) {
        await tellNotices(link, state, config.party, clock.now(), log);
        await compareWitnessed(connection, state);
        greeted = { link, ended: endOf(link) };
      }
      await tellDecisions(link, { held, clock, log });
      const current = await datasets.all();
      for (const { fingerprint } of known) {
        const isCurrent = current.some((dataset) => dataset.fingerprint === fingerprint);
        if (!isCurrent) await artifacts.purgeFingerprint(fingerprint);
      }
      known = current;
      const versions = current.map(versionOf).join(' ');
      if (published?.link !== link || published.versions !== versions) {
        const keep = (signed: SignedPublishedDataset): Promise<void> =>
          state.evidence.publication(signed, clock.now());
        await publishDatasets(link, current, state.identity, keep, log);
        published = { link, versions };
      }
      waitMs = PUBLISH_RETRY_MS;
      await clock.sleep(REPUBLISH_EVERY_MS, AbortSignal.any([signal, greeted.ended, rung]));
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ code: error instanceof WeirError ? error.code : 'internal' }, 'could not publish');
      await clock.sleep(waitMs, signal);
      waitMs = Math.min(2 * waitMs, REPUBLISH_EVERY_MS);
    }
  }
}

/** What of a dataset must be told anew when it changes: its data, or its grade by a decision. */
function versionOf({ fingerprint, published }: RegisteredDataset): string {
  return `${fingerprint}/${published.grade}`;
}

/** Tells the publishing loop to look now. */
interface Bell {
  readonly ring: () => void;
  /** Aborted by the next ring. */
  readonly next: () => AbortSignal;
}

function makeBell(): Bell {
  let waiting = new AbortController();
  return {
    ring: () => {
      waiting.abort();
      waiting = new AbortController();
    },
    next: () => waiting.signal,
  };
}

/** Aborted when the link has ended. */
function endOf(link: Link): AbortSignal {
  const ended = new AbortController();
  void link.closed.then(() => ended.abort());
  return ended.signal;
}

/** The gateway shows the latest spend it holds of this domain: one that is not ours means a rollback. */
async function compareWitnessed(connection: DomainConnection, state: DomainState): Promise<void> {
  const { head } = await state.counters.state();
  const answer = await connection.request(DOMAIN_ASKS.witnessed, { afterSeq: head.seq });
  const { latest } = WitnessedSchema.parse(answer);
  if (latest !== null) await state.counters.present(latest);
}

function tellStatus(log: Log, status: LinkStatus): void {
  switch (status.kind) {
    case 'connecting':
      return log.debug({ url: status.url }, 'dialling the gateway');
    case 'connected':
      return log.info('linked to the gateway');
    case 'disconnected':
      return log.warn({ end: status.end }, 'the link to the gateway ended');
    case 'refused':
      return log.warn({ reason: status.reason }, 'no link to the gateway');
    case 'retrying':
      return log.debug({ delayMs: status.delayMs }, 'dialling again soon');
    case 'bug':
      return log.error({ method: status.method, err: status.error }, 'a bug in the link');
  }
}
