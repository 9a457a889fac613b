/** A gateway and domains on loopback sockets, for the tests of the link. */
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type DomainConnection,
  type DomainConnectionOptions,
  createDomainConnection,
} from '../../src/link/domain-connection.ts';
import type { LinkStatus } from '../../src/link/link.ts';
import {
  type LinkServer,
  type LinkServerOptions,
  attachLinkServer,
} from '../../src/link/link-server.ts';
import type { RunSpec } from '../../src/link/run-channel.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type PartyId, PartyIdSchema, RunIdSchema } from '../../src/system/ids.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';
import { type KeyPair, eddsaSuite } from '../../src/system/signature-suite.ts';

export const ALPHA = PartyIdSchema.parse('alpha');
export const BETA = PartyIdSchema.parse('beta');
export const GAMMA = PartyIdSchema.parse('gamma');
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (message: Uint8Array): string => new TextDecoder().decode(message);

export function newKeys(): KeyPair {
  return eddsaSuite.generate(systemRandom);
}

export function newRun(parties: readonly PartyId[], attempt = 1): RunSpec {
  return { runId: RunIdSchema.parse(uuidV7(systemClock, systemRandom)), attempt, parties };
}

/** Statuses as they come, and a wait for one of a kind. */
export class StatusLog {
  readonly seen: LinkStatus[] = [];
  #waiters: { readonly kind: string; readonly resolve: (status: LinkStatus) => void }[] = [];

  readonly add = (status: LinkStatus): void => {
    this.seen.push(status);
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.kind !== status.kind);
    for (const { kind, resolve } of waiters) if (kind === status.kind) resolve(status);
  };

  next<K extends LinkStatus['kind']>(kind: K): Promise<Extract<LinkStatus, { kind: K }>> {
    return new Promise((resolve) => {
      this.#waiters.push({
        kind,
        resolve: (status) => resolve(status as Extract<LinkStatus, { kind: K }>),
      });
    });
  }
}

export interface World {
  readonly server: LinkServer;
  readonly url: string;
  readonly port: number;
  readonly gatewayKeys: KeyPair;
  readonly keysOf: Map<PartyId, KeyPair>;
  readonly log: StatusLog;
  /** A domain, started and connected unless `start` is false. */
  dial(party: PartyId, options?: Partial<DomainConnectionOptions>): DomainConnection;
  join(party: PartyId, options?: Partial<DomainConnectionOptions>): Promise<DomainConnection>;
  close(): Promise<void>;
}

export async function openWorld(
  options: Partial<LinkServerOptions> = {},
  make: () => Server = createServer,
  port = 0,
): Promise<World> {
  const http = make();
  const gatewayKeys = options.keys ?? newKeys();
  const keysOf = new Map([ALPHA, BETA, GAMMA].map((party) => [party, newKeys()]));
  const log = new StatusLog();
  const server = attachLinkServer(http, {
    keys: gatewayKeys,
    suite: eddsaSuite,
    clock: systemClock,
    random: systemRandom,
    lookupDomain: (party) => keysOf.get(party)?.publicKey,
    onStatus: log.add,
    ...options,
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const taken = (http.address() as AddressInfo).port;
  const url = `http://127.0.0.1:${taken}`;
  const domains: DomainConnection[] = [];
  const dial: World['dial'] = (party, domainOptions = {}) => {
    const domain = createDomainConnection({
      gatewayUrl: url,
      gatewayKey: gatewayKeys.publicKey,
      identity: { party, keys: keysOf.get(party) ?? newKeys(), suite: eddsaSuite },
      clock: systemClock,
      random: systemRandom,
      ...domainOptions,
    });
    domains.push(domain);
    return domain;
  };
  return {
    server,
    url,
    port: taken,
    gatewayKeys,
    keysOf,
    log,
    dial,
    async join(party, domainOptions) {
      const domain = dial(party, domainOptions);
      domain.start();
      await domain.connected();
      return domain;
    },
    async close() {
      await Promise.all(domains.map((domain) => domain.close()));
      await server.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
