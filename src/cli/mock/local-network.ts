/**
 * The channels of a run whose parties are all in this process: a mock run, where nothing is secret.
 * Order, kinds, lengths and back-pressure are those of a real link.
 */
import { AbortError, StateError } from '../../errors.ts';
import type { RunChannel, SealedChannel } from '../../link/channel.ts';
import type { PartyId } from '../../system/ids.ts';

/** Messages that may wait between two parties; a sender waits for room. */
const WAITING_MAX = 16;

export interface LocalNetwork {
  channel(self: PartyId): RunChannel;
  sealed(self: PartyId, peer: PartyId): SealedChannel;
  /** Ends every channel; who waits is told. */
  end(reason: Error): void;
}

interface Message {
  readonly kind: string;
  readonly payload: Uint8Array;
}

/** Owns nothing but memory. */
export function localNetwork(): LocalNetwork {
  const stop = new AbortController();
  const lines = new Map<string, Line>();
  const line = (lane: string, from: PartyId, to: PartyId): Line => {
    const name = `${lane} ${from} ${to}`;
    const found = lines.get(name) ?? new Line(stop.signal);
    lines.set(name, found);
    return found;
  };
  return {
    channel: (self) => ({
      self,
      signal: stop.signal,
      send: (to, kind, payload) => line('run', self, to).put({ kind, payload }),
      receive: (from, kind, bytesMax) => line('run', from, self).take(kind, bytesMax),
    }),
    sealed: (self, peer) => ({
      peer,
      send: (kind, payload) => line('sealed', self, peer).put({ kind, payload }),
      receive: (kind) => line('sealed', peer, self).take(kind),
    }),
    end: (reason) => {
      stop.abort(reason);
      for (const one of lines.values()) one.wake();
    },
  };
}

/** What one party sends another, in order. */
class Line {
  readonly #messages: Message[] = [];
  readonly #signal: AbortSignal;
  #changed = Promise.withResolvers<void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async put(message: Message): Promise<void> {
    while (this.#messages.length >= WAITING_MAX) await this.#change();
    this.#throwIfEnded();
    // A copy: over a link the sender's buffer is its own again as well.
    this.#messages.push({ kind: message.kind, payload: message.payload.slice() });
    this.wake();
  }

  async take(kind: string, bytesMax: number = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
    while (this.#messages.length === 0) await this.#change();
    this.#throwIfEnded();
    const message = this.#messages.shift();
    this.wake();
    if (message?.kind !== kind) {
      throw new StateError('round-mismatch', 'A message of another kind came.');
    }
    if (message.payload.length <= bytesMax) return message.payload;
    throw new AbortError('transcript-mismatch', 'A longer message came than is due.');
  }

  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #change(): Promise<void> {
    this.#throwIfEnded();
    await this.#changed.promise;
    this.#throwIfEnded();
  }

  #throwIfEnded(): void {
    if (!this.#signal.aborted) return;
    const reason: unknown = this.#signal.reason;
    throw reason instanceof Error ? reason : new AbortError('domain-left', 'The run has ended.');
  }
}
