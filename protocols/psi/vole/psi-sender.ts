/** The party that learns nothing: holds Δ, and sends the outputs of its own items. */
import type { BandShape, OkvsTable } from '../../common/primitives.ts';
import type { PsiChannel } from '../exchange.ts';
import { encodeChunk, parseChunkOf } from '../messages.ts';
import { bandShape } from './band.ts';
import type { VoleParams } from './correlation.ts';
import { GF128_BYTES } from './gf128.ts';
import { partSet, type Part } from './parted-set.ts';
import { partPlan, type PartPlan } from './parts.ts';
import {
  MASKED,
  NONCE_BYTES,
  OUTPUTS,
  START,
  greetVole,
  parseStart,
  type VoleGreeting,
} from './psi-messages.ts';
import {
  VOLE_CHUNK_ITEMS,
  requireVoleParams,
  valueBytesOf,
  type Correlator,
  type ElementSource,
  type VolePsiMachine,
  type VolePsiParams,
  type WordCorrelator,
} from './psi-params.ts';

/** What the sender knows afterwards. */
export interface VoleSenderOutcome {
  /** Padded size of the receiver's set. */
  readonly peerItems: number;
}

/**
 * Runs the sender's part.
 *
 * Secret: the elements, Δ and the correlation, drawn and dropped part by part. What leaves besides
 * the correlation's messages: of each part as many outputs as its public bound, in ascending order.
 * @throws ProtocolError on any message out of form, place or bounds; nothing further is sent then
 */
export async function runVolePsiSender(
  channel: PsiChannel,
  params: VolePsiParams,
  machine: VolePsiMachine,
  source: ElementSource,
): Promise<VoleSenderOutcome> {
  requireVoleParams(params);
  const { hash } = machine.primitives;
  const nonce = machine.randomBytes(NONCE_BYTES);
  const greeting = await greetVole(hash, channel, params, 'sender', source.count, nonce);
  const { peerItems } = greeting;
  const plan = partPlan(source.count, peerItems, params.partItemsMax);
  const set = await partSet(machine, greeting, source, plan.parts, plan.senderItems);
  // The receiver's set gives the vector its length; the own one only has to fit in.
  const shape = {
    ...bandShape(plan.receiverItems),
    itemsMax: plan.senderItems,
    valueBytes: valueBytesOf(machine.correlator),
  };
  const table = machine.primitives.okvs.open(shape);
  try {
    const run: SenderRun = { channel, machine, greeting, table, shape, plan };
    for (let index = 0; index < plan.parts; index++) {
      const outputs = await evaluatePart(run, index, await set.part(index));
      await sendOutputs(run, outputs);
      machine.onProgress?.(index + 1, plan.parts);
    }
  } finally {
    table.close();
    await set.close();
  }
  return { peerItems };
}

interface SenderRun {
  readonly channel: PsiChannel;
  readonly machine: VolePsiMachine;
  readonly greeting: VoleGreeting;
  readonly table: OkvsTable;
  readonly shape: BandShape;
  readonly plan: PartPlan;
}

/** One part's outputs, once the receiver's masked vector has come. */
async function evaluatePart(run: SenderRun, index: number, part: Part): Promise<Uint8Array> {
  const { machine, greeting, table, plan } = run;
  const { correlator } = machine;
  if (correlator.words === true) await evaluateWords(run, correlator, index, part);
  else await evaluateElements(run, correlator, index, part);
  return table.outputs(greeting.keyOf('outputs', index), plan.outputBytes);
}

async function evaluateElements(
  run: SenderRun,
  correlator: Correlator,
  index: number,
  part: Part,
): Promise<void> {
  const { table } = run;
  const { delta, b } = await whileLoading(run, index, part, (params) =>
    correlator.sender(run.channel, params),
  );
  try {
    await reload(run, index, part);
    await addMasked(run, delta, b);
    table.decode(b);
    table.addHashes(delta);
  } finally {
    delta.fill(0);
    b.fill(0);
  }
}

async function evaluateWords(
  run: SenderRun,
  correlator: WordCorrelator,
  index: number,
  part: Part,
): Promise<void> {
  const { map, q } = await whileLoading(run, index, part, (params) =>
    correlator.sender(run.channel, params),
  );
  try {
    await reload(run, index, part);
    run.table.decodeWords(q);
    run.table.addImages(map);
  } finally {
    q.fill(0);
  }
}

/** Starts a correlation, and loads the part while the peer works. */
async function whileLoading<T>(
  { greeting, table, shape }: SenderRun,
  index: number,
  part: Part,
  start: (params: VoleParams) => Promise<T>,
): Promise<T> {
  const correlation = start({
    size: shape.columns,
    context: greeting.keyOf('correlation', index),
  });
  // Its failure is met below; until then it must not count as unhandled.
  correlation.catch(() => {});
  table.load(greeting.keyOf('items', index), part.pieces);
  return await correlation;
}

/** Only in the rarest runs the peer's first attempt at its vector is not the one. */
async function reload(
  { channel, greeting, table }: SenderRun,
  index: number,
  part: Part,
): Promise<void> {
  const attempt = parseStart(index, await channel.receive(START));
  if (attempt > 0) table.load(greeting.keyOf('items', index, attempt), part.pieces);
}

/** B += Δ · (A + P), as the masked vector comes. */
async function addMasked(run: SenderRun, delta: Uint8Array, b: Uint8Array): Promise<void> {
  const { channel, machine, shape } = run;
  const chunks = Math.ceil(shape.columns / VOLE_CHUNK_ITEMS);
  for (let index = 0; index < chunks; index++) {
    const first = index * VOLE_CHUNK_ITEMS;
    const due = Math.min(VOLE_CHUNK_ITEMS, shape.columns - first);
    const chunk = parseChunkOf(await channel.receive(MASKED), index, due, GF128_BYTES);
    const target = b.subarray(first * GF128_BYTES, (first + due) * GF128_BYTES);
    machine.primitives.gf128.accumulate(target, delta, chunk);
  }
}

async function sendOutputs({ channel, plan }: SenderRun, outputs: Uint8Array): Promise<void> {
  const chunkBytes = VOLE_CHUNK_ITEMS * plan.outputBytes;
  for (let index = 0; index * chunkBytes < outputs.length; index++) {
    const chunk = outputs.subarray(index * chunkBytes, (index + 1) * chunkBytes);
    await channel.send(OUTPUTS, encodeChunk(index, chunk, plan.outputBytes));
  }
}
