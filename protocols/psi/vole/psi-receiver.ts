/** The party that learns which of its items are shared. */
import type { BandShape, OkvsTable } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';
import { encodeChunk, parseChunkOf } from '../messages.ts';
import { bandShape } from './band.ts';
import { CANARIES } from './canaries.ts';
import type { VoleParams } from './correlation.ts';
import { GF128_BYTES } from './gf128.ts';
import { partSet, type Part } from './parted-set.ts';
import { partPlan, type PartPlan } from './parts.ts';
import {
  ATTEMPTS_MAX,
  MASKED,
  NONCE_BYTES,
  OUTPUTS,
  START,
  encodeStart,
  greetVole,
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

/** A key of the stream that fills the vector: one seed a vector. */
const SEED_BYTES = 32;
/** Taken from the stream at a time. */
const STREAM_BYTES = 65_536;

/** What the receiver knows afterwards. */
export interface VoleReceiverOutcome {
  /** The numbers, in the source, of the elements that are shared; ascending. */
  readonly numbers: Uint32Array;
  /** Padded size of the sender's set. */
  readonly peerItems: number;
}

/**
 * Runs the receiver's part.
 *
 * Secret: the elements, the vectors and the correlation. What leaves besides the correlation's
 * messages: of each part one vector, whose every element is masked by a pseudo-random one.
 * @throws ProtocolError on any message out of form, place or bounds, and `transcript-mismatch` where
 *   the items that both sides add are not found; there is no result then
 */
export async function runVolePsiReceiver(
  channel: PsiChannel,
  params: VolePsiParams,
  machine: VolePsiMachine,
  source: ElementSource,
): Promise<VoleReceiverOutcome> {
  requireVoleParams(params);
  const { hash, okvs } = machine.primitives;
  const nonce = machine.randomBytes(NONCE_BYTES);
  const greeting = await greetVole(hash, channel, params, 'receiver', source.count, nonce);
  const { peerItems } = greeting;
  const plan = partPlan(peerItems, source.count, params.partItemsMax);
  const set = await partSet(machine, greeting, source, plan.parts, plan.receiverItems);
  const valueBytes = valueBytesOf(machine.correlator);
  const shape = { ...bandShape(plan.receiverItems), valueBytes };
  const table = okvs.open(shape);
  const shared = new Uint8Array(source.count);
  try {
    const run: ReceiverRun = { channel, machine, greeting, table, shape, plan };
    for (let index = 0; index < plan.parts; index++) {
      const part = await set.part(index);
      await preparePart(run, index, part);
      await matchPart(run, part, shared);
      machine.onProgress?.(index + 1, plan.parts);
    }
  } finally {
    table.close();
    await set.close();
  }
  return { numbers: marked(shared), peerItems };
}

interface ReceiverRun {
  readonly channel: PsiChannel;
  readonly machine: VolePsiMachine;
  readonly greeting: VoleGreeting;
  readonly table: OkvsTable;
  readonly shape: BandShape;
  readonly plan: PartPlan;
}

/** Encodes a part, sends the masked vector, and computes the own outputs. */
async function preparePart(run: ReceiverRun, index: number, part: Part): Promise<void> {
  const { machine, greeting, table, shape, plan } = run;
  const { correlator } = machine;
  const params = { size: shape.columns, context: greeting.keyOf('correlation', index) };
  if (correlator.words === true) await prepareWords(run, correlator, params, index, part);
  else await prepareElements(run, correlator, params, index, part);
  table.outputs(greeting.keyOf('outputs', index), plan.outputBytes);
}

async function prepareElements(
  run: ReceiverRun,
  correlator: Correlator,
  params: VoleParams,
  index: number,
  part: Part,
): Promise<void> {
  const { channel, machine, table } = run;
  const correlation = correlator.receiver(channel, params);
  // Its failure is met below; until then it must not count as unhandled.
  correlation.catch(() => {});
  const { vector, attempt } = encodePart(run, index, part);
  const { a, c } = await correlation;
  try {
    await channel.send(START, encodeStart(index, attempt));
    machine.primitives.gf128.add(vector, a);
    await sendMasked(channel, vector);
    table.decode(c);
  } finally {
    a.fill(0);
    c.fill(0);
  }
}

/** The correlation takes the vector itself in, hidden. */
async function prepareWords(
  run: ReceiverRun,
  correlator: WordCorrelator,
  params: VoleParams,
  index: number,
  part: Part,
): Promise<void> {
  const { channel, table } = run;
  const { vector, attempt } = encodePart(run, index, part);
  const { t } = await correlator.receiver(channel, params, vector);
  try {
    await channel.send(START, encodeStart(index, attempt));
    table.decodeWords(t);
  } finally {
    vector.fill(0);
    t.fill(0);
  }
}

/**
 * The part's vector, uniform among those that decode to the items' hashes. Another attempt has other
 * hashes throughout, and tells of the first no more than that its bands were dependent.
 */
function encodePart(
  { machine, greeting, table, shape }: ReceiverRun,
  index: number,
  part: Part,
): { readonly vector: Uint8Array; readonly attempt: number } {
  const vector = randomVector(machine, shape.columns);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    table.load(greeting.keyOf('items', index, attempt), part.pieces);
    if (table.encode(vector) === 'encoded') return { vector, attempt };
  }
  throw new ProtocolError('encoding-failed', 'the set could not be encoded');
}

