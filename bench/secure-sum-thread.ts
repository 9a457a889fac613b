/**
 * A thread of the secure-sum benchmark. It does its share of the reference (bare AES streams) and
 * of the work (masking and adding) on the same inputs, so that both are timed on the same threads.
 */
import { createCipheriv } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { addBodies } from '../protocols/secure-sum/aggregator.ts';
import type { RoundKeys } from '../protocols/secure-sum/keys.ts';
import {
  blockCount,
  blockRange,
  bodyBytes,
  cellsPerBlock,
  type Layout,
} from '../protocols/secure-sum/params.ts';
import { maskMeasures } from '../protocols/secure-sum/party.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';

const CHUNK_BYTES = 65_536;
const OWN_CHUNK_BYTES = 131_072;
const LANE_BYTES = 8;

/** What a thread is started with; inputs and result are shared with the others. */
export interface ThreadData {
  readonly layout: Layout;
  /** Of each party. */
  readonly keys: readonly RoundKeys[];
  readonly inputs: readonly SharedArrayBuffer[];
  readonly result: SharedArrayBuffer;
  readonly thread: number;
  readonly threads: number;
}

const data = workerData as ThreadData;
const { layout, keys, thread, threads } = data;
const inputs = data.inputs.map((buffer) => new Uint8Array(buffer));
const result = new Uint8Array(data.result);
const chunk = new Uint8Array(CHUNK_BYTES);
const bodies = inputs.map(() => new Uint8Array(bodyBytes(layout, 0)));
const permitted = new Uint8Array(cellsPerBlock(layout)).fill(1);

/** `aes`: the bare reference; `own`: the same bytes as the protocol gets them; `sum`: the work. */
export type Work = 'aes' | 'own' | 'sum';

parentPort?.on('message', (work: Work) => {
  if (work === 'aes') streams();
  else if (work === 'own') ownStreams();
  else maskAndAdd();
  parentPort?.postMessage('done');
});

/** Every stream of every party from its start to its end: one cipher each, reused chunks. */
function streams(): void {
  const all = keys.flatMap((vectors) => vectors.flat());
  for (const [index, { key }] of all.entries()) {
    if (index % threads !== thread) continue;
    const cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16));
    for (let left = layout.cells * LANE_BYTES; left > 0; left -= CHUNK_BYTES) {
      cipher.update(left >= CHUNK_BYTES ? chunk : chunk.subarray(0, left));
    }
  }
}

/** The same amount of key stream from the protocol's own primitive, and nothing done with it. */
function ownStreams(): void {
  for (let block = thread; block < blockCount(layout); block += threads) {
    const lengthBytes = bodyBytes(layout, block);
    for (const { key } of keys.flatMap((vectors) => vectors.flat())) {
      const stream = nativePrimitives.stream.open(key, block);
      for (let left = lengthBytes; left > 0; left -= OWN_CHUNK_BYTES) {
        stream.next(Math.min(left, OWN_CHUNK_BYTES));
        stream.release?.();
      }
    }
  }
}

/** Block by block, as frames reach a gateway: each party masks, then the gateway adds. */
function maskAndAdd(): void {
  for (let block = thread; block < blockCount(layout); block += threads) {
    const { start, end } = blockRange(layout, block);
    const cells = permitted.subarray(0, end - start);
    const masked = bodies.map((buffer, party) => {
      const body = buffer.subarray(0, (end - start) * LANE_BYTES);
      body.set(inputs[party]?.subarray(start * LANE_BYTES, end * LANE_BYTES) ?? []);
      const task = { layout, block, keys: keys[party] ?? [] };
      maskMeasures(nativePrimitives, task, body, [cells]);
      return body;
    });
    const [total, ...others] = masked;
    if (total === undefined) return;
    addBodies(nativePrimitives, layout, block, total, others);
    result.set(total, start * LANE_BYTES);
  }
}
