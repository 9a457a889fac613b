/** A running gateway: its parts put together, recovered, and listening. */
import { join } from 'node:path';
import { CatalogBook } from '../catalog/catalog-book.ts';
import type { Computation } from '../computations/computation.ts';
import { ContractBook } from '../contracts/contract-book.ts';
import { openSpendWitness, type SpendWitness } from '../contracts/spend-witness.ts';
import { type SignedSpend, SignedSpendSchema } from '../contracts/spend.ts';
import { AbortError } from '../errors.ts';
import { attachLinkServer } from '../link/link-server.ts';
import type { LinkStatus } from '../link/link.ts';
import { eventSource } from '../ledger/cloud-events.ts';
import { Webhooks } from '../ledger/webhooks.ts';
import { openPool } from '../pool/piscina-pool.ts';
import type { Pool } from '../pool/pool.ts';
import { openIsolatedSerializer } from '../query/isolated-serializer.ts';
import { type SqlParser, sqlParserOver } from '../query/sql-parser.ts';
import { EventLog } from '../runs/event-log.ts';
import { ReceiptIssuer } from '../runs/receipt-issuer.ts';
import { recoverRuns, sweep } from '../runs/recovery.ts';
import type { RunDependencies, RunStep } from '../runs/run-machine.ts';
import type { ActiveContracts } from '../runs/active-contracts.ts';
import { RunService } from '../runs/run-service.ts';
import { openLocked } from '../store/process-lock.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { Clock } from '../system/clock.ts';
import type { PartyId, RunId } from '../system/ids.ts';
import { readKeyFile } from '../system/key-file.ts';
import type { Log } from '../system/log.ts';
import type { Random } from '../system/random.ts';
import { eddsaSuite, fingerprintOf, type KeyPair } from '../system/signature-suite.ts';
import { createGatewayApp, type GatewayServices } from './app.ts';
import type { GatewayConfig } from './config.ts';
import { serveDomains } from './domain-desk.ts';
import { DomainBook } from './domains.ts';
import { EnrolmentDesk } from './enrolment.ts';
import {
  type GatewayState,
  holdInstance,
  identityKeyFile,
  lockFile,
  openGatewayState,
} from './gateway-state.ts';
import { billingService } from './billing-service.ts';
import { lateLinks, type LateLinks, transportOver } from './late-links.ts';
import { ledgerMetering } from './metering-service.ts';
import { announceSelf, openPeers, type Peers } from './peers.ts';
import { planService } from './plan-service.ts';
import { Relay } from './relay.ts';
import { tellMissed } from './revocations.ts';
import { type RunningServer, startServer } from './server.ts';
import {
  catalogService,
  contractService,
  explainService,
  guestService,
  LinkTimes,
  runService,
} from './services-over-books.ts';
import { claimStore } from './store-identity.ts';
import { TokenBook } from './tokens.ts';

/** How long a shutdown waits for runs at work. */
export const DRAIN_MS = 8000;

