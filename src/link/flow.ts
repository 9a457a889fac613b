/**
 * One direction between two parties of a run: numbered pieces of messages under a window of bytes.
 * The receiver grants what it has read, so what lies unread anywhere (receiver, relay, sockets)
 * never exceeds the window, however slow the receiver is.
 */
import { AbortError, CapacityError, InputError, StateError, type WeirError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import { LinkViolation } from './close-reason.ts';
import {
  CALLS_WAITING_MAX,
  CHUNK_BYTES_MAX,
  FRAME_COST_BYTES,
  MESSAGE_BYTES_MAX,
} from './limits.ts';

/** A piece of a message; `last` ends the message. */
export interface Piece {
  readonly kind: string;
  readonly count: number;
  readonly last: boolean;
  readonly payload: Uint8Array;
}

/** What a piece takes of the window. */
export function costBytes(piece: { readonly payload: Uint8Array }): number {
  return piece.payload.length + FRAME_COST_BYTES;
}

/** Calls one after another, at most CALLS_WAITING_MAX of them, with a way to wait for a change. */
class Turnstile {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #change = Promise.withResolvers<void>();

  /** @throws CapacityError `queue-full` */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= CALLS_WAITING_MAX) {
      throw new CapacityError('queue-full', 'Too many calls wait for one party of the run.');
    }
    this.#waiting += 1;
    const done = this.#tail.then(work);
    this.#tail = done.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await done;
    } finally {
      this.#waiting -= 1;
    }
  }

  changed(): Promise<void> {
    return this.#change.promise;
  }

  announce(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}

/** The sending end of one direction. */
export class Outflow {
  readonly #window: number;
  readonly #transmit: (piece: Piece) => Promise<void>;
  readonly #calls = new Turnstile();
  #credit: number;
  #count = 0;
  #ended: WeirError | undefined;

  constructor(window: number, transmit: (piece: Piece) => Promise<void>) {
    this.#window = window;
    this.#credit = window;
    this.#transmit = transmit;
  }

  /** @throws LinkViolation `credit-exceeded` where more is granted than was ever sent. */
  grant(bytes: number): void {
    if (this.#credit + bytes > this.#window) throw new LinkViolation('credit-exceeded');
    this.#credit += bytes;
    this.#calls.announce();
  }

  /** Calls under way and to come throw `reason`. */
  end(reason: WeirError): void {
    this.#ended ??= reason;
    this.#calls.announce();
  }

  /** Resolves when the whole message is on its way. @throws InputError `frame-too-large` */
  async send(kind: string, payload: Uint8Array): Promise<void> {
    if (payload.length > MESSAGE_BYTES_MAX) {
      throw new InputError('frame-too-large', `A message of a run exceeds the link's limit.`);
    }
    await this.#calls.run(() => this.#sendPieces(kind, payload));
  }

  async #sendPieces(kind: string, payload: Uint8Array): Promise<void> {
    let offset = 0;
    do {
      const sizeBytes = await this.#take(payload.length - offset);
      const end = offset + sizeBytes;
      const piece = {
        kind,
        count: this.#count,
        last: end === payload.length,
        payload: payload.subarray(offset, end),
      };
      this.#count += 1;
      offset = end;
      await this.#transmit(piece);
    } while (offset < payload.length);
  }

