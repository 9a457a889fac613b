/** The domain's end: dials the gateway, and again with growing delays whenever the link is lost. */
import type { WebSocket } from 'ws';
import { AbortError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import { type LinkTls, dialGateway, linkUrlOf } from './domain-dial.ts';
import { type ClaimOptions, DomainRuns } from './domain-runs.ts';
import type { LinkIdentity } from './handshake.ts';
import { LINK_LIMITS, type LinkLimits } from './limits.ts';
import { type Link, type LinkStatus, type OpenLink, openLink } from './link.ts';
import type { Handler, RequestOptions } from './rpc.ts';
import type { RunChannelHandle, RunSpec } from './run-channel.ts';

export interface DomainConnectionOptions {
  /** The gateway's `https://host:port`; plain `http` on loopback only. */
  readonly gatewayUrl: string;
  /** The gateway's pinned identity key. */
  readonly gatewayKey: Uint8Array;
  readonly identity: LinkIdentity;
  readonly tls?: LinkTls;
  readonly clock: Clock;
  readonly random: Random;
  readonly onStatus?: (status: LinkStatus) => void;
  readonly limits?: Partial<LinkLimits>;
}

export interface DomainConnection {
  /** Answers `method`; one handler a method. Set all before `start`. */
  handle(method: string, handler: Handler): void;
  /** Dials, and keeps the link up until `close`. */
  start(): void;
  /** The link as it stands. */
  link(): Link | undefined;
  /** The link, once there is one. @throws AbortError `domain-unreachable` when `signal` aborts first. */
  connected(signal?: AbortSignal): Promise<Link>;
  /** As Link.request; @throws AbortError `domain-unreachable` besides, while there is no link. */
  request(method: string, body: unknown, options?: RequestOptions): Promise<unknown>;
  /** The frames of a run this domain agreed to, once the gateway opened it. See DomainRuns.claim. */
  claimRunChannel(spec: RunSpec, options?: ClaimOptions): Promise<RunChannelHandle>;
  /** Ends the link with `shutting-down` and stops dialling. */
  close(): Promise<void>;
}

/** @throws SetupError `tls-required` or `config-invalid` for the URL. */
export function createDomainConnection(options: DomainConnectionOptions): DomainConnection {
  const { clock, identity } = options;
  const url = linkUrlOf(options.gatewayUrl);
  const limits = { ...LINK_LIMITS, ...options.limits };
  const onStatus = options.onStatus ?? (() => undefined);
  const handlers = new Map<string, Handler>();
  const runs = new DomainRuns(identity.party, clock, limits);
  const life = new AbortController();
  let link: OpenLink | undefined;
  let entered = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const enter = (socket: WebSocket): void => {
    link = openLink({ socket, peer: GATEWAY, clock, limits, handlers, runs, onStatus });
    onStatus({ kind: 'connected', party: GATEWAY });
    entered.resolve();
    entered = Promise.withResolvers();
  };
  const keepUp = async (): Promise<void> => {
    let failures = 0;
    while (!life.signal.aborted) {
      onStatus({ kind: 'connecting', url: url.href });
      const failure = await dialGateway({
        url,
        identity,
        clock,
        limits,
        enter,
        random: options.random,
        gatewayKey: options.gatewayKey,
        tls: options.tls ?? {},
        signal: life.signal,
      });
      const startedMs = clock.monotonic();
      if (failure !== undefined && !life.signal.aborted) {
        onStatus({ kind: 'refused', address: undefined, ...failure });
      }
      await link?.closed;
      link = undefined;
      if (life.signal.aborted) return;
      failures = clock.monotonic() - startedMs >= limits.reconnectResetMs ? 0 : failures + 1;
      const delayMs = backOffMs(failures, limits, options.random);
      onStatus({ kind: 'retrying', delayMs });
      await clock.sleep(delayMs, life.signal);
    }
  };

  return {
    handle: (method, handler) => void handlers.set(method, handler),
    start: () => {
      running ??= keepUp();
    },
    link: () => openOf(link),
    async connected(signal) {
      for (;;) {
        const open = openOf(link);
        if (open !== undefined) return open;
        await orAborted(entered.promise, signal);
      }
    },
    async request(method, body, requestOptions) {
      const open = openOf(link);
      if (open === undefined) throw noLink();
      return open.request(method, body, requestOptions);
    },
    claimRunChannel: (spec, claimOptions) => runs.claim(spec, claimOptions),
    async close() {
      link?.close('shutting-down');
      life.abort();
      runs.stop();
      await running;
    },
  };
}

/** Doubles from the least to the most delay; a random half of it spreads domains out. */
export function backOffMs(failures: number, limits: LinkLimits, random: Random): number {
  const exponent = Math.min(Math.max(failures - 1, 0), 30);
  const fullMs = Math.min(limits.reconnectMsMax, limits.reconnectMsMin * 2 ** exponent);
  const share = new DataView(random.bytes(4).buffer).getUint32(0) / 2 ** 32;
  return Math.round(fullMs * (0.5 + share / 2));
}

function openOf(link: OpenLink | undefined): Link | undefined {
  return link?.connection.isOpen ? link : undefined;
}

async function orAborted(awaited: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return awaited;
  const stopped = Promise.withResolvers<never>();
  const onAbort = (): void => stopped.reject(noLink());
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await Promise.race([awaited, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function noLink(): AbortError {
  return new AbortError('domain-unreachable', 'There is no link to the gateway.', {
    party: GATEWAY,
  });
}
