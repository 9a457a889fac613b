/** RunChannels and SealedChannels in memory, with a place for an attacker between the parties. */
import { AbortError, StateError } from '../../src/errors.ts';
import type { Frame, RunChannel, SealedChannel } from '../../src/link/channel.ts';
import type { PartyId } from '../../src/system/ids.ts';

/** What becomes of a frame on its way: none to drop it, several to repeat or add. */
export type Tamper = (frame: Frame) => readonly Frame[];

export interface MemoryNetwork {
  channel(self: PartyId): RunChannel;
  sealed(self: PartyId, peer: PartyId): SealedChannel;
  /** Ends every channel. */
  end(reason: Error): void;
  /** Every frame that was sent over a RunChannel, as sent. */
  readonly transcript: readonly Frame[];
}

/** Frames that may wait between two parties. */
const WINDOW_FRAMES = 16;

interface Queue {
  readonly frames: Frame[];
  wake: (() => void) | undefined;
}

/** A network where each ordered pair of parties has a queue. */
export function memoryNetwork(
  tamper: Tamper = (frame) => [frame],
  options: { readonly records: boolean } = { records: true },
): MemoryNetwork {
  const queues = new Map<string, Queue>();
  const transcript: Frame[] = [];
  const controller = new AbortController();
  controller.signal.addEventListener('abort', () => {
    for (const { wake } of queues.values()) wake?.();
  });
  const queue = (lane: string, from: PartyId, to: PartyId): Queue => {
    const name = `${lane} ${from} ${to}`;
    const found = queues.get(name);
    if (found !== undefined) return found;
    const made: Queue = { frames: [], wake: undefined };
    queues.set(name, made);
    return made;
  };
  const put = (lane: string, frame: Frame): void => {
    const into = queue(lane, frame.from, frame.to);
    into.frames.push(frame);
    into.wake?.();
  };
  const take = async (
    lane: string,
    from: PartyId,
    to: PartyId,
    kind: string,
    bytesMax = Infinity,
  ) => {
    const out = queue(lane, from, to);
    while (out.frames.length === 0) {
      controller.signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        out.wake = resolve;
      });
    }
    const frame = out.frames.shift();
    if (frame?.kind !== kind) throw new StateError('round-mismatch', 'Another kind of frame.');
    // As the link ends a run: so every honest run in memory shows that no bound is too low.
    if (frame.payload.length > bytesMax) {
      throw new AbortError('transcript-mismatch', `${kind} of more than ${bytesMax} bytes.`);
    }
    // In a buffer of its own: who receives it may use it up.
    return new Uint8Array(frame.payload);
  };
  return {
    transcript,
    end: (reason) => controller.abort(reason),
    channel: (self) => ({
      self,
      signal: controller.signal,
      async send(to, kind, payload) {
        controller.signal.throwIfAborted();
        const frame = { from: self, to, kind, payload };
        if (options.records) transcript.push({ ...frame, payload: payload.slice() });
        // A receiver this far behind holds the sender back, as a link's flow control does.
        while (queue('run', self, to).frames.length >= WINDOW_FRAMES) {
          controller.signal.throwIfAborted();
          await new Promise((resolve) => setImmediate(resolve));
        }
        for (const passed of tamper(frame)) put('run', passed);
      },
      receive: (from, kind, bytesMax) => take('run', from, self, kind, bytesMax),
    }),
    sealed: (self, peer) => ({
      peer,
      async send(kind, payload) {
        // Sealing copies: the bytes are the caller's again.
        put('sealed', { from: self, to: peer, kind, payload: new Uint8Array(payload) });
      },
      receive: (kind) => take('sealed', peer, self, kind),
    }),
  };
}

/** What a driver that waits for a frame that never comes is ended with. */
export function timedOut(): AbortError {
  return new AbortError('run-timed-out', 'The run took too long.');
}
