/**
 * The links of a domain to its gateway, one an address. Several gateway processes on one database
 * answer as one gateway, with one identity key, one record and one audit log: a domain that links to
 * all of them trusts no more keys than with one, and its own counters hold whoever asks.
 */
import { resolve } from 'node:path';
import { readFileSync } from 'node:fs';
import { AbortError, SetupError } from '../errors.ts';
import {
  createDomainConnection,
  type DomainConnection,
  type DomainConnectionOptions,
} from '../link/domain-connection.ts';
import { GATEWAY } from '../system/ids.ts';
import type { DomainConfig } from './config.ts';

/** What does not depend on which process of the gateway is asked, or must reach all of them. */
export interface GatewayLinks {
  readonly all: readonly DomainConnection[];
  /** Over any link: all processes answer from one store. @throws as `DomainConnection.request` */
  request(method: string, body: unknown): Promise<unknown>;
  /**
   * Over every link there is, for what ends runs at work: each process knows its own alone.
   * @throws AbortError `domain-unreachable` where there is none; the first refusal, once all were told
   */
  tell(method: string, body: unknown): Promise<void>;
  /** How many links are up. */
  up(): number;
  start(): void;
  close(): Promise<void>;
}

/** @throws SetupError `tls-required` or `config-invalid` for an address. */
export function openGatewayLinks(
  directory: string,
  gateway: DomainConfig['gateway'],
  common: Omit<DomainConnectionOptions, 'gatewayUrl' | 'tls'>,
): GatewayLinks {
  const addresses = [gateway, ...gateway.further];
  if (new Set(addresses.map(({ url }) => new URL(url).origin)).size < addresses.length) {
    // The second link to a process takes the place of the first, which then dials again.
    throw new SetupError('config-invalid', 'An address of the gateway is configured twice.', {
      path: 'gateway.further',
    });
  }
  const all = addresses.map(({ url, caFile }) =>
    createDomainConnection({
      ...common,
      gatewayUrl: url,
      ...(caFile === undefined
        ? {}
        : { tls: { ca: readFileSync(resolve(directory, caFile), 'utf8') } }),
    }),
  );
  const linked = (): readonly DomainConnection[] => {
    const up = all.filter((connection) => connection.link() !== undefined);
    if (up.length > 0) return up;
    throw new AbortError('domain-unreachable', 'There is no link to the gateway.', {
      party: GATEWAY,
    });
  };
  return {
    all,
    request: async (method, body) => linked()[0]?.request(method, body),
    tell: async (method, body) => {
      const told = await Promise.allSettled(linked().map((each) => each.request(method, body)));
      for (const one of told) if (one.status === 'rejected') throw one.reason;
    },
    up: () => all.filter((connection) => connection.link() !== undefined).length,
    start: () => all.forEach((connection) => connection.start()),
    close: async () => {
      await Promise.all(all.map((connection) => connection.close()));
    },
  };
}
