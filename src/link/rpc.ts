/** Requests and answers over one link, both ways, with bounded counts, time-outs and cancelling. */
import {
  AbortError,
  CapacityError,
  InputError,
  StateError,
  WeirError,
  assertInvariant,
} from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import { LinkViolation } from './close-reason.ts';
import type { Connection } from './connection.ts';
import { encodeFrame, isPlain } from './frame-codec.ts';
import type { FrameOf, RpcFrame } from './frames.ts';
import {
  BODY_BYTES_MAX,
  type LinkLimits,
  REQUESTS_IN_FLIGHT_MAX,
  REQUEST_BYTES_IN_FLIGHT_MAX,
} from './limits.ts';
import { cancelReason, decodeError, encodeError } from './wire-error.ts';

export interface RequestOptions {
  /** Default: `limits.requestMs`. */
  readonly timeoutMs?: number;
  /** Cancels at the other end too; its reason is thrown where it is a WeirError. */
  readonly signal?: AbortSignal;
}

/** Who asks; `signal` aborts when the asker cancels, stops waiting or leaves. */
export interface HandlerContext {
  readonly party: PartyId;
  readonly signal: AbortSignal;
}

/**
 * Answers one method, at once or by a promise. `body` is untrusted: parse it first. Bodies are plain values (null, boolean,
 * number, bigint, string, Uint8Array, arrays, objects without undefined) of at most BODY_BYTES_MAX.
 * A WeirError thrown reaches the asker as such; anything else is told as AbortError `domain-failed`.
 */
export type Handler = (body: unknown, context: HandlerContext) => unknown;

export interface RpcOptions {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly clock: Clock;
  readonly limits: LinkLimits;
  /** A handler threw something that is no WeirError: a bug worth logging. */
  readonly onBug: (method: string, error: unknown) => void;
}

interface Waiting {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: WeirError) => void;
}

interface Answering {
  readonly controller: AbortController;
  readonly sizeBytes: number;
}

/** One link's requests; `end` when the link has ended. */
export class Rpc {
  readonly #connection: Connection;
  readonly #options: RpcOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #answering = new Map<number, Answering>();
  #asked = 0;
  #heard = 0;
  #answeringBytes = 0;

  constructor(connection: Connection, options: RpcOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  async request(method: string, body: unknown, options: RequestOptions = {}): Promise<unknown> {
    const sizeBytes = packedSizeBytes(body);
    if (sizeBytes > BODY_BYTES_MAX) {
      throw new InputError('frame-too-large', `The body of ${method} is too large for the link.`);
    }
    if (options.signal?.aborted) throw cancelReason(options.signal);
    if (this.#waiting.size >= REQUESTS_IN_FLIGHT_MAX) {
      throw this.#busy();
    }
    if (!this.#connection.isOpen) throw this.#gone();
    const id = this.#asked;
    this.#asked += 1;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#connection.send({ t: 'request', id, method, body });
    const settled = new AbortController();
    const giveUp = (error: WeirError): void => {
      if (!this.#waiting.delete(id)) return;
      this.#connection.send({ t: 'cancel', id });
      answer.reject(error);
    };
    const { clock, limits } = this.#options;
    void clock.sleep(options.timeoutMs ?? limits.requestMs, settled.signal).then(() => {
      giveUp(this.#late(method));
    });
    const onCancel = (): void => giveUp(cancelReason(options.signal));
    options.signal?.addEventListener('abort', onCancel, { once: true });
    try {
      return await answer.promise;
    } finally {
      settled.abort();
      options.signal?.removeEventListener('abort', onCancel);
    }
  }

  onFrame(frame: RpcFrame): void {
    switch (frame.t) {
      case 'request':
        return this.#onRequest(frame);
      case 'answer':
        return this.#settle(frame.id)?.resolve(frame.body);
      case 'failure':
        return this.#settle(frame.id)?.reject(decodeError(frame.error, this.#connection.peer));
      case 'cancel':
        return this.#answering.get(frame.id)?.controller.abort(cancelReason(undefined));
    }
  }

  /** Everything under way fails; handlers are told by their signal. */
  end(): void {
    for (const { reject } of this.#waiting.values()) reject(this.#gone());
    this.#waiting.clear();
    for (const { controller } of this.#answering.values()) controller.abort(this.#gone());
  }

  /** Undefined for an answer that came after its asker gave up. */
  #settle(id: number): Waiting | undefined {
    if (id >= this.#asked) throw new LinkViolation('frame-unexpected');
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #onRequest(frame: FrameOf<'request'>): void {
    if (frame.id !== this.#heard) throw new LinkViolation('frame-unexpected');
    this.#heard += 1;
    const { id } = frame;
    const sizeBytes = packedSizeBytes(frame.body);
    const full =
      this.#answering.size >= REQUESTS_IN_FLIGHT_MAX ||
      this.#answeringBytes + sizeBytes > REQUEST_BYTES_IN_FLIGHT_MAX;
    if (full) {
      const error = new CapacityError('queue-full', 'Too many requests are under way here.', {
        rule: `${REQUESTS_IN_FLIGHT_MAX} requests of ${REQUEST_BYTES_IN_FLIGHT_MAX} bytes in all`,
        retryAfterS: 1,
      });
      this.#connection.send({ t: 'failure', id, error: encodeError(error) });
      return;
    }
    const controller = new AbortController();
    this.#answering.set(id, { controller, sizeBytes });
    this.#answeringBytes += sizeBytes;
    void this.#answer(frame, controller.signal).finally(() => {
      this.#answering.delete(id);
      this.#answeringBytes -= sizeBytes;
    });
  }

  async #answer(frame: FrameOf<'request'>, signal: AbortSignal): Promise<void> {
    const { id, method } = frame;
    const handler = this.#options.handlers.get(method);
    try {
      if (handler === undefined) {
        throw new StateError('route-unknown', `There is no method ${method} here.`);
      }
      const body = (await handler(frame.body, { party: this.#connection.peer, signal })) ?? null;
      assertInvariant(packedSizeBytes(body) <= BODY_BYTES_MAX, `the answer to ${method} fits`);
      this.#connection.send({ t: 'answer', id, body });
    } catch (error) {
      const isBug = !(error instanceof WeirError) || error.family === 'invariant';
      if (isBug && !signal.aborted) this.#options.onBug(method, error);
      this.#connection.send({ t: 'failure', id, error: encodeError(error) });
    }
  }

  #gone(): AbortError {
    const party = this.#connection.peer;
    return new AbortError('domain-left', `The link to ${party} was lost.`, { party });
  }

  #busy(): CapacityError {
    const party = this.#connection.peer;
    return new CapacityError(
      'queue-full',
      `${party} has ${REQUESTS_IN_FLIGHT_MAX} requests to answer first, as many as it takes at once.`,
      { party, remedy: 'Ask again when it has answered some.', retryAfterS: 1 },
    );
  }

  #late(method: string): AbortError {
    const party = this.#connection.peer;
    const who = party === GATEWAY ? 'The gateway' : `Domain ${party}`;
    return new AbortError('domain-unreachable', `${who} did not answer ${method} in time.`, {
      party,
    });
  }
}

/** @throws InvariantError where the body holds what a frame cannot: undefined, a Date, over 64 bits. */
function packedSizeBytes(body: unknown): number {
  let bytes: Uint8Array | undefined;
  try {
    bytes = encodeFrame(body);
  } catch {
    bytes = undefined;
  }
  assertInvariant(bytes !== undefined && isPlain(bytes), 'a body holds plain values only');
  return bytes.length;
}
