/** A link as the rest of the program sees it: requests both ways, and how it ended. */
import type { WebSocket } from 'ws';
import type { Clock } from '../system/clock.ts';
import type { PartyId } from '../system/ids.ts';
import type { CloseReason, LinkEnd } from './close-reason.ts';
import { Connection } from './connection.ts';
import type { LinkFrame, RunFrame } from './frames.ts';
import type { LinkLimits } from './limits.ts';
import { type Handler, type RequestOptions, Rpc } from './rpc.ts';

/** What a link tells of itself, for logs and people. No frame's content is ever in it. */
export type LinkStatus =
  | { readonly kind: 'connecting'; readonly url: string }
  | { readonly kind: 'connected'; readonly party: PartyId }
  | { readonly kind: 'disconnected'; readonly party: PartyId; readonly end: LinkEnd }
  /** No link came about; `address` is the far end's where it dialled, `detail` the socket's code. */
  | {
      readonly kind: 'refused';
      readonly reason: CloseReason | 'unreachable' | 'too-many-handshakes' | 'not-a-link';
      readonly address: string | undefined;
      readonly detail: string | undefined;
    }
  | { readonly kind: 'retrying'; readonly delayMs: number }
  /** A bug at this end, in the handler of `method` or in the link itself. */
  | {
      readonly kind: 'bug';
      readonly party: PartyId;
      readonly method: string | undefined;
      readonly error: unknown;
    };

export interface Link {
  readonly peer: PartyId;
  /** Resolves when the link has ended. */
  readonly closed: Promise<LinkEnd>;
  /**
   * Asks the peer and resolves with its answer, which is untrusted: parse it.
   * @throws the WeirError the peer threw; AbortError `domain-unreachable` when no answer comes in
   *   time, `domain-left` when the link ends first; CapacityError `queue-full`; InputError
   *   `frame-too-large`; StateError `run-cancelled` or the reason of `options.signal`.
   */
  request(method: string, body: unknown, options?: RequestOptions): Promise<unknown>;
  /** Tells the peer `reason` and ends the link; runs on it end for all their parties. */
  close(reason?: CloseReason): void;
}

/** The runs of a process: the gateway's relay or a domain's. */
interface Runs {
  onFrame(connection: Connection, frame: RunFrame): void;
  onLost(connection: Connection): void;
}

export interface LinkParts {
  readonly socket: WebSocket;
  readonly peer: PartyId;
  readonly clock: Clock;
  readonly limits: LinkLimits;
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly runs: Runs;
  readonly onStatus: (status: LinkStatus) => void;
}

export interface OpenLink extends Link {
  readonly connection: Connection;
}

/** Sets a link up on a socket whose peer has just proven to be `peer`. */
export function openLink(parts: LinkParts): OpenLink {
  const { socket, peer, clock, limits, handlers, runs, onStatus } = parts;
  const onBug = (method: string | undefined, error: unknown): void =>
    onStatus({ kind: 'bug', party: peer, method, error });
  const onFrame = (frame: LinkFrame): void => {
    switch (frame.t) {
      case 'request':
      case 'answer':
      case 'failure':
      case 'cancel':
        return rpc.onFrame(frame);
      case 'open':
      case 'data':
      case 'credit':
      case 'abort':
      case 'done':
        return runs.onFrame(connection, frame);
    }
  };
  const connection = new Connection({
    socket,
    peer,
    clock,
    limits,
    onFrame,
    onBug: (error) => onBug(undefined, error),
  });
  const rpc = new Rpc(connection, { handlers, clock, limits, onBug });
  const closed = connection.closed.then((end) => {
    rpc.end();
    runs.onLost(connection);
    onStatus({ kind: 'disconnected', party: peer, end });
    return end;
  });
  return {
    peer,
    connection,
    closed,
    request: (method, body, options) => rpc.request(method, body, options),
    close: (reason = 'closed') => connection.close(reason),
  };
}
