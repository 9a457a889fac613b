/** Secure sum: how close masking is to the AES it rests on, whole runs, and the gateway's memory. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { openPool } from '../src/pool/piscina-pool.ts';
import { sessionKeys } from '../protocols/secure-sum/keys.ts';
import { countsLayout, measuresLayout } from '../protocols/secure-sum/params.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';
import { memoryNetwork } from '../test/support/memory-network.ts';
import { answeringSource, runAll, seededRandom } from '../test/support/secure-sum-run.ts';
import { denseAnswer, prepareWhole, ROWS_A_CELL, VALUE, type WholeRun } from './secure-sum-case.ts';
import type { ThreadData, Work } from './secure-sum-thread.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const WARM_UPS = 2;
const REPETITIONS = 9;
const PARTIES = 3;
const CELLS = 10_000_000;
const LANE_BYTES = 8;
const ownExtension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

export const secureSumSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('3x10M')) {
      await ratioToAes(context);
      // 4000 × 2500 cells; a tenth of them have rows at every holder.
      await wholeRun(context, { name: '3x10M', parties: 3, labels: [3999, 2499], every: 10 });
    }
    if (context.wants('64x100k')) {
      await wholeRun(context, { name: '64x100k', parties: 64, labels: [399, 249], every: 1 });
      await gatewayMemory(context);
    }
  },
};

/** Masking and adding, against nothing but the AES streams, on the same threads, interleaved. */
async function ratioToAes(context: BenchContext): Promise<void> {
  const layout = measuresLayout(CELLS, []);
  const keys = partiesKeys(layout);
  const inputs = Array.from({ length: PARTIES }, (_, party) => {
    const buffer = new SharedArrayBuffer(CELLS * LANE_BYTES);
    const words = new Uint32Array(buffer);
    for (let at = 0; at < words.length; at += 2) words[at] = at * (party + 1);
    return buffer;
  });
  const result = new SharedArrayBuffer(CELLS * LANE_BYTES);
  const threads = availableParallelism();
  const url = new URL(`./secure-sum-thread${ownExtension}`, import.meta.url);
  const workers = Array.from({ length: threads }, (_, thread) => {
    const workerData: ThreadData = { layout, keys, inputs, result, thread, threads };
    return new Worker(url, { workerData });
  });
  const timed = async (work: Work): Promise<number> => {
    const start = performance.now();
    await Promise.all(workers.map((worker) => answered(worker, work)));
    return performance.now() - start;
  };
  const took: Record<Work, number[]> = { aes: [], own: [], sum: [] };
  for (let turn = -WARM_UPS; turn < REPETITIONS; turn++) {
    for (const work of ['aes', 'own', 'sum'] as const) {
      const ms = await timed(work);
      if (turn >= 0) took[work].push(ms);
    }
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  verifyTotals(inputs, result);
  const [aes, own, sum] = [median(took.aes), median(took.own), median(took.sum)];
  context.report('3x10M', 'aes_ms', aes, 'ms');
  context.report('3x10M', 'own_streams_ms', own, 'ms');
  context.report('3x10M', 'mask_and_add_ms', sum, 'ms');
  context.report('3x10M', 'ratio_to_aes', sum / aes, '');
  // Against the same bytes as the protocol gets them: what masking and adding cost beside AES.
  context.report('3x10M', 'ratio_to_own_streams', sum / own, '');
}

async function answered(worker: Worker, work: Work): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.postMessage(work);
  });
  worker.removeAllListeners('error');
}

function partiesKeys(layout: ThreadData['layout']): ThreadData['keys'] {
  const random = seededRandom('bench');
  const secrets = Array.from({ length: PARTIES }, () => random.bytes(32));
  const common = {
    descriptorHash: random.bytes(32),
    seed: random.bytes(32),
    graphSeed: undefined,
    parties: secrets.map((secret, index) => ({
      id: `p${index}`,
      ephemeralKey: nativePrimitives.x25519.publicKey(secret),
    })),
  };
  return secrets.map(
    (ephemeralSecret, selfIndex) =>
      sessionKeys(
        nativePrimitives,
        { ...common, selfIndex, ephemeralSecret },
        countsLayout(1, 1),
        layout,
      ).measures,
  );
}

/** A fast wrong answer is no benchmark. */
function verifyTotals(inputs: readonly SharedArrayBuffer[], result: SharedArrayBuffer): void {
  const [first, second, third] = inputs.map((buffer) => new Uint32Array(buffer));
  const total = new Uint32Array(result);
  for (let at = 0; at < total.length; at += 2) {
    const low = (first?.[at] ?? 0) + (second?.[at] ?? 0) + (third?.[at] ?? 0);
    if (total[at] !== low % 2 ** 32 || total[at + 1] !== Math.floor(low / 2 ** 32)) {
      throw new Error(`the total of cell ${at / 2} is wrong`);
    }
  }
}

/** Both rounds of every party and the gateway in this process, over channels in memory. */
async function wholeRun(context: BenchContext, run: WholeRun): Promise<void> {
  const { runCase, prepared } = prepareWhole(run);
  const source = answeringSource(denseAnswer(prepared.cells, run.every));
  const sources = runCase.parts.map(() => source);
  const pool = openPool({ threadsMax: availableParallelism() });
  const start = performance.now();
  const network = memoryNetwork(undefined, { records: false });
  const { release, domains } = await runAll(runCase, prepared, pool, undefined, network, sources);
  const wallS = (performance.now() - start) / 1000;
  await pool.close();
  for (const domain of domains) if (domain.status !== 'fulfilled') throw domain.reason;
  if (release.status !== 'fulfilled') throw release.reason;
  const { releasedCells, rows } = release.value;
  const expected = Math.ceil(prepared.cells / run.every);
  const sum = (ROWS_A_CELL * VALUE * run.parties).toString();
  if (releasedCells !== expected || rows.some((row) => row[3] !== sum)) {
    throw new Error('the release is not the sum of the parts');
  }
  context.report(run.name, 'wall_s', wallS, 's');
  context.report(run.name, 'cells', prepared.cells, 'cells');
  context.report(run.name, 'released_cells', releasedCells, 'cells');
}

/** The gateway alone, in a process of its own, with few and with many parties. */
async function gatewayMemory(context: BenchContext): Promise<void> {
  const peaks: number[] = [];
  for (const parties of [4, 16, 64]) {
    const peakMiB = await gatewayPeak(parties);
    peaks.push(peakMiB);
    context.report('64x100k', `gateway_peak_rss_${parties}_parties`, peakMiB, 'MiB');
  }
  context.report('64x100k', 'gateway_rss_growth', (peaks.at(-1) ?? 0) / (peaks[0] ?? 1), '');
}

async function gatewayPeak(parties: number): Promise<number> {
  const url = new URL(`./secure-sum-gateway${ownExtension}`, import.meta.url);
  return await new Promise((resolve, reject) => {
    const child = fork(url, [`${parties}`]);
    child.once('message', (message) => resolve((message as { peakMiB: number }).peakMiB));
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