  /**
   * Waits for credit and takes it: the size of the next piece. A piece shorter than wanted is at
   * least an eighth of the window, so that a stream of crumbs never forms; the receiver grants at
   * every quarter, so that this much credit always comes.
   */
  async #take(wantedBytes: number): Promise<number> {
    const wanted = Math.min(wantedBytes, CHUNK_BYTES_MAX);
    const least = Math.min(wanted, Math.floor(this.#window / 8)) + FRAME_COST_BYTES;
    while (this.#ended === undefined && this.#credit < least) await this.#calls.changed();
    if (this.#ended !== undefined) throw this.#ended;
    const sizeBytes = Math.min(wanted, this.#credit - FRAME_COST_BYTES);
    this.#credit -= sizeBytes + FRAME_COST_BYTES;
    return sizeBytes;
  }
}

/** The receiving end of one direction: what came and was not read yet. */
export class Inflow {
  readonly #from: PartyId;
  readonly #window: number;
  readonly #grant: (bytes: number) => void;
  readonly #calls = new Turnstile();
  #pieces: Piece[] = [];
  /** Bytes that the sender may still send, and bytes read but not granted again yet. */
  #credit: number;
  #read = 0;
  #count = 0;
  #ended: WeirError | undefined;
  /** The sender said that no more comes; what came can still be read. */
  #finished = false;

  constructor(from: PartyId, window: number, grant: (bytes: number) => void) {
    this.#from = from;
    this.#window = window;
    this.#credit = window;
    this.#grant = grant;
  }

  /** Bytes held unread, overhead included. */
  get heldBytes(): number {
    return this.#pieces.reduce((sum, piece) => sum + costBytes(piece), 0);
  }

  /** @throws LinkViolation `credit-exceeded` or `sequence-broken`. */
  accept(piece: Piece): void {
    if (piece.count !== this.#count || this.#finished) throw new LinkViolation('sequence-broken');
    const cost = costBytes(piece);
    if (cost > this.#credit) throw new LinkViolation('credit-exceeded');
    this.#count += 1;
    this.#credit -= cost;
    this.#pieces.push(piece);
    this.#calls.announce();
  }

  /** Calls under way and to come throw `reason`; what was unread is dropped. */
  end(reason: WeirError): void {
    this.#ended ??= reason;
    this.#pieces = [];
    this.#calls.announce();
  }

  finish(): void {
    this.#finished = true;
    this.#calls.announce();
  }

  /**
   * The next message, in a buffer of its own that starts at offset 0.
   * @param bytesMax - by the protocol; one piece more than that is in memory at most.
   * @throws StateError `round-mismatch`, AbortError `transcript-mismatch`, InputError
   *   `frame-too-large`, or how the run ended.
   */
  receive(kind: string, bytesMax: number = MESSAGE_BYTES_MAX): Promise<Uint8Array> {
    return this.#calls.run(async () => {
      const parts: Uint8Array[] = [];
      let sizeBytes = 0;
      let last = false;
      while (!last) {
        const piece = await this.#next();
        if (piece.kind !== kind) throw this.#mismatch(kind);
        sizeBytes += piece.payload.length;
        if (sizeBytes > MESSAGE_BYTES_MAX) throw this.#tooLarge();
        if (sizeBytes > bytesMax) throw this.#longer(kind, bytesMax);
        parts.push(piece.payload);
        last = piece.last;
      }
      return joined(parts, sizeBytes);
    });
  }

  async #next(): Promise<Piece> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended;
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#onRead(costBytes(piece));
        return piece;
      }
      if (this.#finished) throw this.#left();
      await this.#calls.changed();
    }
  }

  #onRead(cost: number): void {
    this.#read += cost;
    if (this.#read < this.#window / 4 || this.#finished) return;
    const bytes = this.#read;
    this.#read = 0;
    this.#credit += bytes;
    this.#grant(bytes);
  }

  #mismatch(kind: string): StateError {
    const party = this.#from;
    return new StateError('round-mismatch', `${party} sent another message than ${kind}.`, {
      party,
    });
  }

  #tooLarge(): InputError {
    const party = this.#from;
    return new InputError('frame-too-large', `${party} sent a message over the limit.`, { party });
  }

  #longer(kind: string, bytesMax: number): AbortError {
    const party = this.#from;
    return new AbortError('transcript-mismatch', `${party} sent a longer message than is due.`, {
      party,
      rule: `${kind} has at most ${bytesMax} bytes in this run`,
    });
  }

  #left(): AbortError {
    const party = this.#from;
    return new AbortError('domain-left', `${party} left the run before its last message.`, {
      party,
    });
  }
}

function joined(parts: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const message = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const part of parts) {
    message.set(part, offset);
    offset += part.length;
  }
  return message;
}
