/**
 * An analyst's own set against a holder's: what either side computes and sends. Both roles in one
 * process, on one thread; bytes are messages' payloads. The analyst's side is part of it, though it runs
 * on the analyst's machine.
 */
import { OWN, runOwnSet } from '../test/fixtures/own-set.ts';
import { CHUNK_ITEMS } from '../protocols/psi/params.ts';
import type { BenchContext } from './suite.ts';

const HOLDER_ITEMS = 2 ** 14;
const ANALYST_ITEMS = 2 ** 10;
const SHARED_ITEMS = ANALYST_ITEMS / 4;
const NAME = 'own set';

export async function ownSetCase(context: BenchContext): Promise<void> {
  if (!context.wants(NAME)) return;
  const texts = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `item ${from + i}`);
  const start = process.cpuUsage();
  const { shared, frames } = await runOwnSet(
    texts(0, HOLDER_ITEMS),
    texts(HOLDER_ITEMS - SHARED_ITEMS, ANALYST_ITEMS),
    { holderItems: HOLDER_ITEMS, analystItems: ANALYST_ITEMS },
    { params: { ...OWN, chunkItems: CHUNK_ITEMS } },
  );
  const { user, system } = process.cpuUsage(start);
  if (shared !== SHARED_ITEMS) throw new Error(`${shared} counted, ${SHARED_ITEMS} are shared`);
  const cpuUs = user + system;
  const bytes = frames.reduce((sum, { payload }) => sum + payload.length, 0);
  context.report(NAME, 'cpu_ms 2^14 x 2^10', cpuUs / 1000, 'ms');
  context.report(NAME, 'cpu_us_per_holder_item', cpuUs / HOLDER_ITEMS, 'us');
  context.report(NAME, 'bytes_per_holder_item', bytes / HOLDER_ITEMS, 'B');
}
