/**
 * The gateway's end: takes WebSockets on the link's path, has each prove its party, and keeps one
 * link per party.
 */
import type { Buffer } from 'node:buffer';
import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { AbortError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { PartyId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import type { KeyPair, SignatureSuite } from '../system/signature-suite.ts';
import type { Connection } from './connection.ts';
import { authenticateDomain } from './gateway-handshake.ts';
import { FRAME_BYTES_MAX, LINK_LIMITS, type LinkLimits } from './limits.ts';
import { LINK_PATH, LINK_SUBPROTOCOL } from './link-path.ts';
import { type Link, type LinkStatus, type OpenLink, openLink } from './link.ts';
import type { Handler } from './rpc.ts';
import type { RunChannelHandle, RunSpec } from './run-channel.ts';
import { RunRelay } from './run-relay.ts';

export interface LinkServerOptions {
  /** The gateway's identity. */
  readonly keys: KeyPair;
  readonly suite: SignatureSuite;
  readonly clock: Clock;
  readonly random: Random;
  /** The enrolled key of a domain; undefined: not enrolled, or no longer. */
  readonly lookupDomain: (
    party: PartyId,
  ) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  readonly onStatus?: (status: LinkStatus) => void;
  readonly limits?: Partial<LinkLimits>;
}

export interface LinkServer {
  /** Answers `method` on every link; one handler a method. */
  handle(method: string, handler: Handler): void;
  linkOf(party: PartyId): Link | undefined;
  /** The parties that are connected now. */
  parties(): readonly PartyId[];
  /**
   * Opens a run's frames among connected domains; this end is the gateway's.
   * @throws AbortError `domain-unreachable`, StateError `already-exists`, CapacityError `queue-full`.
   */
  openRunChannel(spec: RunSpec): RunChannelHandle;
  /** Ends all links with `shutting-down`; the HTTP server stays the caller's. */
  close(): Promise<void>;
}

/** Takes links on `httpServer` (plain or TLS) at LINK_PATH; other upgrades are refused. */
export function attachLinkServer(
  httpServer: HttpServer | HttpsServer,
  options: LinkServerOptions,
): LinkServer {
  return new GatewayLinks(httpServer, options);
}

class GatewayLinks implements LinkServer {
  readonly #httpServer: HttpServer | HttpsServer;
  readonly #options: LinkServerOptions;
  readonly #limits: LinkLimits;
  readonly #handlers = new Map<string, Handler>();
  readonly #links = new Map<PartyId, OpenLink>();
  readonly #relay = new RunRelay();
  /** Sockets that have not proven an identity, with the address they dialled from. */
  readonly #handshakes = new Map<WebSocket, string | undefined>();
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    handleProtocols: (offered) => (offered.has(LINK_SUBPROTOCOL) ? LINK_SUBPROTOCOL : false),
  });
  #isClosing = false;

  constructor(httpServer: HttpServer | HttpsServer, options: LinkServerOptions) {
    this.#httpServer = httpServer;
    this.#options = options;
    this.#limits = { ...LINK_LIMITS, ...options.limits };
    httpServer.on('upgrade', this.#onUpgrade);
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  linkOf(party: PartyId): Link | undefined {
    const link = this.#links.get(party);
    return link?.connection.isOpen ? link : undefined;
  }

  parties(): readonly PartyId[] {
    return [...this.#links.values()]
      .filter((link) => link.connection.isOpen)
      .map(({ peer }) => peer);
  }

  openRunChannel(spec: RunSpec): RunChannelHandle {
    return this.#relay.open(spec, connectionsOf(spec, this.#links));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#httpServer.off('upgrade', this.#onUpgrade);
    for (const socket of this.#handshakes.keys()) socket.terminate();
    const open = [...this.#links.values()];
    for (const link of open) link.close('shutting-down');
    await Promise.all(open.map((link) => link.closed));
    await Promise.all([...this.#sockets.clients].map(gone));
  }

  readonly #onUpgrade = (request: IncomingMessage, raw: Duplex, head: Buffer): void => {
    const address = request.socket.remoteAddress;
    const status = refusalOf(request, this.#isClosing || this.#isFull(address));
    if (status !== undefined) {
      const reason = status === 503 ? 'too-many-handshakes' : 'not-a-link';
      this.#tell({ kind: 'refused', reason, address, detail: undefined });
      raw.on('error', () => raw.destroy());
      raw.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(request, raw, head, (socket) => {
      this.#handshakes.set(socket, address);
      const enter = (party: PartyId): void => this.#admit(socket, party);
      const parts = { ...this.#options, limits: this.#limits, enter };
      void authenticateDomain(socket, raw, parts).then((reason) => {
        this.#handshakes.delete(socket);
        if (reason !== undefined)
          this.#tell({ kind: 'refused', reason, address, detail: undefined });
      });
    });
  };

  #isFull(address: string | undefined): boolean {
    if (this.#handshakes.size >= this.#limits.handshakeSocketsMax) return true;
    const same = [...this.#handshakes.values()].filter((other) => other === address).length;
    return same >= this.#limits.handshakeSocketsPerAddressMax;
  }

  /** The party has proven itself: only now does it replace a link it had before. */
  #admit(socket: WebSocket, party: PartyId): void {
    const link = openLink({
      socket,
      peer: party,
      clock: this.#options.clock,
      limits: this.#limits,
      handlers: this.#handlers,
      runs: this.#relay,
      onStatus: (status) => this.#tell(status),
    });
    const older = this.#links.get(party);
    this.#links.set(party, link);
    older?.close('replaced');
    void link.closed.then(() => {
      if (this.#links.get(party) === link) this.#links.delete(party);
    });
    this.#tell({ kind: 'connected', party });
  }

  #tell(status: LinkStatus): void {
    this.#options.onStatus?.(status);
  }
}

function connectionsOf(spec: RunSpec, links: ReadonlyMap<PartyId, OpenLink>): Connection[] {
  return spec.parties.map((party) => {
    const link = links.get(party);
    if (link?.connection.isOpen) return link.connection;
    throw new AbortError('domain-unreachable', `Domain ${party} is not connected.`, { party });
  });
}

/** The HTTP status that turns an upgrade away, or undefined. */
function refusalOf(request: IncomingMessage, isFull: boolean): 400 | 403 | 404 | 503 | undefined {
  if (request.url !== LINK_PATH) return 404;
  // A browser names its page; no domain does. So no page can use a visitor's network position.
  if (request.headers.origin !== undefined) return 403;
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',');
  if (!offered.some((name) => name.trim() === LINK_SUBPROTOCOL)) return 400;
  return isFull ? 503 : undefined;
}

async function gone(socket: WebSocket): Promise<void> {
  if (socket.readyState === socket.CLOSED) return;
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}
