/** Ends of a link that keep to no rule unless a test wants them to: bytes in, bytes out. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { decodeFrame, encodeFrame } from '../../src/link/frame-codec.ts';
import {
  type Challenge,
  ChallengeSchema,
  type FrameBody,
  type Hello,
  HelloSchema,
  type LinkFrame,
  LinkFrameSchema,
  type Proof,
  ProofSchema,
} from '../../src/link/frames.ts';
import {
  type LinkIdentity,
  answerChallenge,
  answerHello,
  createHello,
} from '../../src/link/handshake.ts';
import { LINK_PATH, LINK_SUBPROTOCOL } from '../../src/link/link-path.ts';
import { GATEWAY, type PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { type KeyPair, eddsaSuite } from '../../src/system/signature-suite.ts';
import type { World } from './link-world.ts';

/** Where the gateway listens, and whose keys are at hand. */
export type RawWorld = Pick<World, 'url' | 'keysOf'>;

/** A WebSocket whose messages wait until somebody asks for them. */
export class RawSocket {
  readonly socket: WebSocket;
  /** The close code the peer gave. */
  readonly closed: Promise<number>;
  #queue: Buffer[] = [];
  #wake = Promise.withResolvers<void>();
  #sent = 0;
  #isClosed = false;

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) =>
      socket.once('close', (code) => {
        this.#isClosed = true;
        this.#wake.resolve();
        resolve(code);
      }),
    );
    socket.on('error', () => undefined);
    socket.on('message', (data) => {
      this.#queue.push(data as Buffer);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
  }

  /** The next message; undefined once the socket has closed. */
  async next(): Promise<Buffer | undefined> {
    while (this.#queue.length === 0 && !this.#isClosed) await this.#wake.promise;
    return this.#queue.shift();
  }

  async nextFrame(): Promise<LinkFrame> {
    const message = await this.next();
    if (message === undefined) throw new Error('the socket closed');
    return decodeFrame(LinkFrameSchema, message);
  }

  /** Sends a frame under the next number, or under `n`. */
  send(frame: FrameBody | Record<string, unknown>, n = this.#sent++): void {
    this.socket.send(encodeFrame({ ...frame, n }));
  }
}

export async function dialRaw(world: RawWorld, options: object = {}): Promise<RawSocket> {
  const url = `${world.url.replace('http', 'ws')}${LINK_PATH}`;
  const socket = new WebSocket(url, [LINK_SUBPROTOCOL], { perMessageDeflate: false, ...options });
  const raw = new RawSocket(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
  return raw;
}

export function identityOf(world: RawWorld, party: PartyId, keys?: KeyPair): LinkIdentity {
  const own = keys ?? world.keysOf.get(party);
  if (own === undefined) throw new Error(`no keys for ${party}`);
  return { party, keys: own, suite: eddsaSuite };
}

/** What a test may change on the way; each gets the honest frame. */
export interface Tamper {
  readonly hello?: (hello: Hello) => Hello;
  readonly signed?: (hello: Hello, challenge: Challenge) => [Hello, Challenge];
  readonly proof?: (proof: Proof) => Proof;
}

/** Goes through the handshake by hand; resolves after the proof was sent. */
export async function proveRaw(
  world: RawWorld,
  identity: LinkIdentity,
  tamper: Tamper = {},
  options: object = {},
): Promise<{ raw: RawSocket; hello: Hello; challenge: Challenge; proof: Proof }> {
  const raw = await dialRaw(world, options);
  const honest = createHello(identity, false, systemRandom);
  const hello = tamper.hello?.(honest) ?? honest;
  raw.socket.send(encodeFrame(hello));
  const answer = await raw.next();
  if (answer === undefined) throw new Error('no challenge came');
  const challenge = decodeFrame(ChallengeSchema, answer);
  const [signedHello, signedChallenge] = tamper.signed?.(hello, challenge) ?? [hello, challenge];
  // Signs as a domain would; where the test changed what is signed, the gateway's own signature no
  // longer fits it, so the check of the gateway is switched off.
  const blind = { ...eddsaSuite, isValid: () => true };
  const signed = answerChallenge(
    signedHello,
    signedChallenge,
    { ...identity, suite: blind },
    signedChallenge.key,
    undefined,
  );
  const proof = tamper.proof?.(signed) ?? signed;
  raw.socket.send(encodeFrame(proof));
  return { raw, hello, challenge, proof };
}

/** An authenticated domain that then sends what it likes. */
export async function joinRaw(
  world: RawWorld,
  party: PartyId,
  options: object = {},
): Promise<RawSocket> {
  const { raw } = await proveRaw(world, identityOf(world, party), {}, options);
  const welcome = await raw.next();
  if (welcome === undefined) throw new Error('not welcomed');
  return raw;
}

export interface RawGateway {
  readonly url: string;
  /** The next domain that dials, before the handshake. */
  accept(): Promise<RawSocket>;
  /** Answers the handshake with `keys`; the proof is not checked. */
  welcome(raw: RawSocket, keys: KeyPair): Promise<{ hello: Hello; challenge: Challenge }>;
  close(): Promise<void>;
}

export async function openRawGateway(options: object = {}): Promise<RawGateway> {
  const http = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, ...options });
  const arrived: RawSocket[] = [];
  let wake = Promise.withResolvers<void>();
  server.on('connection', (socket) => {
    arrived.push(new RawSocket(socket));
    wake.resolve();
    wake = Promise.withResolvers();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async accept() {
      for (;;) {
        const raw = arrived.shift();
        if (raw !== undefined) return raw;
        await wake.promise;
      }
    },
    async welcome(raw, keys) {
      const hello = decodeFrame(HelloSchema, (await raw.next()) ?? new Uint8Array());
      const identity = { party: GATEWAY, keys, suite: eddsaSuite };
      const challenge = answerHello(hello, identity, undefined, systemRandom);
      raw.socket.send(encodeFrame(challenge));
      decodeFrame(ProofSchema, (await raw.next()) ?? new Uint8Array());
      raw.socket.send(encodeFrame({ t: 'welcome' }));
      return { hello, challenge };
    },
    async close() {
      for (const client of server.clients) client.terminate();
      server.close();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
