/**
 * The gateway's end of the frames between a run and its analyst, where the analyst takes part in
 * the run itself. Frames are numbered in each direction, so that a call whose answer was lost is
 * simply made again; what lies here unread is bounded, and a full side holds its writer back. Who
 * neither sends nor asks for too long has left, and the run ends.
 */
import {
  GUEST_BATCH_BYTES_MAX,
  GUEST_DESCRIPTOR,
  GUEST_READY,
  guestBatch,
  type GuestFrame,
  guestFrameBytes,
} from '../contracts/guest-frames.ts';
import { AbortError, StateError, type WeirError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { PartyId } from '../system/ids.ts';
import type { Agreement } from './negotiate.ts';

/** Unread frames of one direction; above it writers wait. */
const LINE_BYTES_MAX = GUEST_BATCH_BYTES_MAX;
/** How long a call waits for frames, or for room: shorter than any proxy's patience. */
const GUEST_POLL_MS = 20_000;
const WATCH_MS_MIN = 50;

/** Frames with the number of the first of them. */
interface Lane {
  readonly frames: GuestFrame[];
  bytes: number;
}

/** A wait that ends when its time is up or its caller is gone. */
interface Patience {
  readonly over: Promise<void>;
  isOver(): boolean;
}

export class GuestLine {
  readonly analyst: PartyId;
  readonly #clock: Clock;
  readonly #toGuest: Lane = { frames: [], bytes: 0 };
  readonly #fromGuest: Lane = { frames: [], bytes: 0 };
  /** The number of the first frame kept for the guest; those before it were read. */
  #kept = 0;
  /** The number of the next frame due from the guest. */
  #due = 0;
  #calls = 0;
  #seenMs: number;
  #change = Promise.withResolvers<void>();
  #ended: WeirError | undefined;
  #isFinished = false;

  constructor(analyst: PartyId, clock: Clock) {
    this.analyst = analyst;
    this.#clock = clock;
    this.#seenMs = clock.monotonic();
  }

  /** For the guest: resolves once there is room. @throws the WeirError the run ended with */
  async put(frame: GuestFrame): Promise<void> {
    while (this.#toGuest.bytes >= LINE_BYTES_MAX) await this.#changed();
    if (this.#ended !== undefined) throw this.#ended;
    push(this.#toGuest, frame);
    this.#announce();
  }

  /** The guest's next frame; undefined once the run has read all it will. @throws as `put` */
  async take(): Promise<GuestFrame | undefined> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended;
      const frame = shift(this.#fromGuest);
      this.#announce();
      if (frame !== undefined || this.#isFinished) return frame;
      await this.#changed();
    }
  }

  /** Nothing more goes either way; what was put can still be read. */
  finish(): void {
    this.#isFinished = true;
    this.#announce();
  }

  /** The run ended without a result: calls under way and to come throw `reason`. */
  end(reason: WeirError): void {
    this.#ended ??= reason;
    this.#announce();
  }

  /**
   * Frames from number `first` on; those that came before are passed over.
   * @returns the number of the next frame due: less than was sent where there was no room in time.
   * @throws StateError `round-mismatch` where frames before `first` are missing; how the run ended
   */
  async accept(first: number, frames: readonly GuestFrame[], signal: AbortSignal): Promise<number> {
    if (first > this.#due) throw outOfTurn(`the frame due is number ${this.#due}`);
    return this.#visit(signal, async (patience) => {
      for (const [index, frame] of frames.entries()) {
        while (this.#isFull(first + index) && !patience.isOver()) await this.#changed(patience);
        if (this.#ended !== undefined) throw this.#ended;
        if (this.#isFull(first + index)) break;
        if (first + index !== this.#due || this.#isFinished) continue;
        push(this.#fromGuest, frame);
        this.#due += 1;
        this.#announce();
      }
      return this.#due;
    });
  }

  /**
   * Frames from number `after` on, and with that leave to forget those before it; none where none
   * came in time, undefined where none will.
   * @throws StateError `round-mismatch` for a number that is not kept; how the run ended
   */
  async read(after: number, signal: AbortSignal): Promise<readonly GuestFrame[] | undefined> {
    const { frames } = this.#toGuest;
    if (after < this.#kept || after > this.#kept + frames.length) {
      throw outOfTurn(`frames are kept from number ${this.#kept}`);
    }
    for (; this.#kept < after; this.#kept += 1) shift(this.#toGuest);
    this.#announce();
    return this.#visit(signal, async (patience) => {
      const isBare = (): boolean => frames.length === 0 && !this.#isFinished;
      while (isBare() && this.#ended === undefined && !patience.isOver()) {
        await this.#changed(patience);
      }
      if (this.#ended !== undefined) throw this.#ended;
      return frames.length === 0 && this.#isFinished ? undefined : guestBatch(frames);
    });
  }

  /** Ends the line where the guest is silent for so long; until it is finished or `signal` aborts. */
  async watch(silenceMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#isFinished && this.#ended === undefined) {
      const idleMs = this.#calls > 0 ? 0 : this.#clock.monotonic() - this.#seenMs;
      if (idleMs >= silenceMs) return this.end(leftBehind(this.analyst, silenceMs));
      await this.#clock.sleep(Math.max(WATCH_MS_MIN, silenceMs - idleMs), signal);
    }
  }

  #isFull(number: number): boolean {
    const isNew = number >= this.#due && !this.#isFinished && this.#ended === undefined;
    return isNew && this.#fromGuest.bytes >= LINE_BYTES_MAX;
  }

  /** A call of the guest, which is there while it lasts. */
  async #visit<Answer>(
    signal: AbortSignal,
    work: (patience: Patience) => Promise<Answer>,
  ): Promise<Answer> {
    const done = new AbortController();
    let isOver = false;
    const over = this.#clock
      .sleep(GUEST_POLL_MS, AbortSignal.any([done.signal, signal]))
      .then(() => {
        isOver = true;
      });
    this.#calls += 1;
    try {
      return await work({ over, isOver: () => isOver });
    } finally {
      done.abort();
      this.#calls -= 1;
      this.#seenMs = this.#clock.monotonic();
    }
  }

  async #changed(patience?: Patience): Promise<void> {
    await Promise.race([this.#change.promise, ...(patience === undefined ? [] : [patience.over])]);
    if (patience === undefined && this.#ended !== undefined) throw this.#ended;
  }

  #announce(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}

/**
 * Hands the guest the descriptor that the holder signed, and waits for its word that it verified it:
 * before it comes no domain has counted or spent anything.
 * @throws AbortError `transcript-mismatch`; how the run ended
 */
export async function inviteGuest(
  guest: GuestLine,
  { descriptor, descriptorHash, signatures }: Agreement,
): Promise<void> {
  const text = JSON.stringify({ descriptor, signatures });
  await guest.put({ kind: GUEST_DESCRIPTOR, payload: new TextEncoder().encode(text) });
  const ready = await guest.take();
  const isReady =
    ready?.kind === GUEST_READY && Buffer.from(ready.payload).toString('hex') === descriptorHash;
  if (isReady) return;
  throw new AbortError('transcript-mismatch', 'The analyst agreed to another run than this.', {
    party: guest.analyst,
  });
}

function push(lane: Lane, frame: GuestFrame): void {
  lane.frames.push(frame);
  lane.bytes += guestFrameBytes(frame);
}

function shift(lane: Lane): GuestFrame | undefined {
  const frame = lane.frames.shift();
  if (frame !== undefined) lane.bytes -= guestFrameBytes(frame);
  return frame;
}

function outOfTurn(rule: string): StateError {
  return new StateError('round-mismatch', 'These frames of the run are not due.', {
    rule,
    remedy: 'Go on from the number named, or start a new run.',
  });
}

function leftBehind(party: PartyId, silenceMs: number): AbortError {
  return new AbortError(
    'analyst-left',
    `The analyst neither sent nor fetched a frame for ${Math.round(silenceMs / 1000)} s.`,
    { party, remedy: 'Run again, and keep the client connected until the run has ended.' },
  );
}
