/**
 * Reads a request's body once, bounded, and parses it strictly: bytes of one body, bytes of all
 * bodies in flight, nesting and key names have limits, so that no caller can fill the memory.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { CapacityError, InputError } from '../errors.ts';

/** Bytes of all bodies that are being received at one time. */
export const BODIES_IN_FLIGHT_MAX_BYTES = 256 * 1024 * 1024;
export const JSON_DEPTH_MAX = 32;

const JSON_TYPE = /^application\/json(?:\s*;\s*charset=(?:utf-8|"utf-8"))?\s*$/i;

interface BodyKind {
  readonly type: RegExp;
  readonly name: string;
  readonly sent: string;
}
const JSON_BODY: BodyKind = { type: JSON_TYPE, name: 'JSON', sent: 'application/json' };
const BYTES_BODY: BodyKind = {
  type: /^application\/octet-stream\s*$/i,
  name: 'bytes',
  sent: 'application/octet-stream',
};

/** Owns the count of bytes in flight; one an application. */
export class BodyReader {
  readonly #inFlightMaxBytes: number;
  #inFlightBytes = 0;

  constructor(inFlightMaxBytes: number = BODIES_IN_FLIGHT_MAX_BYTES) {
    this.#inFlightMaxBytes = inFlightMaxBytes;
  }

  /**
   * The parsed JSON body.
   * @throws InputError `malformed-message` (content type or encoding, too deep, forbidden key),
   *   `body-too-large`, `invalid-json` (also a body that ends early); CapacityError `queue-full`.
   */
  async read(incoming: IncomingMessage, bytesMax: number): Promise<unknown> {
    checkHeaders(incoming, bytesMax, JSON_BODY);
    return parseStrictJson(await this.#receive(incoming, bytesMax));
  }

  /**
   * The body as it is.
   * @throws as `read`
   */
  async readBytes(incoming: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
    checkHeaders(incoming, bytesMax, BYTES_BODY);
    return this.#receive(incoming, bytesMax);
  }

  #receive(incoming: IncomingMessage, bytesMax: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      const finish = (): void => {
        this.#inFlightBytes -= sizeBytes;
        incoming.off('data', onData).off('end', onEnd).off('error', onCut).off('close', onCut);
      };
      const fail = (error: Error): void => {
        finish();
        // The rest is left to the server's bounded drain; the answer need not wait for it.
        incoming.pause();
        reject(error);
      };
      const onData = (chunk: Buffer): void => {
        sizeBytes += chunk.length;
        this.#inFlightBytes += chunk.length;
        if (sizeBytes > bytesMax) return fail(tooLarge(bytesMax));
        if (this.#inFlightBytes > this.#inFlightMaxBytes) {
          return fail(new CapacityError('queue-full', 'Too many bodies are being received.'));
        }
        chunks.push(chunk);
      };
      const onEnd = (): void => {
        finish();
        resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, sizeBytes));
      };
      const onCut = (): void => fail(new InputError('invalid-json', 'The body ended early.'));
      incoming.on('data', onData).on('end', onEnd).on('error', onCut).on('close', onCut);
      if (incoming.destroyed) onCut();
    });
  }
}

/**
 * Parses UTF-8 JSON and bounds its nesting.
 * @throws InputError `invalid-json`; `malformed-message` beyond {@link JSON_DEPTH_MAX} levels, or
 *   for a key `__proto__`, which a later copy could lose without a trace.
 */
export function parseStrictJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new InputError('invalid-json', 'The body is not UTF-8.');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's message quotes the text, which may be secret: it stays here.
    throw new InputError('invalid-json', 'The body is not valid JSON.');
  }
  checkDepth(value, 0);
  return value;
}

function checkHeaders(incoming: IncomingMessage, bytesMax: number, kind: BodyKind): void {
  const { headers } = incoming;
  if (!kind.type.test(headers['content-type'] ?? '')) {
    throw new InputError('malformed-message', `The body must be ${kind.name}.`, {
      path: 'content-type',
      remedy: `Send Content-Type: ${kind.sent}.`,
    });
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new InputError('malformed-message', 'Compressed bodies are not read.', {
      path: 'content-encoding',
      remedy: 'Send the body as it is.',
    });
  }
  if (Number(headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
}

function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth >= JSON_DEPTH_MAX) {
    throw new InputError(
      'malformed-message',
      `The body nests deeper than ${JSON_DEPTH_MAX} levels.`,
    );
  }
  if (Array.isArray(value)) {
    for (const each of value) checkDepth(each, depth + 1);
    return;
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') {
      throw new InputError('malformed-message', 'The body has a forbidden key.', { path: key });
    }
    checkDepth(Reflect.get(value, key), depth + 1);
  }
}

function tooLarge(bytesMax: number): InputError {
  return new InputError('body-too-large', `The body is larger than ${bytesMax} bytes.`, {
    remedy: `Send at most ${bytesMax} bytes.`,
  });
}
