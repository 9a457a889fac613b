/**
 * The SDK's socket: node:http(s) with connections kept, because the platform's fetch takes no
 * private authority without another package. Certificates of public authorities, and those in
 * NODE_EXTRA_CA_CERTS, are trusted unless `ca` names the only one to trust.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { SetupError } from '../errors.ts';
import { isLoopback } from '../system/loopback.ts';
import { GatewayUnreachable } from './problem.ts';

/** The longest answer: below the engine's longest string. */
export const ANSWER_BYTES_MAX = 500 * 1024 * 1024;
const SOCKETS_MAX = 32;
/** A connection without a byte for so long is given up. Event streams beat every 15 s. */
const SILENCE_MAX_MS = 60_000;

export interface TransportOptions {
  /** `https://…`, or `http://` on this machine. */
  readonly url: string;
  readonly token?: string;
  /** PEM certificates of the one authority to trust. */
  readonly ca?: string;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** A body of bytes instead. */
  readonly bytes?: Uint8Array;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Owns the connections. */
export class Transport {
  readonly #base: URL;
  readonly #token: string | undefined;
  readonly #agent: HttpAgent | HttpsAgent;

  /** @throws SetupError `config-invalid`, or `tls-required` for plain HTTP beyond this machine */
  constructor({ url, token, ca }: TransportOptions) {
    this.#base = parseUrl(url);
    this.#token = token;
    const settings = { keepAlive: true, maxSockets: SOCKETS_MAX };
    this.#agent =
      this.#base.protocol === 'https:'
        ? new HttpsAgent({
            ...settings,
            minVersion: 'TLSv1.3',
            ...(ca === undefined ? {} : { ca }),
          })
        : new HttpAgent(settings);
  }

  /** One call, its answer read whole. @throws GatewayUnreachable */
  async send(call: HttpCall): Promise<HttpAnswer> {
    const message = await this.open(call);
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    try {
      for await (const chunk of message as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > ANSWER_BYTES_MAX) throw new Error('the answer is too large');
        chunks.push(chunk);
      }
    } catch (error) {
      throw unreachable(this.#base, error);
    }
    const body = Buffer.concat(chunks, sizeBytes);
    return { status: message.statusCode ?? 0, headers: message.headers, body };
  }

  /** One call, its answer as it comes. @throws GatewayUnreachable */
  open(call: HttpCall): Promise<IncomingMessage> {
    const body = call.json === undefined ? call.bytes : JSON.stringify(call.json);
    const headers: Record<string, string | number> = {
      accept: 'application/json',
      ...call.headers,
    };
    if (this.#token !== undefined) headers['authorization'] = `Bearer ${this.#token}`;
    if (body !== undefined) {
      headers['content-type'] =
        call.json === undefined ? 'application/octet-stream' : 'application/json';
      headers['content-length'] = Buffer.byteLength(body);
    }
    const start = this.#base.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const outgoing = start(
        new URL(call.path, this.#base),
        {
          method: call.method,
          headers,
          agent: this.#agent,
          timeout: SILENCE_MAX_MS,
          ...(call.signal === undefined ? {} : { signal: call.signal }),
        },
        resolve,
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error('no byte came for too long')));
      outgoing.on('error', (error) => reject(unreachable(this.#base, error)));
      outgoing.end(body);
    });
  }

  /** Drops all connections. */
  close(): void {
    this.#agent.destroy();
  }
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new SetupError('config-invalid', 'The gateway’s address is not an http or https URL.');
  }
  if (parsed.protocol === 'http:' && !isLoopback(parsed.hostname)) {
    throw new SetupError(
      'tls-required',
      `The gateway at ${parsed.hostname} is not on this machine: use its https address.`,
    );
  }
  return parsed;
}

function unreachable(base: URL, error: unknown): Error {
  if (error instanceof Error && error.name === 'AbortError') return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new GatewayUnreachable(`The gateway at ${base.origin} does not answer: ${reason}.`, {
    cause: error,
  });
}
