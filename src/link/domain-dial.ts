/** Dials the gateway once: TLS, WebSocket, handshake. */
import type { Buffer } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { type PeerCertificate, checkServerIdentity } from 'node:tls';
import { type ClientOptions, type RawData, WebSocket } from 'ws';
import { SetupError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { Random } from '../system/random.ts';
import { CLOSE_CODES, type CloseReason, LinkViolation, reasonOfCode } from './close-reason.ts';
import { closeSignal } from './close-signal.ts';
import { decodeFrame, encodeFrame } from './frame-codec.ts';
import { ChallengeSchema, type Hello, WelcomeSchema } from './frames.ts';
import { type LinkIdentity, answerChallenge, createHello, tlsBindingOf } from './handshake.ts';
import { FRAME_BYTES_MAX, type LinkLimits } from './limits.ts';
import { LINK_PATH, LINK_SUBPROTOCOL } from './link-path.ts';

/** How the domain trusts the gateway's TLS; all absent: the system's authorities. */
export interface LinkTls {
  /** PEM of the authority, or of the gateway's self-signed certificate. */
  readonly ca?: string;
  /** SHA-256 of the certificate, upper-case hex with colons, pinned besides the chain and the name. */
  readonly certificateFingerprint?: string;
  /** The name in the certificate where it is not the URL's host. */
  readonly serverName?: string;
  /** A proxy before the gateway ends TLS: the handshake then cannot be bound to the session. */
  readonly endsAtProxy?: boolean;
}

export interface DialParts {
  readonly url: URL;
  readonly identity: LinkIdentity;
  readonly gatewayKey: Uint8Array;
  readonly tls: LinkTls;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: LinkLimits;
  readonly signal: AbortSignal;
  /** Takes the socket over, synchronously: no frame of the gateway can come in between. */
  readonly enter: (socket: WebSocket) => void;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * The link's URL from the gateway's (`https://host:port`, also `http`, `wss`, `ws`).
 * @throws SetupError `tls-required` for a plain URL beyond loopback, `config-invalid`.
 */
export function linkUrlOf(gatewayUrl: string): URL {
  const url = URL.canParse(gatewayUrl) ? new URL(gatewayUrl) : undefined;
  if (url === undefined || !/^(https?|wss?):$/.test(url.protocol)) {
    throw new SetupError('config-invalid', 'The gateway needs a URL such as https://host:port.');
  }
  const isPlain = url.protocol === 'http:' || url.protocol === 'ws:';
  if (isPlain && !LOOPBACK.test(url.hostname)) {
    throw new SetupError('tls-required', `A link beyond this machine needs https: ${url.host}.`);
  }
  return new URL(LINK_PATH, `${isPlain ? 'ws' : 'wss'}://${url.host}`);
}

/** Why no link came about; `detail` is the socket's or TLS layer's own code, for the operator. */
export interface DialFailure {
  readonly reason: CloseReason | 'unreachable';
  readonly detail: string | undefined;
}

/** Resolves with why no link came about, or undefined once `enter` was called. */
export function dialGateway(parts: DialParts): Promise<DialFailure | undefined> {
  return new Dial(parts).outcome.promise;
}

class Dial {
  readonly outcome = Promise.withResolvers<DialFailure | undefined>();
  readonly #parts: DialParts;
  readonly #socket: WebSocket;
  readonly #isBound: boolean;
  readonly #life = new AbortController();
  #binding: Uint8Array | undefined;
  #hello: Hello | undefined;
  #isProven = false;

  constructor(parts: DialParts) {
    this.#parts = parts;
    this.#isBound = parts.url.protocol === 'wss:' && parts.tls.endsAtProxy !== true;
    const socket = new WebSocket(parts.url, [LINK_SUBPROTOCOL], clientOptions(parts));
    this.#socket = socket;
    socket.on('upgrade', (response: IncomingMessage) => {
      this.#binding = this.#isBound ? tlsBindingOf(response.socket) : undefined;
    });
    socket.on('open', () => this.#greet());
    socket.on('message', this.#onMessage);
    socket.on('error', (error: Error) => {
      const detail = 'code' in error ? String(error.code) : error.message.slice(0, 200);
      this.#settle({ reason: 'unreachable', detail });
    });
    socket.once('close', (code: number) => this.#fail(reasonOfCode(code)));
    parts.signal.addEventListener('abort', this.#onStop, { once: true });
    if (parts.signal.aborted) this.#onStop();
    void parts.clock.sleep(parts.limits.handshakeMsMax, this.#life.signal).then(() => {
      this.#cut('handshake-late');
    });
  }

  #greet(): void {
    this.#hello = createHello(this.#parts.identity, this.#isBound, this.#parts.random);
    this.#socket.send(encodeFrame(this.#hello));
  }

  readonly #onMessage = (data: RawData, isBinary: boolean): void => {
    try {
      this.#step(data as Buffer, isBinary);
    } catch (error) {
      const reason = error instanceof LinkViolation ? error.reason : 'internal';
      this.#socket.close(CLOSE_CODES[reason], reason);
      this.#fail(reason);
      const { clock, limits } = this.#parts;
      const closed = closeSignal(this.#socket);
      void clock.sleep(limits.closeMsMax, closed).then(() => this.#socket.terminate());
    }
  };

  #step(data: Buffer, isBinary: boolean): void {
    const { identity, gatewayKey } = this.#parts;
    const hello = this.#hello;
    if (!isBinary) throw new LinkViolation('frame-not-binary');
    if (hello === undefined) throw new LinkViolation('frame-unexpected');
    if (!this.#isProven) {
      const challenge = decodeFrame(ChallengeSchema, data);
      const proof = answerChallenge(hello, challenge, identity, gatewayKey, this.#binding);
      this.#isProven = true;
      this.#socket.send(encodeFrame(proof));
      return;
    }
    decodeFrame(WelcomeSchema, data);
    this.#settle(undefined);
    this.#parts.enter(this.#socket);
  }

  readonly #onStop = (): void => this.#cut('closed');

  #cut(reason: CloseReason): void {
    if (this.#life.signal.aborted) return;
    this.#fail(reason);
    this.#socket.terminate();
  }

  #fail(reason: CloseReason): void {
    this.#settle({ reason, detail: undefined });
  }

  #settle(failure: DialFailure | undefined): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#parts.signal.removeEventListener('abort', this.#onStop);
    this.#socket.off('message', this.#onMessage);
    this.outcome.resolve(failure);
  }
}

function clientOptions(parts: DialParts): ClientOptions {
  const { ca, certificateFingerprint, serverName } = parts.tls;
  const base = {
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    handshakeTimeout: parts.limits.handshakeMsMax,
    followRedirects: false,
    // A mask keeps a page's script from writing chosen bytes to proxies in the clear. No script runs
    // here and the socket is TLS or loopback, so the mask is zero: it was half of a frame's cost.
    generateMask: (mask: Buffer) => void mask.fill(0),
  };
  if (parts.url.protocol === 'ws:') return base;
  return {
    ...base,
    minVersion: 'TLSv1.3',
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    checkServerIdentity: (host: string, certificate: PeerCertificate): Error | undefined => {
      if (
        certificateFingerprint !== undefined &&
        certificate.fingerprint256 !== certificateFingerprint
      ) {
        return new Error('the certificate is not the pinned one');
      }
      return checkServerIdentity(serverName ?? host, certificate);
    },
    // The typings declare another signature than the TLS layer calls.
  } as unknown as ClientOptions;
}