export interface GatewayOptions {
  readonly directory: string;
  readonly config: GatewayConfig;
  readonly version: string;
  readonly computations: readonly Computation[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A crash test ends the process here; production does nothing. */
  readonly step?: (name: RunStep, runId: RunId) => Promise<void>;
  /** The crash test's control opens a state that loses what it acknowledged; nobody else gives one. */
  readonly openState?: typeof openGatewayState;
}

export interface Gateway {
  readonly url: string;
  readonly port: number;
  readonly fingerprint: string;
  close(): Promise<void>;
}

/** Opens the state, ends what a crash left, then listens. @throws SetupError, CapacityError */
export function openGateway(options: GatewayOptions): Promise<Gateway> {
  return openLocked(lockFile(options.directory), () => openNamed(options));
}

/** Two processes of one name on one database would end each other's runs. */
async function openNamed(options: GatewayOptions): Promise<Gateway> {
  const { directory, config, log } = options;
  const name = await holdInstance(directory, config, () =>
    log.error({ instance: config.instance }, 'another process took this gateway’s instance name'),
  );
  try {
    const gateway = await openAlone(options, name.isHeld);
    const close = async (): Promise<void> => {
      await gateway.close();
      await name.release();
    };
    return { ...gateway, close };
  } catch (error) {
    await name.release();
    throw error;
  }
}

async function openAlone(options: GatewayOptions, isNamed: () => boolean): Promise<Gateway> {
  const { config, clock, random, log } = options;
  const parts = await openParts(options);
  const { deps, active, receipts, runs, links, identity, domains, state } = parts;
  // Whatever an earlier process of this name left: nobody is sent there.
  await parts.peers?.withdraw();
  const recovered = await recoverRuns(deps, active, receipts);
  if (recovered.voided + recovered.left > 0)
    log.warn(recovered, 'runs that a crash left were ended');
  await runs.waiting.tellAll();

  const stopping = new AbortController();
  const closing = new AbortController();
  const times = new LinkTimes({ linkOf: (party) => links.get().linkOf(party) });
  const { app } = createGatewayApp({
    services: servicesOf(parts, options, times),
    clock,
    log,
    gatewayKey: identity.publicKey,
    version: options.version,
    stopping: stopping.signal,
    closing: closing.signal,
  });
  const server = await listening(options, app, state);
  links.set(
    attachLinkServer(server.server, {
      keys: identity,
      suite: eddsaSuite,
      clock,
      random,
      lookupDomain: async (party) => (await domains.find(party))?.signKey,
      onStatus: (status) => {
        tellStatus(log, status);
        if (status.kind !== 'connected') return;
        times.connected(status.party, clock.now());
        tellMissed({ ...parts, links: links.get(), clock, log }, status.party).catch(
          (error: unknown) => log.error({ err: error }, 'revocations could not be told'),
        );
        runs.waiting
          .tendAll()
          .catch((error: unknown) => log.error({ err: error }, 'the sweeper will try again'));
      },
    }),
  );
  serveDomains({ ...parts, links: links.get(), clock, log });
  parts.webhooks.start();
  await announceSelf(parts.peers, { ...options, listening: server.url });
  const heeding = parts.peers === undefined ? undefined : runs.heedOthers(closing.signal);
  const sweeping = sweep(deps, active, receipts, clock, runs, stopping.signal, isNamed);
  log.info({ url: server.url, runs: config.runs.concurrentMax }, 'gateway ready');
  return {
    url: server.url,
    port: server.port,
    fingerprint: fingerprintOf(identity.publicKey),
    close: async () => {
      await server.close({
        stopWork: () => stopping.abort(),
        drainRuns: () => runs.drain(DRAIN_MS / 2),
        endConnections: async () => {
          closing.abort();
          await links.get().close();
        },
        deadlineMs: DRAIN_MS,
      });
      closing.abort();
      await Promise.all([sweeping, heeding]);
      await closeParts(parts);
    },
  };
}

async function closeParts({ peers, relay, webhooks, parser, pool, state }: Parts): Promise<void> {
  // With the store away the row stays, and is not used: the name goes with this process.
  await peers?.withdraw().catch(() => undefined);
  relay?.close();
  await webhooks.close();
  parser.close();
  await pool.close();
  await state.store.close();
}

interface Parts {
  readonly identity: KeyPair;
  /** The CloudEvents `source` of this gateway’s ledger. */
  readonly source: string;
  readonly webhooks: Webhooks;
  readonly state: GatewayState;
  readonly pool: Pool;
  readonly domains: DomainBook;
  readonly contracts: ContractBook;
  readonly catalog: CatalogBook;
  readonly witness: SpendWitness;
  readonly links: LateLinks;
  readonly deps: RunDependencies;
  readonly active: ActiveContracts;
  readonly receipts: ReceiptIssuer;
  readonly runs: RunService;
  /** Where the store is one that gateways share. */
  readonly peers: Peers | undefined;
  readonly relay: Relay | undefined;
  readonly parser: SqlParser;
}

async function openParts(options: GatewayOptions): Promise<Parts> {
  const { directory, config, clock, random, log } = options;
  const identity = readKeyFile(identityKeyFile(directory), 'ed25519');
  const state = await (options.openState ?? openGatewayState)(directory, config.store);
  await claimStore(state.store, identity.publicKey);
  const pool = openPool({ threadsMax: config.workers });
  const domains = new DomainBook(state.store);
  const contracts = new ContractBook(state.store, state.audit);
  const catalog = new CatalogBook(state.store, state.audit);
  const witness = openSpendWitness(state.store);
  const links = lateLinks();
  const { store: where, instance } = config;
  const peers =
    where.kind === 'sqlite'
      ? undefined
      : openPeers(state.store, { schema: where.schema, instance });
  const deps: RunDependencies = {
    store: state.store,
    ledger: state.ledger,
    events: new EventLog(),
    transport: transportOver(links),
    pool,
    computations: new Map(options.computations.map((one) => [one.name, one])),
    clock,
    random,
    log,
    instance,
    ...(peers === undefined ? {} : { others: peers }),
    step: options.step ?? (() => Promise.resolve()),
    witnessSpend: (party, answer) => witnessSpend(domains, witness, party, answer),
  };
  const active = bookOf(contracts);
  const receipts = new ReceiptIssuer({ deps, identity, contracts: active });
  const runs = new RunService(deps, active, receipts, {
    concurrentMax: config.runs.concurrentMax,
    quotas: config.quotas,
    quotaTimeZone: config.quotaTimeZone,
    timeoutMs: config.runs.timeoutS * 1000,
    analystSilenceMs: config.runs.analystSilenceS * 1000,
  });
  const source = eventSource(encodeBase64url(identity.publicKey));
  const webhooks = new Webhooks({
    store: state.store,
    clock,
    random,
    source,
    onProblem: (problem) => log.warn(problem, 'a webhook was not delivered'),
  });
  return {
    identity,
    source,
    webhooks,
    state,
    pool,
    domains,
    contracts,
    catalog,
    witness,
    links,
    deps,
    active,
    receipts,
    runs,
    peers,
    relay: peers === undefined ? undefined : new Relay(runs, peers, instance),
    parser: sqlParserOver(openIsolatedSerializer()),
  };
}

function servicesOf(parts: Parts, options: GatewayOptions, times: LinkTimes): GatewayServices {
  const { clock, random } = options;
  const { state, contracts, catalog, domains, runs, deps, identity, parser } = parts;
  const { store, audit, ledger } = state;
  const plans = planService({ deps, runs, catalog, domains, parser, random });
  return {
    runs: runService(runs),
    guests: guestService(runs),
    relays: parts.relay ?? { relay: () => Promise.resolve(undefined) },
    contracts: contractService(contracts, runs, clock),
    catalog: catalogService(catalog, domains),
    metering: ledgerMetering(ledger, store, clock, random),
    billing: billingService(ledger, store, clock, random, parts.source),
    webhooks: parts.webhooks,
    explains: explainService(deps, runs, contracts, catalog, plans),
    plans,
    readiness: { checks: () => readiness(state) },
    links: times,
    tokens: new TokenBook(store, audit, clock, random),
    desk: new EnrolmentDesk({ store, audit, clock, random, suite: eddsaSuite, identity }),
    domains,
  };
}

async function witnessSpend(
  domains: DomainBook,
  witness: SpendWitness,
  party: PartyId,
  answer: unknown,
): Promise<SignedSpend> {
  const domain = await domains.find(party);
  const signed = SignedSpendSchema.safeParse(answer);
  if (domain === undefined || !signed.success || signed.data.spend.party !== party) {
    throw new AbortError('domain-failed', `${party} answered without a signed spend.`, { party });
  }
  await witness.witness(signed.data, domain.signKey);
  return signed.data;
}

function bookOf(contracts: ContractBook): ActiveContracts {
  return {
    forRun: (id, analyst, nowMs) => contracts.forRun(id, analyst, nowMs),
    stopOf: (id) => contracts.stopOf(id),
    complete: async (id, nowMs) => {
      await contracts.complete(id, nowMs);
    },
    find: async (id, nowMs) => {
      const { contract, signatures } = await contracts.get(id, undefined, nowMs);
      return { contract, signatures: [...signatures] };
    },
  };
}

async function listening(
  options: GatewayOptions,
  app: Parameters<typeof startServer>[0]['app'],
  state: GatewayState,
): Promise<RunningServer> {
  const { config, directory, clock, log } = options;
  const { host, port } = config.listen;
  const tls = config.tls;
  try {
    return await startServer({
      app,
      host,
      port,
      clock,
      log,
      ...(tls === undefined
        ? {}
        : {
            tls: {
              certFile: join(directory, tls.certFile),
              keyFile: join(directory, tls.keyFile),
            },
          }),
    });
  } catch (error) {
    await state.store.close();
    throw error;
  }
}

async function readiness(
  state: GatewayState,
): Promise<readonly { readonly name: string; readonly ok: boolean }[]> {
  await state.store.query('SELECT 1 AS one');
  return [{ name: 'store', ok: true }];
}

function tellStatus(log: Log, status: LinkStatus): void {
  switch (status.kind) {
    case 'connected':
      return log.info({ party: status.party }, 'domain linked');
    case 'disconnected':
      return log.warn({ party: status.party, end: status.end }, 'the link to a domain ended');
    case 'refused':
      return log.warn({ reason: status.reason, address: status.address }, 'a link was refused');
    case 'bug':
      return log.error(
        { party: status.party, method: status.method, err: status.error },
        'a bug in the link',
      );
    case 'connecting':
    case 'retrying':
      return undefined;
  }
}
