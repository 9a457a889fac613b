/** Gathers commands that wait into batches; one that fails as part of a batch is tried by itself. */
import { CapacityError } from '../errors.ts';

/** Commands that wait; one more is refused rather than held. */
export const BATCH_QUEUE_MAX = 16_384;

export interface BatchingOptions<Item, Outcome> {
  /** Carries out a batch; an outcome an item, in order. */
  run(items: readonly Item[]): Promise<readonly Outcome[]>;
  /** Items of one key never share a batch. */
  keyOf(item: Item): string;
  readonly batchMax: number;
  readonly callsMax: number;
}

interface Waiting<Item, Outcome> {
  readonly item: Item;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/**
 * @returns submits an item. It rejects with what its own batch of one rejects with, or with
 *   CapacityError: `queue-full` at once, others where the outcome of the whole batch is unknown.
 */
export function batching<Item, Outcome>(
  options: BatchingOptions<Item, Outcome>,
): (item: Item) => Promise<Outcome> {
  let waiting: Waiting<Item, Outcome>[] = [];
  let calls = 0;
  let scheduled = false;

  const take = (): readonly Waiting<Item, Outcome>[] => {
    const keys = new Set<string>();
    const batch: Waiting<Item, Outcome>[] = [];
    const rest: Waiting<Item, Outcome>[] = [];
    for (const each of waiting) {
      const key = options.keyOf(each.item);
      if (batch.length < options.batchMax && !keys.has(key)) batch.push(each);
      else rest.push(each);
      keys.add(key);
    }
    waiting = rest;
    return batch;
  };
  const pump = (): void => {
    scheduled = false;
    while (waiting.length > 0 && calls < options.callsMax) {
      calls += 1;
      void settle(options, take()).finally(() => {
        calls -= 1;
        pump();
      });
    }
  };
  return (item) => {
    if (waiting.length >= BATCH_QUEUE_MAX) {
      const facts = { retryAfterS: 1 };
      return Promise.reject(new CapacityError('queue-full', 'The ledger is busy.', facts));
    }
    return new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      // At the end of this turn, so that what was asked for together is a batch.
      if (!scheduled) {
        scheduled = true;
        setImmediate(pump);
      }
    });
  };
}

/** Never rejects: every item of the batch is told its own outcome. */
async function settle<Item, Outcome>(
  options: BatchingOptions<Item, Outcome>,
  batch: readonly Waiting<Item, Outcome>[],
): Promise<void> {
  try {
    const outcomes = await options.run(batch.map(({ item }) => item));
    for (const [at, outcome] of outcomes.entries()) batch[at]?.resolve(outcome);
  } catch (error) {
    if (batch.length === 1 || error instanceof CapacityError) {
      for (const each of batch) each.reject(error);
      return;
    }
    // Nothing of the batch was written; one item is to blame, and only it should fail.
    for (const each of batch) await settle(options, [each]);
  }
}
