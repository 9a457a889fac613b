/**
 * The gateway's part alone, in a process of its own: what it receives is made when it asks, so that
 * its peak memory is its own. A party's messages are the parts themselves: to a gateway, masked and
 * plain lanes are the same amount of work.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { secureSum } from '../src/computations/secure-sum/secure-sum.ts';
import { shapeOf } from '../src/computations/secure-sum/shape.ts';
import { KINDS } from '../src/computations/secure-sum/wire.ts';
import { openPool } from '../src/pool/piscina-pool.ts';
import { GATEWAY } from '../src/system/ids.ts';
import { viewOf } from '../protocols/common/bytes.ts';
import { encodeFrame, encodeMaps, frameCount } from '../protocols/secure-sum/messages.ts';
import { blockCount, bodyBytes, sections, type Layout } from '../protocols/secure-sum/params.ts';
import { prepareWhole, ROWS_A_CELL, VALUE } from './secure-sum-case.ts';

const parties = Number(process.argv[2]);
const { prepared } = prepareWhole({ name: '', parties, labels: [399, 249], every: 1 });
const shape = shapeOf(prepared.contract, prepared.descriptor.arguments);
const statement = { hash: new Uint8Array(32), signature: new Uint8Array(64) };
const bodies = new Map(
  [shape.counts, shape.measures].map((layout) => [layout.round, bodiesOf(layout)] as const),
);
const incoming = new Map(
  prepared.descriptor.parties.flatMap(({ id }) => [
    [`${id} ${KINDS.counts}`, framesOf(shape.counts)],
    [`${id} ${KINDS.measures}`, framesOf(shape.measures)],
  ]),
);

const pool = openPool({ threadsMax: availableParallelism() });
const release = await secureSum.runGateway({
  contract: prepared.contract,
  descriptor: prepared.descriptor,
  pool,
  progress: () => {},
  channel: {
    self: GATEWAY,
    signal: new AbortController().signal,
    send: async () => {},
    async receive(from, kind) {
      if (kind === KINDS.map) return encodeMaps([statement]);
      const frame = incoming.get(`${from} ${kind}`)?.next();
      if (frame === undefined || frame.done === true) throw new Error('no such frame');
      return frame.value;
    },
  },
});
await pool.close();
if (release.releasedCells !== shape.cells) throw new Error('the release is not whole');
process.send?.({ peakMiB: peakMiB() });

/** Of this program alone: the peak that getrusage tells includes the parent's, from before exec. */
function peakMiB(): number {
  const [, kib] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) / 1024;
}

function* framesOf(layout: Layout): Generator<Uint8Array, void> {
  for (const [block, body] of (bodies.get(layout.round) ?? []).entries()) {
    for (let frame = 0; frame < frameCount(layout, block); frame++) {
      yield encodeFrame(layout, block, frame, body);
    }
  }
}

function bodiesOf(layout: Layout): readonly Uint8Array[] {
  const values = layout.round === 1 ? [] : [ROWS_A_CELL, ROWS_A_CELL, ROWS_A_CELL * VALUE];
  return Array.from({ length: blockCount(layout) }, (_, block) => {
    const body = new Uint8Array(bodyBytes(layout, block));
    const view = viewOf(body);
    for (const [vector, { offset, length }] of sections(layout, block).entries()) {
      for (let at = offset; at < offset + length; at += 8) {
        view.setUint32(at, values[vector] ?? 0, true);
      }
    }
    return body;
  });
}
