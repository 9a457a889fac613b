import { describe, expect, it } from 'vitest';
import { lpn, runVole, seededBytes, texts, withoutLpn } from '../fixtures/psi-vole.ts';

/** Sizes of a run's two sets, its parts' size, and whether it runs without LPN. */
const RUNS = [
  { sender: 0, receiver: 0, partItemsMax: 64, isPlain: false },
  { sender: 1, receiver: 0, partItemsMax: 64, isPlain: true },
  { sender: 0, receiver: 17, partItemsMax: 5, isPlain: false },
  { sender: 3, receiver: 300, partItemsMax: 2 ** 20, isPlain: false },
  { sender: 300, receiver: 300, partItemsMax: 2 ** 20, isPlain: true },
  { sender: 300, receiver: 299, partItemsMax: 150, isPlain: false },
];

describe('matches by VOLE at one time in one process', () => {
  it.each([1, 2])('keep out of each other’s memory (seed %i)', async (seed) => {
    const runs = RUNS.map(async ({ sender, receiver, partItemsMax, isPlain }, run) => {
      const random = seededBytes(`interleaved ${seed} ${run}`);
      const correlator = isPlain ? withoutLpn(random) : lpn(random);
      const senderItems = texts(0, sender);
      // Half of the receiver's items are the sender's, where that has so many.
      const receiverItems = texts(receiver >> 1, receiver + (receiver >> 1));
      const { shared } = await runVole(senderItems, receiverItems, {
        correlators: [correlator, correlator],
        params: { partItemsMax },
        seed: `${seed} ${run}`,
      });
      const theirs = new Set(senderItems);
      expect(shared).toEqual(receiverItems.filter((item) => theirs.has(item)));
    });
    await Promise.all(runs);
  });
});
