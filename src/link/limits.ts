/** Every bound of the link, by name. Bytes, milliseconds and counts; see each line. */

/** A frame on the wire, envelope included: the WebSocket refuses anything longer. */
export const FRAME_BYTES_MAX = 1_048_576;
/** The body of a request or an answer, packed. */
export const BODY_BYTES_MAX = FRAME_BYTES_MAX - 4_096;
/** The part of a run's message that one frame carries: short, so that runs share a link fairly. */
export const CHUNK_BYTES_MAX = 262_144;
/** One message of a run; larger vectors are sent as several messages. */
export const MESSAGE_BYTES_MAX = 67_108_864;
/** What a frame costs of the window besides its payload, so that empty frames are bounded too. */
export const FRAME_COST_BYTES = 256;
/** What a party holds unread in one run, shared among the senders. */
export const RUN_INBOX_BYTES_MAX = 4_194_304;
const WINDOW_BYTES_MIN = 32_768;
export const WINDOW_BYTES_MAX = 2_097_152;
/**
 * What may lie unread for one party over all its runs at a gateway. Each run takes one of so many shares of
 * what is free then, so that the first has as much as it can use and the last has some.
 */
export const PARTY_INBOX_BYTES_MAX = 50_331_648;
export const PARTY_INBOX_SHARES = 12;
/** The window of a run that opens when a party's room is nearly taken. */
export const CROWDED_WINDOW_BYTES_MIN = 4_096;
/** Calls of `send` (or `receive`) that may wait at a time for one peer of a run. */
export const CALLS_WAITING_MAX = 64;
/** Values in one frame, and how deep they nest. */
export const FRAME_ITEMS_MAX = 262_144;
export const FRAME_DEPTH_MAX = 24;
/** A socket's unsent bytes: above the first, senders wait; above the second, the peer is cut off. */
export const SEND_BUFFER_BYTES_HIGH = 1_048_576;
export const SEND_BUFFER_BYTES_MAX = 67_108_864;
/** Requests under way in one direction of a link, and the bytes of their bodies at the answering end. */
export const REQUESTS_IN_FLIGHT_MAX = 64;
export const REQUEST_BYTES_IN_FLIGHT_MAX = 16_777_216;
/** Runs open at a gateway; and at a domain, claimed there or not yet. */
export const RUNS_AT_GATEWAY_MAX = 256;
export const RUNS_AT_DOMAIN_MAX = 64;
/** Runs that ended and whose late frames are dropped without complaint. */
export const RUNS_REMEMBERED_MAX = 4_096;

/** Bounds that a deployment or a test may set otherwise; both ends need not agree on them. */
export interface LinkLimits {
  /** Sockets that have not proven an identity yet. */
  readonly handshakeSocketsMax: number;
  /** Of one address, so that no single machine takes all of them. */
  readonly handshakeSocketsPerAddressMax: number;
  readonly handshakeBytesMax: number;
  readonly handshakeMsMax: number;
  readonly requestMs: number;
  /** Between two pings. */
  readonly heartbeatMs: number;
  /** A peer not heard of for so many heartbeats is dead. */
  readonly silentBeatsMax: number;
  /** How long an opened run waits to be claimed. */
  readonly unclaimedMsMax: number;
  readonly reconnectMsMin: number;
  readonly reconnectMsMax: number;
  /** A link that lived so long resets the back-off. */
  readonly reconnectResetMs: number;
  readonly closeMsMax: number;
}

export const LINK_LIMITS: LinkLimits = {
  handshakeSocketsMax: 64,
  handshakeSocketsPerAddressMax: 16,
  handshakeBytesMax: 4_096,
  handshakeMsMax: 10_000,
  requestMs: 30_000,
  heartbeatMs: 5_000,
  silentBeatsMax: 4,
  unclaimedMsMax: 60_000,
  reconnectMsMin: 250,
  reconnectMsMax: 30_000,
  reconnectResetMs: 10_000,
  closeMsMax: 2_000,
};

/**
 * What one party may send to another in a run before the other has read, at most: its share of
 * RUN_INBOX_BYTES_MAX. The gateway opens a run with less where a party has many.
 */
export function windowBytes(domains: number): number {
  const share = Math.floor(RUN_INBOX_BYTES_MAX / Math.max(1, domains));
  return Math.min(WINDOW_BYTES_MAX, Math.max(WINDOW_BYTES_MIN, share));
}
