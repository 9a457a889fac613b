/**
 * The sum by groups of the receiver's: every ciphertext of values is multiplied once for each group,
 * by the bits of the places that are shared with it, and each group has its answer, masked and
 * flooded by itself. What is done and sent depends on sizes alone: a group of which nothing is
 * shared, or may be released, is answered like any other.
 */
import { releaseBytes } from '../common/bytes.ts';
import type { PsiMachine } from './blinded-set.ts';
import type { PsiChannel } from './exchange.ts';
import { SUM_KEY, answerMasked, receiveValues, type SumEngine } from './sum-exchange.ts';
import { SUM_CIPHERTEXT_BYTES, SUM_SLOTS, addChoice } from './sum.ts';

/**
 * Receiver: adds to the sums of some groups what one ciphertext has for each.
 * @param choose - `chooseValues` of that ciphertext; done again after a failure, or not at all.
 * @param cellOfSlot - one more than the group of each slot, or 0. Secret.
 * @param first - the group of the first sum.
 * @param sums - a ciphertext a group, added to in place.
 * Cost: a product and an addition of ciphertexts a group.
 */
export async function addByCell(
  choose: (chosen: BigUint64Array<ArrayBuffer>) => Promise<Uint8Array>,
  cellOfSlot: Uint8Array,
  first: number,
  sums: Uint8Array,
): Promise<void> {
  const chosen = new BigUint64Array(SUM_SLOTS);
  for (let at = 0; at < sums.length; at += SUM_CIPHERTEXT_BYTES) {
    const tag = first + at / SUM_CIPHERTEXT_BYTES + 1;
    for (const [slot, one] of cellOfSlot.entries()) chosen[slot] = one === tag ? 1n : 0n;
    const choice = await choose(chosen);
    addChoice(sums.subarray(at, at + SUM_CIPHERTEXT_BYTES), choice);
    releaseBytes(choice);
  }
  chosen.fill(0n);
}

/**
 * Receiver: chooses the shared items' values for each group and answers the masked sums.
 * @param cellOfPlace - one more than the group of each of the sender's items, in the order of its
 *   points, or 0. Secret.
 * @returns the receiver's half for each group.
 * Memory: a ciphertext a group, whatever the sets' sizes.
 */
export async function sumByGroup(
  channel: PsiChannel,
  engine: SumEngine,
  machine: PsiMachine,
  cellOfPlace: Uint8Array,
  cells: number,
): Promise<readonly bigint[]> {
  const publicKey = await channel.receive(SUM_KEY);
  const parts = partsOf(cells, engine.parallel);
  let sums = parts.map(({ count }) => new Uint8Array(count * SUM_CIPHERTEXT_BYTES));
  for await (const { index, ciphertext } of receiveValues(channel, cellOfPlace.length)) {
    const cellOfSlot = slotsAt(cellOfPlace, index);
    sums = await Promise.all(
      parts.map(({ first }, part) =>
        engine.addByCell(ciphertext, cellOfSlot, first, sums[part] ?? new Uint8Array(0)),
      ),
    );
  }
  const halves: bigint[] = [];
  for (const [part, { first, count }] of parts.entries()) {
    for (let i = 0; i < count; i++) {
      const at = i * SUM_CIPHERTEXT_BYTES;
      const sum = sums[part]?.subarray(at, at + SUM_CIPHERTEXT_BYTES);
      halves.push(
        await answerMasked(channel, engine, machine, { publicKey, cell: first + i, sum }),
      );
    }
  }
  return halves;
}

/** Groups in runs of almost equal length, one for each thread. */
function partsOf(cells: number, most: number): readonly { first: number; count: number }[] {
  const parts = Math.min(cells, Math.max(most, 1));
  return Array.from({ length: parts }, (_, part) => {
    const first = Math.floor((part * cells) / parts);
    return { first, count: Math.floor(((part + 1) * cells) / parts) - first };
  });
}

function slotsAt(cellOfPlace: Uint8Array, index: number): Uint8Array<ArrayBuffer> {
  const slots = new Uint8Array(SUM_SLOTS);
  slots.set(cellOfPlace.subarray(index * SUM_SLOTS, (index + 1) * SUM_SLOTS));
  return slots;
}
