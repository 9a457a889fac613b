/**
 * An authenticated WebSocket: numbered frames both ways, heartbeat, bounded send buffer, close
 * with a reason. It knows nothing of requests or runs.
 */
import type { Buffer } from 'node:buffer';
import type { RawData, WebSocket } from 'ws';
import type { Clock } from '../system/clock.ts';
import type { PartyId } from '../system/ids.ts';
import {
  CLOSE_CODES,
  type CloseReason,
  type LinkEnd,
  LinkViolation,
  reasonOfCode,
  reasonOfError,
} from './close-reason.ts';
import { closeSignal } from './close-signal.ts';
import { decodeFrame, encodeFrame } from './frame-codec.ts';
import { type FrameBody, type LinkFrame, LinkFrameSchema } from './frames.ts';
import { type LinkLimits, SEND_BUFFER_BYTES_HIGH, SEND_BUFFER_BYTES_MAX } from './limits.ts';

export interface ConnectionOptions {
  readonly socket: WebSocket;
  readonly peer: PartyId;
  readonly clock: Clock;
  readonly limits: LinkLimits;
  /** A LinkViolation thrown here closes the connection with its reason. */
  readonly onFrame: (frame: LinkFrame) => void;
  /** Anything else thrown by `onFrame` is a bug: told here, and the connection is closed. */
  readonly onBug: (error: unknown) => void;
}

/** Owns the socket from the moment the handshake is done. */
export class Connection {
  readonly peer: PartyId;
  /** Resolves when no frame will come or go any more. */
  readonly closed: Promise<LinkEnd>;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  readonly #onFrame: (frame: LinkFrame) => void;
  readonly #onBug: (error: unknown) => void;
  readonly #life = new AbortController();
  #resolveClosed: (end: LinkEnd) => void = () => undefined;
  #end: LinkEnd | undefined;
  #sent = 0;
  #received = 0;
  #silentBeats = 0;
  #drainWaiters: (() => void)[] = [];

  constructor(options: ConnectionOptions) {
    this.peer = options.peer;
    this.#socket = options.socket;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#onFrame = options.onFrame;
    this.#onBug = options.onBug;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    this.#socket.on('ping', () => this.#onHeard());
    this.#socket.on('pong', () => this.#onHeard());
    this.#socket.on('close', (code: number) => {
      this.#finish({ reason: reasonOfCode(code), byPeer: true });
    });
    this.#socket.on('error', (error: Error) => this.#onError(error));
    void this.#beat();
  }

  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** Bytes handed over and not yet taken by the operating system. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** So much is unsent that senders wait. */
  get isCongested(): boolean {
    return this.#end === undefined && this.#socket.bufferedAmount > SEND_BUFFER_BYTES_HIGH;
  }

  /** Numbers, encodes and queues a frame; nothing happens on a closed connection. */
  send(body: FrameBody): void {
    if (this.#end !== undefined) return;
    const bytes = encodeFrame({ ...body, n: this.#sent });
    this.#sent += 1;
    this.#socket.send(bytes, { binary: true, compress: false }, () => this.#onFlushed());
    if (this.#socket.bufferedAmount > SEND_BUFFER_BYTES_MAX) this.close('send-buffer-full');
  }

  /** Resolves when a sender may go on: the buffer has drained, or the connection is closed. */
  async drained(): Promise<void> {
    while (this.isCongested) {
      await new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
    }
  }

  /** Tells the peer why and stops at once; the socket is cut where the peer does not answer. */
  close(reason: CloseReason): void {
    if (this.#end !== undefined) return;
    this.#finish({ reason, byPeer: false });
    this.#socket.close(CLOSE_CODES[reason], reason);
    const waitMs = this.#limits.closeMsMax;
    void this.#clock.sleep(waitMs, closeSignal(this.#socket)).then(() => this.#socket.terminate());
  }

  #finish(end: LinkEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#life.abort();
    this.#wakeSenders();
    this.#resolveClosed(end);
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#end !== undefined) return;
    this.#onHeard();
    try {
      if (!isBinary) throw new LinkViolation('frame-not-binary');
      // ws gives one Buffer per message with its default binary type.
      const frame = decodeFrame(LinkFrameSchema, data as Buffer);
      if (frame.n !== this.#received) throw new LinkViolation('sequence-broken');
      this.#received += 1;
      this.#onFrame(frame);
    } catch (error) {
      if (!(error instanceof LinkViolation)) this.#onBug(error);
      this.close(error instanceof LinkViolation ? error.reason : 'internal');
    }
  }

  #onError(error: Error): void {
    const reason = reasonOfError(error);
    if (reason === 'connection-lost') this.#finish({ reason, byPeer: true });
    else this.close(reason);
  }

  #onHeard(): void {
    this.#silentBeats = 0;
    // A flood of pings queues pongs: the bound on what is unsent holds for those too.
    if (this.#socket.bufferedAmount > SEND_BUFFER_BYTES_MAX) this.close('send-buffer-full');
  }

  #onFlushed(): void {
    if (this.#socket.bufferedAmount <= SEND_BUFFER_BYTES_HIGH) this.#wakeSenders();
  }

  #wakeSenders(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const wake of waiters) wake();
  }

  /** Until the connection ends: pings, and cuts off a peer that has fallen silent. */
  async #beat(): Promise<void> {
    while (this.#end === undefined) {
      await this.#clock.sleep(this.#limits.heartbeatMs, this.#life.signal);
      if (this.#end !== undefined) return;
      // Beats, not time: a process that was itself held up for long must not blame its peer.
      this.#silentBeats += 1;
      if (this.#silentBeats > this.#limits.silentBeatsMax) {
        this.close('peer-silent');
        return;
      }
      this.#socket.ping();
    }
  }
}
