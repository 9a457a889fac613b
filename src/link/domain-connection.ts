/** The domain's end: dials the gateway, and again with growing delays whenever the link is lost. */
import type { WebSocket } from 'ws';
import { AbortError, type WeirError } from '../errors.ts';
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
  /** Why no frame of this attempt goes any more; undefined where some may. See DomainRuns.endOf. */
  endOfRun(spec: Pick<RunSpec, 'runId' | 'attempt'>): WeirError | undefined;
  /** Ends the link with `shutting-down` and stops dialling. */
  close(): Promise<void>;
}

/** @throws SetupError `tls-required` or `config-invalid` for the URL. */
export function createDomainConnection(options: DomainConnectionOptions): DomainConnection {
  return new KeptLink(options);
}

class KeptLink implements DomainConnection {
  readonly #options: DomainConnectionOptions;
  readonly #url: URL;
  readonly #limits: LinkLimits;
  readonly #handlers = new Map<string, Handler>();
  readonly #runs: DomainRuns;
  readonly #life = new AbortController();
  #link: OpenLink | undefined;
  #entered = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;

  constructor(options: DomainConnectionOptions) {
    this.#options = options;
    this.#url = linkUrlOf(options.gatewayUrl);
    this.#limits = { ...LINK_LIMITS, ...options.limits };
    this.#runs = new DomainRuns(options.identity.party, options.clock, this.#limits);
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  start(): void {
    this.#running ??= this.#keepUp();
  }

  link(): Link | undefined {
    return this.#link?.connection.isOpen ? this.#link : undefined;
  }

  async connected(signal?: AbortSignal): Promise<Link> {
    for (;;) {
      const link = this.link();
      if (link !== undefined) return link;
      await orAborted(this.#entered.promise, signal);
    }
  }

  async request(method: string, body: unknown, options?: RequestOptions): Promise<unknown> {
    const link = this.link();
    if (link === undefined) throw noLink();
    return link.request(method, body, options);
  }

  claimRunChannel(spec: RunSpec, options?: ClaimOptions): Promise<RunChannelHandle> {
    return this.#runs.claim(spec, options);
  }

  endOfRun(spec: Pick<RunSpec, 'runId' | 'attempt'>): WeirError | undefined {
    return this.#runs.endOf(spec);
  }

  async close(): Promise<void> {
    this.#link?.close('shutting-down');
    this.#life.abort();
    this.#runs.stop();
    await this.#running;
  }

  async #keepUp(): Promise<void> {
    const { clock, random } = this.#options;
    let failures = 0;
    while (!this.#life.signal.aborted) {
      await this.#dial();
      const enteredMs = clock.monotonic();
      await this.#link?.closed;
      this.#link = undefined;
      if (this.#life.signal.aborted) return;
      // A link that is lost at once counts as a failure: no storm of dials meets a sick gateway.
      const wasUp = clock.monotonic() - enteredMs >= this.#limits.reconnectResetMs;
      failures = wasUp ? 0 : failures + 1;
      const delayMs = backOffMs(failures, this.#limits, random);
      this.#tell({ kind: 'retrying', delayMs });
      await clock.sleep(delayMs, this.#life.signal);
    }
  }

  async #dial(): Promise<void> {
    const { clock, random, identity, gatewayKey, tls } = this.#options;
    this.#tell({ kind: 'connecting', url: this.#url.href });
    const failure = await dialGateway({
      url: this.#url,
      identity,
      gatewayKey,
      tls: tls ?? {},
      clock,
      random,
      limits: this.#limits,
      signal: this.#life.signal,
      enter: (socket) => this.#enter(socket),
    });
    if (failure === undefined || this.#life.signal.aborted) return;
    this.#tell({ kind: 'refused', address: undefined, ...failure });
  }

  #enter(socket: WebSocket): void {
    this.#link = openLink({
      socket,
      peer: GATEWAY,
      clock: this.#options.clock,
      limits: this.#limits,
      handlers: this.#handlers,
      runs: this.#runs,
      onStatus: (status) => this.#tell(status),
    });
    this.#tell({ kind: 'connected', party: GATEWAY });
    this.#entered.resolve();
    this.#entered = Promise.withResolvers();
  }

  #tell(status: LinkStatus): void {
    this.#options.onStatus?.(status);
  }
}

/** Doubles from the least to the most delay; a random half of it spreads domains out. */
export function backOffMs(failures: number, limits: LinkLimits, random: Random): number {
  const exponent = Math.min(Math.max(failures - 1, 0), 30);
  const fullMs = Math.min(limits.reconnectMsMax, limits.reconnectMsMin * 2 ** exponent);
  const share = new DataView(random.bytes(4).buffer).getUint32(0) / 2 ** 32;
  return Math.round(fullMs * (0.5 + share / 2));
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