/** Uniform elements, from a seed drawn for them alone. */
function randomVector(machine: VolePsiMachine, columns: number): Uint8Array {
  const seed = machine.randomBytes(SEED_BYTES);
  const stream = machine.primitives.stream.open(seed, 0);
  const vector = new Uint8Array(columns * GF128_BYTES);
  for (let at = 0; at < vector.length; at += STREAM_BYTES) {
    vector.set(stream.next(Math.min(STREAM_BYTES, vector.length - at)), at);
    stream.release?.();
  }
  return vector;
}

async function sendMasked(channel: PsiChannel, vector: Uint8Array): Promise<void> {
  const chunkBytes = VOLE_CHUNK_ITEMS * GF128_BYTES;
  for (let index = 0; index * chunkBytes < vector.length; index++) {
    const chunk = vector.subarray(index * chunkBytes, (index + 1) * chunkBytes);
    await channel.send(MASKED, encodeChunk(index, chunk, GF128_BYTES));
  }
}

/**
 * Marks the part's elements that the sender has too, by their numbers.
 * @throws ProtocolError `transcript-mismatch` unless all canaries are among them, and no dummy
 */
async function matchPart(
  { channel, table, plan }: ReceiverRun,
  { numbers }: Part,
  shared: Uint8Array,
): Promise<void> {
  let canaries = 0;
  const chunks = Math.ceil(plan.senderItems / VOLE_CHUNK_ITEMS);
  for (let index = 0; index < chunks; index++) {
    const due = Math.min(VOLE_CHUNK_ITEMS, plan.senderItems - index * VOLE_CHUNK_ITEMS);
    const message = await channel.receive(OUTPUTS);
    for (const place of table.match(parseChunkOf(message, index, due, plan.outputBytes))) {
      if (place < numbers.length) shared[numbers[place] ?? 0] = 1;
      else if (place < numbers.length + CANARIES) canaries += 1;
      else throw new ProtocolError('transcript-mismatch', 'a dummy matched');
    }
  }
  if (canaries === CANARIES) return;
  throw new ProtocolError('transcript-mismatch', 'what both sides have was not found');
}

/** The places of ones, ascending. */
function marked(marks: Uint8Array): Uint32Array {
  let count = 0;
  for (const mark of marks) count += mark;
  const places = new Uint32Array(count);
  let at = 0;
  for (let place = 0; place < marks.length; place++) {
    if (marks[place] === 0) continue;
    places[at] = place;
    at += 1;
  }
  return places;
}
