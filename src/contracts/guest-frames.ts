/**
 * Frames between a run and its guest: the analyst, where it takes part in the run itself. They pass
 * the gateway in batches, sealed between analyst and holder; what they are is seen here, what is in
 * them is not. A batch without a frame ends a direction.
 */
import { InputError } from '../errors.ts';

export interface GuestFrame {
  /** The message's name within the protocol, 1 to 64 characters of ASCII. */
  readonly kind: string;
  readonly payload: Uint8Array;
}

/** Under which a holder's domain and the gateway pass them on within a run. */
export const GUEST_FRAME = 'guest.frame';
/** Gateway to guest, first: the signed descriptor as JSON. */
export const GUEST_DESCRIPTOR = 'run.descriptor';
/** Guest to gateway, first: the hash of the descriptor it verified. Before it nothing is spent. */
export const GUEST_READY = 'run.ready';

/** One frame's payload: a sealed chunk of points and more. */
export const GUEST_PAYLOAD_BYTES_MAX = 262_144;
/** What one call carries: several frames, or one of the longest. */
export const GUEST_BATCH_BYTES_MAX = 1_048_576;
/** Length of the kind, of the payload. */
const HEAD_BYTES = 1 + 4;
const KIND = /^[!-~]{1,64}$/;
const UTF8 = new TextEncoder();
const TEXT = new TextDecoder();

/** What a frame takes of a batch. */
export function guestFrameBytes({ kind, payload }: GuestFrame): number {
  return HEAD_BYTES + kind.length + payload.length;
}

/** As many of the first frames as one batch carries. */
export function guestBatch(frames: readonly GuestFrame[]): readonly GuestFrame[] {
  let sizeBytes = 0;
  const most = frames.findIndex((frame) => {
    sizeBytes += guestFrameBytes(frame);
    return sizeBytes > GUEST_BATCH_BYTES_MAX;
  });
  return most < 0 ? [...frames] : frames.slice(0, most);
}

/** Frames one after another, each behind the lengths of its parts. */
export function encodeGuestFrames(frames: readonly GuestFrame[]): Uint8Array {
  const out = new Uint8Array(frames.reduce((sum, frame) => sum + guestFrameBytes(frame), 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const { kind, payload } of frames) {
    view.setUint8(at, kind.length);
    view.setUint32(at + 1, payload.length);
    out.set(UTF8.encode(kind), at + HEAD_BYTES);
    out.set(payload, at + HEAD_BYTES + kind.length);
    at += HEAD_BYTES + kind.length + payload.length;
  }
  return out;
}

/**
 * The frames of a batch, each in a buffer of its own.
 * @throws InputError `malformed-message`, `frame-too-large`
 */
export function parseGuestFrames(batch: Uint8Array): readonly GuestFrame[] {
  if (batch.length > GUEST_BATCH_BYTES_MAX) throw tooLarge();
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  const frames: GuestFrame[] = [];
  for (let at = 0; at < batch.length; ) {
    if (at + HEAD_BYTES > batch.length) throw malformed();
    const kindEnd = at + HEAD_BYTES + view.getUint8(at);
    const payloadBytes = view.getUint32(at + 1);
    if (payloadBytes > GUEST_PAYLOAD_BYTES_MAX) throw tooLarge();
    if (kindEnd + payloadBytes > batch.length) throw malformed();
    const kind = TEXT.decode(batch.subarray(at + HEAD_BYTES, kindEnd));
    if (!KIND.test(kind)) throw malformed();
    // No `slice`: of a Buffer it is a view.
    const payload = new Uint8Array(batch.subarray(kindEnd, kindEnd + payloadBytes));
    frames.push({ kind, payload });
    at = kindEnd + payloadBytes;
  }
  return frames;
}

function malformed(): InputError {
  return new InputError('malformed-message', 'A batch of the run’s frames is malformed.');
}

function tooLarge(): InputError {
  return new InputError('frame-too-large', 'A frame of the run exceeds the limit.', {
    rule: `at most ${GUEST_PAYLOAD_BYTES_MAX} bytes a frame, ${GUEST_BATCH_BYTES_MAX} a batch`,
  });
}
