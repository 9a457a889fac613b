/** Intersections by VOLE: two processes over loopback, one core each. */
import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BAND_WIDTH, bandShape } from '../protocols/psi/vole/band.ts';
import { nativeOkvs } from '../workers/native-okvs.ts';
import type { VoleReport } from './psi-vole-party.ts';
import type { BenchContext } from './suite.ts';

const MB = 1e6;
/** Encodings are tried for so long at each size and width. */
const FAILURE_MS = 4_000;
const ROUNDS = 3;
/** Sizes, and widths at which some encodings fail and some do not. */
const FAILING = [
  [12, [32, 40, 48]],
  [14, [40, 48, 56]],
  [16, [48, 56, 64]],
  [18, [56, 64]],
] as const;

/**
 * How often the encoding of a set fails at widths far below the one in use: −log2 of the share, and
 * how many failures it was counted from. What the README extrapolates from.
 */
export function okvsFailures(context: BenchContext): void {
  const name = 'okvs failure';
  if (!context.large || !context.wants(name)) return;
  for (const [log, widths] of FAILING) {
    const items = 2 ** log;
    const set = new Uint8Array(items * 4);
    for (let i = 0; i < items; i++) new DataView(set.buffer).setUint32(4 * i, i);
    for (const width of widths) {
      const columns = bandShape(items).columns - BAND_WIDTH + width;
      const table = nativeOkvs.open({ itemsMax: items, elementBytes: 4, columns, width });
      const vector = new Uint8Array(columns * 16);
      let [failed, tried] = [0, 0];
      for (const endMs = performance.now() + FAILURE_MS; performance.now() < endMs; tried++) {
        table.load(new Uint8Array(randomBytes(32)), [set]);
        failed += Number(table.encode(vector) === 'dependent');
      }
      table.close();
      context.report(name, `bits 2^${log} w=${width}`, -Math.log2(failed / tried), '');
      context.report(name, `failed 2^${log} w=${width}`, failed, '');
    }
  }
}

/** @param context - `--large` adds the sets that take more than a few seconds. */
export async function voleCases(context: BenchContext): Promise<void> {
  const sizes = context.large ? [16, 20, 22, 24] : [16, 20];
  for (const log of sizes) {
    const name = `vole 2^${log}`;
    if (!context.wants(name)) continue;
    const runs: (readonly [VoleReport, VoleReport])[] = [];
    for (let round = 0; round < (log > 20 ? 1 : ROUNDS); round++)
      runs.push(await twoParties(2 ** log));
    // The run least disturbed by what else the machine does.
    const best = runs.toSorted(([, a], [, b]) => a.wallS - b.wallS)[0];
    if (best === undefined) throw new Error('unreachable');
    report(context, name, best);
  }
}

function report(
  context: BenchContext,
  name: string,
  [sender, receiver]: readonly [VoleReport, VoleReport],
): void {
  context.report(name, 'wall_s', receiver.wallS, 's');
  context.report(name, 'cpu_s_sender', sender.cpuS, 's');
  context.report(name, 'cpu_s_receiver', receiver.cpuS, 's');
  context.report(name, 'bytes', sender.sentBytes + receiver.sentBytes, 'B');
  const peak = Math.max(sender.peakRssBytes, receiver.peakRssBytes);
  context.report(name, 'rss_mb', peak / MB, 'MB');
}

async function twoParties(items: number): Promise<readonly [VoleReport, VoleReport]> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-vole-'));
  const children = [start('sender', 0), start('receiver', 1)] as const;
  function start(role: string, core: number): ChildProcess {
    const pinned = canPin()
      ? { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath] }
      : {};
    return fork(partyFile(), [role, String(items), directory], {
      ...pinned,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }
  try {
    const [sender, receiver] = await Promise.all([reportOf(children[0]), reportOf(children[1])]);
    if (receiver.shared !== items / 2)
      throw new Error(`${receiver.shared} items are said to be shared`);
    return [sender, receiver];
  } finally {
    for (const child of children) child.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Whether the system can hold a process to one core, and has two. */
function canPin(): boolean {
  try {
    execFileSync('taskset', ['-c', '1', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function reportOf(child: ChildProcess): Promise<VoleReport> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as VoleReport));
    child.once('exit', (code) => reject(new Error(`a party ended with ${code}`)));
    child.once('error', reject);
  });
}

function partyFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return fileURLToPath(new URL(`./psi-vole-party${extension}`, import.meta.url));
}
