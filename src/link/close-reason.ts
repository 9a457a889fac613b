/** Why a link ended: a closed list, carried as a WebSocket close code of the private range. */

export const CLOSE_CODES = {
  /** Asked for by the owner of either end. */
  closed: 4000,
  'shutting-down': 4001,
  /** The same party authenticated on a newer connection. */
  replaced: 4002,
  /** The identity was not proven: unknown party, wrong key, replayed or tampered handshake. */
  'handshake-refused': 4010,
  'handshake-late': 4011,
  'handshake-too-large': 4012,
  'gateway-not-pinned': 4013,
  'frame-not-binary': 4020,
  'frame-malformed': 4021,
  'frame-too-large': 4022,
  /** A frame came twice, out of order, or one is missing. */
  'sequence-broken': 4023,
  'frame-unexpected': 4024,
  /** More bytes than the receiver granted. */
  'credit-exceeded': 4030,
  /** A frame from or to a party outside the run, or in another party's name. */
  'not-in-run': 4031,
  'run-unknown': 4032,
  /** A run and attempt that was opened before. */
  'run-replayed': 4033,
  'peer-silent': 4040,
  'send-buffer-full': 4041,
  /** A bug at the end that closed. */
  internal: 4098,
  'connection-lost': 4099,
} as const;

export type CloseReason = keyof typeof CLOSE_CODES;

/** How a link ended, and whether the other side said so. */
export interface LinkEnd {
  readonly reason: CloseReason;
  readonly byPeer: boolean;
}

/** The peer broke a rule of the link: the connection is closed with `reason`. Stays inside src/link. */
export class LinkViolation extends Error {
  readonly reason: CloseReason;
  constructor(reason: CloseReason) {
    super(`the peer broke a rule of the link: ${reason}`);
    this.name = 'LinkViolation';
    this.reason = reason;
  }
}

/** The reason behind a WebSocket close code; what is not in the list is `connection-lost`. */
export function reasonOfCode(code: number): CloseReason {
  if (code === 1009) return 'frame-too-large';
  for (const [reason, known] of Object.entries(CLOSE_CODES)) {
    if (known === code) return reason as CloseReason;
  }
  return 'connection-lost';
}

/** The reason behind an error of the WebSocket itself. */
export function reasonOfError(error: Error): CloseReason {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return 'frame-too-large';
  return typeof code === 'string' && code.startsWith('WS_ERR_')
    ? 'frame-malformed'
    : 'connection-lost';
}
