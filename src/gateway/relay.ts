/**
 * Hands a call about a run to the process that is at work on it, as it came: its caller's own token
 * goes along, and that process checks it like any call, so that processes need no word for each
 * other. The other ways were worse: a redirect would need every process to be reachable for
 * analysts; frames through the database would cost a sync each; and the run itself cannot move, since
 * its channels are links of one process. What is relayed is sealed between analyst and holder.
 */
import { X509Certificate } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { GUEST_BATCH_BYTES_MAX } from '../contracts/guest-frames.ts';
import { AbortError, CapacityError, InvariantError, StateError } from '../errors.ts';
import type { RunService as Runs } from '../runs/run-service.ts';
import type { PeerPlace, Peers } from './peers.ts';
import type { RelayedAnswer, RelayedCall, RelayService } from './services.ts';

/** Names who relayed: a call is relayed once, whatever the rows say. */
const RELAYED_BY = 'weir-relayed-by';
const CONNECT_MS_MAX = 3_000;
/** Longer than a call for frames waits, and than two beats of an event stream. */
const SILENCE_MS_MAX = 60_000;
const SOCKETS_MAX = 1_024;
/** A batch of frames with its numbers. */
const ANSWER_BYTES_MAX = 2 * GUEST_BATCH_BYTES_MAX;
const TAKEN_ALONG = ['authorization', 'accept', 'content-type', 'last-event-id'] as const;
const BROUGHT_BACK = ['retry-after', 'x-accel-buffering'] as const;

/** Owns its connections to the other processes. */
export class Relay implements RelayService {
  readonly #runs: Pick<Runs, 'elsewhere'>;
  readonly #peers: Peers;
  readonly #instance: string;
  readonly #plain = new HttpAgent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  readonly #secure = new HttpsAgent({ keepAlive: true, maxSockets: SOCKETS_MAX });

  constructor(runs: Pick<Runs, 'elsewhere'>, peers: Peers, instance: string) {
    this.#runs = runs;
    this.#peers = peers;
    this.#instance = instance;
  }

  async relay({
    runId,
    analyst,
    incoming,
    body,
    signal,
  }: RelayedCall): Promise<RelayedAnswer | undefined> {
    if (incoming.headers[RELAYED_BY] !== undefined) return undefined;
    const instance = await this.#runs.elsewhere(runId, analyst);
    if (instance === undefined) return undefined;
    const place = await this.#peers.find(instance);
    if (place === undefined) throw await this.#unreachable(instance);
    try {
      return await answerOf(await this.#send(place, incoming, body, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      throw new CapacityError(
        'queue-full',
        `The gateway process ${instance}, which is at work on this run, does not answer now.`,
        { rule: `gateway ${instance}`, retryAfterS: 1 },
      );
    }
  }

  /** Drops the connections; calls under way fail. */
  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }

  async #unreachable(instance: string): Promise<AbortError | StateError> {
    const rule = `gateway ${instance}`;
    if (await this.#peers.isPresent(instance)) {
      return new StateError(
        'round-mismatch',
        'Another gateway process has this run and tells no address it can be reached at.',
        { rule, remedy: `The operator sets advertiseUrl in the configuration of ${instance}.` },
      );
    }
    return new AbortError(
      'gateway-restarted',
      'The gateway process that was at work on this run is gone; nothing is charged.',
      { rule, remedy: 'Cancel the run, and sign a new request.' },
    );
  }

  #send(
    { url, certificate }: PeerPlace,
    incoming: IncomingMessage,
    body: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const headers: Record<string, string | number> = { [RELAYED_BY]: this.#instance };
    for (const name of TAKEN_ALONG) {
      const value = incoming.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    if (body !== undefined) headers['content-length'] = body.length;
    const { method } = incoming;
    const call = { method, headers, timeout: SILENCE_MS_MAX, signal };
    const target = new URL(url);
    // Assigned rather than resolved: a path that begins with two slashes would name another host.
    const [path = '/', query = ''] = (incoming.url ?? '/').split('?', 2);
    target.pathname = path;
    target.search = query;
    return new Promise((resolve, reject) => {
      const outgoing =
        target.protocol === 'https:'
          ? httpsRequest(target, { ...call, agent: this.#secure, ...pinned(certificate) }, resolve)
          : httpRequest(target, { ...call, agent: this.#plain }, resolve);
      const connecting = setTimeout(
        () => outgoing.destroy(new Error('no connection in time')),
        CONNECT_MS_MAX,
      );
      const isConnected = (): void => clearTimeout(connecting);
      outgoing.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', isConnected);
        else isConnected();
      });
      outgoing.on('close', isConnected);
      outgoing.on('timeout', () => outgoing.destroy(new Error('no byte came for too long')));
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }
}

/** Trusts the one certificate that the process wrote into its row, under whatever name. */
function pinned(certificate: string | undefined): {
  readonly ca: string;
  readonly minVersion: 'TLSv1.3';
  readonly allowPartialTrustChain: true;
  readonly checkServerIdentity: (
    host: string,
    shown: { readonly raw: Buffer },
  ) => Error | undefined;
} {
  if (certificate === undefined) throw new InvariantError('internal', 'https without certificate');
  const { raw } = new X509Certificate(certificate);
  return {
    ca: certificate,
    minVersion: 'TLSv1.3',
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, shown) =>
      shown.raw.equals(raw) ? undefined : new Error('another certificate than the process told'),
  };
}

/** Frames and problems whole, so that a broken answer is asked for again; events as they come. */
async function answerOf(message: IncomingMessage): Promise<RelayedAnswer> {
  const headers: Record<string, string> = {};
  for (const name of BROUGHT_BACK) {
    const value = message.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  const mediaType = message.headers['content-type'] ?? 'application/octet-stream';
  const body = mediaType.startsWith('text/event-stream')
    ? { stream: Readable.toWeb(Readable.from(unlessBroken(message))) }
    : { bytes: await wholeOf(message) };
  return { status: message.statusCode ?? 502, headers, body: { ...body, mediaType } };
}

async function wholeOf(message: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    sizeBytes += part.length;
    if (sizeBytes > ANSWER_BYTES_MAX) throw new Error('the answer is too large');
    parts.push(part);
  }
  return Uint8Array.from(Buffer.concat(parts, sizeBytes));
}

/** Ends where the other process breaks off: the follower comes again, and is told what there is. */
async function* unlessBroken(message: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* message as AsyncIterable<Buffer>;
  } catch {
    return;
  }
}
