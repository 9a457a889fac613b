/** How pure protocol code fails: a typed abort, never a wrong answer. */

export type ProtocolErrorCode =
  | 'message-malformed'
  | 'message-unexpected'
  | 'length-wrong'
  | 'parameter-invalid'
  | 'value-out-of-range'
  | 'point-invalid'
  | 'point-repeated'
  | 'set-too-large'
  | 'element-too-long'
  | 'tag-mismatch'
  | 'probe-missing'
  | 'transcript-mismatch'
  | 'decryption-failed'
  | 'ciphertext-invalid'
  | 'headroom-exceeded'
  | 'encoding-failed';

/** `message` names sizes and positions, never values. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.name = 'ProtocolError';
    this.code = code;
  }
}
