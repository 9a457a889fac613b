/**
 * A small set against a large one: what the first run takes, which makes the filter and ships it, and
 * what every later one does. Both roles in one process, on one thread; bytes are messages' payloads.
 */
import { filterOf, memoryKept, runOprf } from '../test/fixtures/psi-oprf.ts';
import { PARAMS } from '../test/fixtures/psi.ts';
import { CHUNK_ITEMS } from '../protocols/psi/params.ts';
import type { BenchContext } from './suite.ts';

const LARGE_ITEMS = 2 ** 18;
const SMALL_ITEMS = 2 ** 10;
const SHARED_ITEMS = SMALL_ITEMS / 2;
const NAME = 'unbalanced';

export async function unbalancedCase(context: BenchContext): Promise<void> {
  if (!context.wants(NAME)) return;
  const params = {
    ...PARAMS,
    mode: 'intersection',
    chunkItems: CHUNK_ITEMS,
    setSizeMax: SMALL_ITEMS,
    peerSizeMax: LARGE_ITEMS,
  } as const;
  const texts = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `item ${from + i}`);
  const small = texts(LARGE_ITEMS - SHARED_ITEMS, SMALL_ITEMS);
  const start = process.cpuUsage();
  const ofSender = { ...params, setSizeMax: LARGE_ITEMS, peerSizeMax: SMALL_ITEMS };
  const filter = await filterOf(ofSender, texts(0, LARGE_ITEMS));
  const kept = memoryKept();
  const first = await runOprf(params, filter, small, { kept });
  const firstCpuMs = cpuMsSince(start);
  const again = process.cpuUsage();
  const second = await runOprf(params, filter, small, { kept });
  const secondCpuMs = cpuMsSince(again);
  const runs = [first, second];
  if (runs.some(({ shared }) => shared !== SHARED_ITEMS)) throw new Error('a wrong answer');
  const [firstBytes = 0, secondBytes = 0] = runs.map(({ frames }) =>
    frames.reduce((sum, { payload }) => sum + payload.length, 0),
  );
  const filterBytes = filter.kept.reduce((sum, piece) => sum + piece.length, 0);
  context.report(NAME, 'first_run_cpu_ms', firstCpuMs, 'ms');
  context.report(NAME, 'second_run_cpu_ms', secondCpuMs, 'ms');
  context.report(NAME, 'first_run_bytes', firstBytes, 'B');
  context.report(NAME, 'second_run_bytes', secondBytes, 'B');
  context.report(NAME, 'filter_bytes_per_item', filterBytes / LARGE_ITEMS, 'B');
}

function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
