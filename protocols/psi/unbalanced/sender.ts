/** The large side of an unbalanced match: ships its filter where the peer has not kept it, evaluates. */
import { equalBytes } from '../../common/bytes.ts';
import type { PsiChannel } from '../exchange.ts';
import { receiveChunks, sendChunk } from '../exchange.ts';
import { ascending, inOrder } from '../flow.ts';
import { encodeChunk } from '../messages.ts';
import { POINT_BYTES, requireParams, type PsiParams } from '../params.ts';
import {
  encodeOprfHello,
  OPRF_EVALUATED,
  OPRF_FILTER,
  OPRF_HELLO,
  OPRF_POINTS,
  parseOprfHello,
} from './messages.ts';
import type { FilterFacts, OprfMachine } from './own-filter.ts';

export interface OwnFilter extends FilterFacts {
  /** Secret. */
  readonly key: Uint8Array;
  /** As `buildFilter` gave them. */
  pieces(): AsyncIterable<Uint8Array>;
}

export interface OprfSenderOutcome {
  /** Padded size of the receiver's set: evaluations made. */
  readonly peerItems: number;
  readonly isShipped: boolean;
}

/**
 * Runs the sender's part. It learns the receiver's padded size, and nothing else.
 * @param meter - told the evaluations before the first is sent; nothing is answered where it fails.
 * @throws ProtocolError on any message out of form, place or bounds; nothing further is sent then
 * Cost: one multiplication and one check an item of the receiver.
 */
export async function runOprfSender(
  channel: PsiChannel,
  params: PsiParams,
  machine: OprfMachine,
  filter: OwnFilter,
  meter: (evaluations: number) => Promise<void>,
): Promise<OprfSenderOutcome> {
  requireParams(params);
  const own = { items: filter.shape.items, filterDigest: filter.digest };
  const [, hello] = await Promise.all([
    channel.send(OPRF_HELLO, encodeOprfHello(params, 'sender', own)),
    channel.receive(OPRF_HELLO),
  ]);
  const { items: peerItems, filterDigest } = parseOprfHello(params, 'receiver', hello);
  const isShipped = !equalBytes(filterDigest, filter.digest);
  if (isShipped) {
    let index = 0;
    for await (const piece of filter.pieces()) {
      await channel.send(OPRF_FILTER, encodeChunk(index, piece, 1));
      index += 1;
    }
  }
  await meter(peerItems);
  const inTurn = ascending(POINT_BYTES, POINT_BYTES);
  const answers = inOrder(
    receiveChunks(channel, params, OPRF_POINTS, peerItems, POINT_BYTES),
    machine.oprf.parallel,
    (points) => machine.oprf.evaluate(inTurn(points), filter.key),
  );
  let [index, done] = [0, 0];
  for await (const answer of answers) {
    done += answer.length / POINT_BYTES;
    await sendChunk(channel, OPRF_EVALUATED, index, answer, POINT_BYTES);
    index += 1;
    machine.onProgress?.('evaluate', done, peerItems);
  }
  return { peerItems, isShipped };
}
