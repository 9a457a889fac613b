/** The messages of the sum over the join, after the cardinality: values, choice, masked answer. */
import { releaseBytes, viewOf } from '../common/bytes.ts';
import type { BlindedSet, PsiMachine } from './blinded-set.ts';
import { NO_ROW } from './blinded-set.ts';
import type { PsiChannel } from './exchange.ts';
import { inOrder } from './flow.ts';
import { encodeChunk, parseChunkOf } from './messages.ts';
import { POINT_BYTES } from './params.ts';
import {
  SUM_CIPHERTEXT_BYTES,
  SUM_SLOTS,
  addChoice,
  slotOf,
  sumCiphertextCount,
  type MaskedSum,
} from './sum.ts';

export const SUM_KEY = 'psi.key';
export const SUM_VALUES = 'psi.values';
export const SUM_MASKED = 'psi.masked';
const MASK_SECRET_BYTES = 32;
/** Masked sums that are opened together: the library is set up once for them. */
const FOLDED_AT_ONCE = 16;

/** Where the steps with ciphertexts run. @see sum.ts */
export interface SumEngine {
  readonly parallel: number;
  generateKeys(): Promise<{ readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }>;
  encrypt(publicKey: Uint8Array, slots: BigUint64Array<ArrayBuffer>): Promise<Uint8Array>;
  choose(ciphertext: Uint8Array, chosen: BigUint64Array<ArrayBuffer>): Promise<Uint8Array>;
  mask(
    publicKey: Uint8Array,
    choices: Uint8Array | undefined,
    secret: Uint8Array,
  ): Promise<MaskedSum>;
  /** One number a ciphertext. */
  fold(secretKey: Uint8Array, ciphertexts: readonly Uint8Array[]): Promise<readonly bigint[]>;
  /** @see addByCell; `sums` is used up, and comes back as the answer. */
  addByCell(
    ciphertext: Uint8Array,
    cellOfSlot: Uint8Array<ArrayBuffer>,
    first: number,
    sums: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Sender: its values, in the order of its points, under a key of this run; answers its half of the
 * sum, or of each group's. Dummies count zero.
 * @param valueOf - the value of a row, within the bounds that `requireSumFits` was asked for.
 * @param cells - groups of the receiver; 1 where it has none.
 */
export async function sendValues(
  channel: PsiChannel,
  engine: SumEngine,
  set: BlindedSet,
  valueOf: (row: number) => bigint,
  cells = 1,
): Promise<readonly bigint[]> {
  const { publicKey, secretKey } = await engine.generateKeys();
  try {
    await channel.send(SUM_KEY, publicKey);
    let index = 0;
    const ciphertexts = inOrder(slotsOf(set, valueOf), engine.parallel, (slots) =>
      engine.encrypt(publicKey, slots),
    );
    for await (const ciphertext of ciphertexts) {
      await channel.send(SUM_VALUES, encodeChunk(index, ciphertext, SUM_CIPHERTEXT_BYTES));
      index += 1;
    }
    const halves: bigint[] = [];
    for (let first = 0; first < cells; first += FOLDED_AT_ONCE) {
      const batch: Uint8Array[] = [];
      for (let cell = first; cell < Math.min(cells, first + FOLDED_AT_ONCE); cell++) {
        const message = await channel.receive(SUM_MASKED);
        batch.push(parseChunkOf(message, cell, 1, SUM_CIPHERTEXT_BYTES));
      }
      halves.push(...(await engine.fold(secretKey, batch)));
    }
    return halves;
  } finally {
    secretKey.fill(0);
  }
}

/**
 * Receiver: chooses the shared items' values and answers the masked sum; keeps its half.
 * @param places - a bit for each of the sender's items, in the order of its points. Secret.
 */
export async function sumShared(
  channel: PsiChannel,
  engine: SumEngine,
  machine: PsiMachine,
  peerItems: number,
  places: Uint8Array,
): Promise<bigint> {
  const publicKey = await channel.receive(SUM_KEY);
  const ciphertexts = inOrder(
    receiveValues(channel, peerItems),
    engine.parallel,
    async ({ index, ciphertext }) => engine.choose(ciphertext, chosenSlots(places, index)),
  );
  let sum: Uint8Array | undefined;
  for await (const choice of ciphertexts) {
    if (sum === undefined) sum = choice;
    else {
      addChoice(sum, choice);
      releaseBytes(choice);
    }
  }
  return answerMasked(channel, engine, machine, { publicKey, cell: 0, sum });
}

/**
 * Receiver: masks and floods what was chosen for one group, and sends it; keeps its half.
 * @param answer - `sum` is absent where nothing was chosen.
 */
export async function answerMasked(
  channel: PsiChannel,
  engine: SumEngine,
  { randomBytes }: PsiMachine,
  answer: {
    readonly publicKey: Uint8Array;
    readonly cell: number;
    readonly sum: Uint8Array | undefined;
  },
): Promise<bigint> {
  const { publicKey, cell, sum } = answer;
  const secret = randomBytes(MASK_SECRET_BYTES);
  const masked = await engine.mask(publicKey, sum, secret).finally(() => secret.fill(0));
  await channel.send(SUM_MASKED, encodeChunk(cell, masked.ciphertext, SUM_CIPHERTEXT_BYTES));
  return masked.foldedMask;
}

/** Receiver: the sender's values, a ciphertext at a time. @throws as `parseChunkOf` */
export async function* receiveValues(
  channel: PsiChannel,
  peerItems: number,
): AsyncGenerator<{ index: number; ciphertext: Uint8Array }> {
  const count = sumCiphertextCount(peerItems);
  for (let index = 0; index < count; index++) {
    const message = await channel.receive(SUM_VALUES);
    yield { index, ciphertext: parseChunkOf(message, index, 1, SUM_CIPHERTEXT_BYTES) };
  }
}

async function* slotsOf(
  set: BlindedSet,
  valueOf: (row: number) => bigint,
): AsyncGenerator<BigUint64Array<ArrayBuffer>> {
  const { recordBytes } = set.points.shape;
  let slots = new BigUint64Array(SUM_SLOTS);
  let filled = 0;
  for await (const records of set.points.sorted()) {
    const view = viewOf(records);
    for (let at = 0; at < records.length; at += recordBytes) {
      const row = view.getUint32(at + POINT_BYTES, true);
      slots[filled++] = row === NO_ROW ? 0n : slotOf(valueOf(row));
      if (filled < SUM_SLOTS) continue;
      yield slots;
      slots = new BigUint64Array(SUM_SLOTS);
      filled = 0;
    }
    releaseBytes(records);
  }
  if (filled > 0) yield slots;
}

function chosenSlots(places: Uint8Array, index: number): BigUint64Array<ArrayBuffer> {
  const chosen = new BigUint64Array(SUM_SLOTS);
  for (let slot = 0; slot < SUM_SLOTS; slot++) {
    const place = index * SUM_SLOTS + slot;
    if ((((places[place >> 3] ?? 0) >> (place & 7)) & 1) === 1) chosen[slot] = 1n;
  }
  return chosen;
}
