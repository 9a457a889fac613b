/** Seam: how a run's frames travel. Protocol drivers see this and nothing of sockets or relays. */
import type { PartyId } from '../system/ids.ts';

export interface Frame {
  readonly from: PartyId;
  readonly to: PartyId;
  /** The message's name within the protocol: `round1.counts` … At most 64 characters. */
  readonly kind: string;
  readonly payload: Uint8Array;
}

/**
 * One run's frames between this party and the others. Frames of one sender arrive in order and
 * whole; anything else ends the channel with a typed abort.
 */
export interface RunChannel {
  readonly self: PartyId;
  /** Resolves when the frame is accepted: a slow receiver holds the sender back. */
  send(to: PartyId, kind: string, payload: Uint8Array): Promise<void>;
  /**
   * The next frame of `from`, which must be of `kind`, in a buffer of its own.
   * @param bytesMax - how long it may be by the protocol, where that is known: what comes of a longer
   *   one is dropped with the run as soon as it is too long, never gathered first.
   * @throws StateError `round-mismatch` on another kind; AbortError `transcript-mismatch` on a longer
   *   one, or when the run ends first.
   */
  receive(from: PartyId, kind: string, bytesMax?: number): Promise<Uint8Array>;
  /** Aborts when the run is cancelled, a party leaves or time is up; `reason` is a WeirError. */
  readonly signal: AbortSignal;
}

/**
 * The gateway's end. It hears every domain of every run, so it says of each message how long it may
 * be: otherwise holders could fill its memory with messages that no protocol has.
 */
export interface GatewayChannel extends Omit<RunChannel, 'receive'> {
  /** @throws as `RunChannel.receive` */
  receive(from: PartyId, kind: string, bytesMax: number): Promise<Uint8Array>;
}

/** `last`: the message that ends its direction; sender and receiver must agree on which that is. */
export interface SealedMessageOptions {
  readonly last?: boolean;
}

/** A RunChannel whose payloads only the named peer domain can read; the gateway relays sizes. */
export interface SealedChannel {
  readonly peer: PartyId;
  /** Once it resolves, the bytes of `payload` are the caller's again, who may use them up. */
  send(kind: string, payload: Uint8Array, options?: SealedMessageOptions): Promise<void>;
  /**
   * The peer's next message, in a buffer of its own: it may be transferred to a worker.
   * @throws AbortError `decryption-failed` for anything but the peer's next message of `kind`.
   */
  receive(kind: string, options?: SealedMessageOptions): Promise<Uint8Array>;
}
