/** Metered calls over real HTTP beside the same server's Hello, alternating, the median of rounds. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoadOrder, LoadReport } from './ledger-http-driver.ts';
import type { BenchContext } from './suite.ts';

const CONNECTIONS = 64;
const ROUNDS = 3;
const WARM_MS = 5_000;
const ROUND_MS = 30_000;

/** @param syncsPerSecond - measures a file in the store's own directory. */
export async function httpMetered(
  context: BenchContext,
  name: string,
  syncsPerSecond: (file: string) => number,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const children: ChildProcess[] = [];
  const start = (file: string, ...args: string[]): ChildProcess => {
    const child = fork(new URL(file, import.meta.url), args);
    children.push(child);
    return child;
  };
  try {
    context.report(name, 'syncs_per_s', syncsPerSecond(join(directory, 'sync')), '1/s');
    const gateway = start('./ledger-http-gateway.js', directory);
    const { port } = await answerOf<{ port: number }>(gateway);
    const driver = start('./ledger-http-driver.js');
    const run = async (path: string, durationMs: number, prefix: string): Promise<LoadReport> => {
      const order: LoadOrder = { port, path, connections: CONNECTIONS, durationMs, prefix };
      driver.send(order);
      const report = await answerOf<LoadReport>(driver);
      if (report.failed > 0) throw new Error(`${report.failed} calls of ${path} failed`);
      return report;
    };
    const hello: LoadReport[] = [];
    const metered: LoadReport[] = [];
    let acknowledged = (await run('/metered', WARM_MS, 'warm')).calls;
    await run('/hello', WARM_MS, 'warm');
    for (let round = 1; round <= ROUNDS; round += 1) {
      hello.push(await run('/hello', ROUND_MS, `h${round}`));
      metered.push(await run('/metered', ROUND_MS, `m${round}`));
    }
    for (const { calls } of metered) acknowledged += calls;
    const rate = median(metered.map(perSecond));
    const helloRate = median(hello.map(perSecond));
    context.report(name, 'calls_per_s', rate, '1/s');
    context.report(name, 'p50_ms', median(metered.map(({ p50Ms }) => p50Ms)), 'ms');
    context.report(name, 'p99_ms', median(metered.map(({ p99Ms }) => p99Ms)), 'ms');
    context.report(name, 'hello_per_s', helloRate, '1/s');
    context.report(name, 'ratio_to_hello', rate / helloRate, '');
    const counted = await fetch(`http://127.0.0.1:${port}/records`);
    const { records } = (await counted.json()) as { records: string };
    if (Number(records) !== acknowledged) {
      throw new Error(`${records} records, ${acknowledged} acknowledged`);
    }
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

function answerOf<Answer>(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('a process of the benchmark ended early'));
    child.once('exit', onExit);
    child.once('message', (answer) => {
      child.off('exit', onExit);
      resolve(answer as Answer);
    });
  });
}

const perSecond = ({ calls, tookMs }: LoadReport): number => calls / (tookMs / 1000);

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
