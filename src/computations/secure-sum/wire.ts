/** How a secure sum's messages travel: their names, cutting a block into frames, and failures. */
import { AbortError } from '../../errors.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import {
  encodeFrame,
  frameBytes,
  frameCount,
  parseFrame,
} from '../../../protocols/secure-sum/messages.ts';
import { blockCount, bodyBytes, type Layout } from '../../../protocols/secure-sum/params.ts';

/** Message names, in the order of the protocol's README. */
export const KINDS = {
  commitment: 'round0.commitment',
  commitments: 'round0.commitments',
  nonce: 'round0.nonce',
  nonces: 'round0.nonces',
  seed: 'round1.seed',
  counts: 'round1.counts',
  totals: 'round1.totals',
  map: 'round1.map',
  maps: 'round1.maps',
  measures: 'round2.measures',
} as const;

/**
 * Sends a round, the next block being worked out while one travels: two blocks in memory at most.
 * @param produce - a block's body, made on another thread.
 */
export async function sendBlocks(
  layout: Layout,
  produce: (block: number) => Promise<Uint8Array>,
  send: (frame: Uint8Array) => Promise<void>,
): Promise<void> {
  const blocks = blockCount(layout);
  let next = produce(0);
  for (let block = 0; block < blocks; block++) {
    const body = await next;
    if (block + 1 < blocks) {
      next = produce(block + 1);
      // Awaited in the next turn; until then a failure must not count as unhandled.
      next.catch(() => {});
    }
    await sendBody(layout, block, body, send);
  }
}

/** Sends one block's body, frame by frame. */
export async function sendBody(
  layout: Layout,
  block: number,
  body: Uint8Array,
  send: (frame: Uint8Array) => Promise<void>,
): Promise<void> {
  const frames = frameCount(layout, block);
  for (let frame = 0; frame < frames; frame++) {
    await send(encodeFrame(layout, block, frame, body));
  }
}

/**
 * Receives one block's body into `body`.
 * @throws ProtocolError where a frame is not exactly the one that must come next.
 */
export async function receiveBody(
  layout: Layout,
  block: number,
  body: Uint8Array,
  receive: (bytesMax: number) => Promise<Uint8Array>,
): Promise<void> {
  const frames = frameCount(layout, block);
  for (let frame = 0; frame < frames; frame++) {
    const message = await receive(frameBytes(layout, block, frame));
    parseFrame(layout, block, frame, message, body);
  }
}

/**
 * Runs a role; a check of the protocol that fails ends it as a typed abort.
 * @throws AbortError `tag-mismatch` or `transcript-mismatch`; other WeirErrors as they are.
 */
export async function asAbort<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const code = error.code === 'tag-mismatch' ? 'tag-mismatch' : 'transcript-mismatch';
    throw new AbortError(
      code,
      'A message of the secure sum did not pass its checks.',
      { rule: error.code },
      { cause: error },
    );
  }
}

/** A block so short that masking it takes less time than the way to a worker thread and back. */
const SMALL_BODY_BYTES = 32 * 1024;

/** True where the work on this block is done on the spot. */
export function isSmall(layout: Layout, block: number): boolean {
  return bodyBytes(layout, block) <= SMALL_BODY_BYTES;
}
