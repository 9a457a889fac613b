/**
 * A run's frames over HTTP, for an analyst that takes part in it: fetched by long polls, posted in
 * batches, numbered so that a lost answer costs a repeated call and nothing else. What lies here
 * unread or unsent is bounded; a slow gateway holds the protocol back. To the protocol it is a `RunChannel`.
 */
import {
  GUEST_BATCH_BYTES_MAX,
  guestBatch,
  type GuestFrame,
  guestFrameBytes,
} from '../contracts/guest-frames.ts';
import { AbortError, StateError } from '../errors.ts';
import type { PartyId, RunId } from '../system/ids.ts';
import type { WeirClient } from './weir-client.ts';

/** With its inbox full it asks for nothing; so often it shows that it is there. */
const SIGN_OF_LIFE_MS = 5_000;

type Frames = Pick<WeirClient, 'frames' | 'sendFrames' | 'clock'>;

/** Owns two loops of calls; `close` ends them. */
export class GuestChannel {
  readonly self: PartyId;
  readonly signal: AbortSignal;
  /** Resolves once the gateway says that no more frames will come, or the channel ended. */
  readonly over: Promise<void>;
  readonly #client: Frames;
  readonly #runId: RunId;
  readonly #end = new AbortController();
  readonly #inbox: GuestFrame[] = [];
  readonly #outbox: GuestFrame[] = [];
  #received = 0;
  #sent = 0;
  #isOver = false;
  #change = Promise.withResolvers<void>();

  constructor(client: Frames, runId: RunId, self: PartyId, signal?: AbortSignal) {
    this.#client = client;
    this.#runId = runId;
    this.self = self;
    this.signal =
      signal === undefined ? this.#end.signal : AbortSignal.any([this.#end.signal, signal]);
    this.signal.addEventListener('abort', () => this.#announce(), { once: true });
    this.over = this.#fetching();
    void this.#sending();
  }

  async send(_to: PartyId, kind: string, payload: Uint8Array): Promise<void> {
    while (bytesOf(this.#outbox) >= GUEST_BATCH_BYTES_MAX) await this.#changed();
    this.signal.throwIfAborted();
    this.#outbox.push({ kind, payload });
    this.#announce();
  }

  async receive(from: PartyId, kind: string): Promise<Uint8Array> {
    while (this.#inbox.length === 0 && !this.#isOver) await this.#changed();
    this.signal.throwIfAborted();
    const frame = this.#inbox.shift();
    this.#announce();
    if (frame === undefined) {
      throw new AbortError('domain-left', 'The run ended before its last frame.', { party: from });
    }
    if (frame.kind === kind) return frame.payload;
    throw new StateError('round-mismatch', `Another message came than ${kind}.`, { party: from });
  }

  /** Resolves once everything sent has reached the gateway. */
  async flushed(): Promise<void> {
    while (this.#outbox.length > 0) await this.#changed();
  }

  /** Ends both loops; calls under way and to come throw `reason`. */
  close(reason: Error): void {
    this.#end.abort(reason);
  }

  async #fetching(): Promise<void> {
    try {
      while (!this.signal.aborted) {
        if (bytesOf(this.#inbox) >= GUEST_BATCH_BYTES_MAX) {
          await this.#waitWithSigns();
          continue;
        }
        const frames = await this.#client.frames(this.#runId, this.#received, this.signal);
        if (frames === undefined) break;
        this.#received += frames.length;
        this.#inbox.push(...frames);
        this.#announce();
      }
    } catch (error) {
      this.#end.abort(error);
    } finally {
      this.#isOver = true;
      this.#announce();
    }
  }

  async #waitWithSigns(): Promise<void> {
    const stop = new AbortController();
    const sleep = this.#client.clock
      .sleep(SIGN_OF_LIFE_MS, stop.signal)
      .then(() => 'time' as const);
    const first = await Promise.race([this.#changed(), sleep]);
    stop.abort();
    if (first === 'time') await this.#client.sendFrames(this.#runId, this.#sent, [], this.signal);
  }

  async #sending(): Promise<void> {
    try {
      while (!this.signal.aborted) {
        const batch = guestBatch(this.#outbox);
        if (batch.length === 0) {
          await this.#changed();
          continue;
        }
        const due = await this.#client.sendFrames(this.#runId, this.#sent, batch, this.signal);
        const accepted = due - this.#sent;
        if (accepted < 0 || accepted > batch.length) {
          throw new AbortError('transcript-mismatch', 'The gateway counts other frames than sent.');
        }
        this.#outbox.splice(0, accepted);
        this.#sent = due;
        this.#announce();
      }
    } catch (error) {
      this.#end.abort(error);
    }
  }

  /** @throws the reason the channel ended with */
  async #changed(): Promise<void> {
    this.signal.throwIfAborted();
    await this.#change.promise;
    this.signal.throwIfAborted();
  }

  #announce(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}

function bytesOf(frames: readonly GuestFrame[]): number {
  return frames.reduce((sum, frame) => sum + guestFrameBytes(frame), 0);
}
