/** One party's end of a run's frames: the same at the gateway and at a domain. */
import { AbortError, IdentityError, StateError, WeirError, assertInvariant } from '../errors.ts';
import { GATEWAY, type PartyId, type RunId } from '../system/ids.ts';
import type { RunChannel } from './channel.ts';
import { LinkViolation } from './close-reason.ts';
import { Inflow, Outflow } from './flow.ts';
import { type FrameBody, type FrameOf, KindSchema } from './frames.ts';

/** Which run's frames, and among whom. */
export interface RunSpec {
  readonly runId: RunId;
  readonly attempt: number;
  /** The run's domains; the gateway takes part in every run. */
  readonly parties: readonly PartyId[];
}

/**
 * A RunChannel with the means to end it. Its owner calls `close` after the last message or `abort`
 * on failure. A link that is lost ends the run for all parties: a run never resumes on another
 * connection, so no key of it is used there again.
 *
 * `send` resolves once the whole message left under the receiver's window; two parties that both
 * send more than a window to each other must receive meanwhile. `receive` on a message of another
 * kind, or on one that is longer than it may be, aborts the run. Messages hold at most MESSAGE_BYTES_MAX; each is delivered in a buffer of
 * its own, so it may be transferred to a worker. `signal.reason` is the WeirError that ended it.
 */
export interface RunChannelHandle extends RunChannel, RunSpec {
  /** Ends the run for every party, with this reason; later calls do nothing. */
  abort(reason: WeirError): void;
  /** This party has sent and read all it will. At the gateway it ends the run for everyone. */
  close(): void;
  /** Bytes received and unread, overhead included. */
  readonly heldBytes: number;
}

/** How an end reaches the others: `transmit` waits for room on the socket, `notify` does not. */
export interface RunWires {
  transmit(to: PartyId, frame: FrameBody): Promise<void>;
  notify(to: PartyId, frame: FrameBody): void;
  /** The owner of this end aborted or closed it. */
  onAborted(reason: WeirError): void;
  onClosed(): void;
}

interface Peer {
  readonly out: Outflow;
  readonly in: Inflow;
}

/** Implements RunChannelHandle; the hub of its process feeds it frames. */
export class RunEnd implements RunChannelHandle {
  readonly runId: RunId;
  readonly attempt: number;
  readonly parties: readonly PartyId[];
  readonly self: PartyId;
  readonly #wires: RunWires;
  readonly #peers = new Map<PartyId, Peer>();
  readonly #controller = new AbortController();
  #isClosed = false;

  /** @param window - bytes of each direction of the run, alike at all its ends. */
  constructor(spec: RunSpec, self: PartyId, window: number, wires: RunWires) {
    this.runId = spec.runId;
    this.attempt = spec.attempt;
    this.parties = [...spec.parties];
    this.self = self;
    this.#wires = wires;
    for (const peer of [...spec.parties, GATEWAY]) {
      if (peer !== self) this.#peers.set(peer, this.#peerOf(peer, window));
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get heldBytes(): number {
    let sum = 0;
    for (const peer of this.#peers.values()) sum += peer.in.heldBytes;
    return sum;
  }

  async send(to: PartyId, kind: string, payload: Uint8Array): Promise<void> {
    assertInvariant(KindSchema.safeParse(kind).success, 'a kind has 1 to 64 characters');
    await this.#among(to).out.send(kind, payload);
  }

  async receive(from: PartyId, kind: string, bytesMax?: number): Promise<Uint8Array> {
    try {
      return await this.#among(from).in.receive(kind, bytesMax);
    } catch (error) {
      // What came cannot be read, so nothing after it can: the run is over for everyone.
      const fatal =
        error instanceof WeirError &&
        (error.family === 'state' ||
          error.family === 'input' ||
          error.code === 'transcript-mismatch');
      if (fatal) this.abort(error);
      throw error;
    }
  }

  abort(reason: WeirError): void {
    if (this.#isClosed || this.signal.aborted) return;
    this.end(reason);
    this.#wires.onAborted(reason);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const over = new StateError('run-cancelled', 'This channel was closed.');
    for (const peer of this.#peers.values()) {
      peer.out.end(over);
      peer.in.end(over);
    }
    if (!this.signal.aborted) this.#wires.onClosed();
  }

  /** The run ended elsewhere. */
  end(reason: WeirError): void {
    if (this.signal.aborted || this.#isClosed) return;
    for (const peer of this.#peers.values()) {
      peer.out.end(reason);
      peer.in.end(reason);
    }
    this.#controller.abort(reason);
  }

  onData(frame: Omit<FrameOf<'data'>, 'n' | 't'>): void {
    if (this.#isClosed || this.signal.aborted) return;
    this.#peer(frame.from).in.accept(frame);
  }

  onCredit(frame: Omit<FrameOf<'credit'>, 'n' | 't'>): void {
    if (this.#isClosed || this.signal.aborted) return;
    this.#peer(frame.from).out.grant(frame.bytes);
  }

  /** `party` takes no more and sends no more; the gateway's word holds for all. */
  onDone(party: PartyId): void {
    const parties = party === GATEWAY ? [...this.#peers.keys()] : [party];
    for (const left of parties) {
      const peer = this.#peer(left);
      peer.in.finish();
      peer.out.end(new AbortError('domain-left', `${party} left the run.`, { party }));
    }
  }

  #among(party: PartyId): Peer {
    const peer = this.#peers.get(party);
    if (peer !== undefined) return peer;
    throw new IdentityError('party-not-in-contract', `${party} takes no part in this run.`, {
      party,
    });
  }

  #peer(party: PartyId): Peer {
    const peer = this.#peers.get(party);
    if (peer === undefined) throw new LinkViolation('not-in-run');
    return peer;
  }

  #peerOf(peer: PartyId, window: number): Peer {
    const between = { run: this.runId, attempt: this.attempt, from: this.self, to: peer };
    return {
      out: new Outflow(window, ({ kind, count, last, payload }) =>
        this.#wires.transmit(peer, { t: 'data', ...between, kind, count, last, payload }),
      ),
      in: new Inflow(peer, window, (bytes) =>
        this.#wires.notify(peer, { t: 'credit', ...between, bytes }),
      ),
    };
  }
}
