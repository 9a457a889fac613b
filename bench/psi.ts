/**
 * PSI by ECDH: the heavy steps on one core, a whole cardinality run beside psi.js, and two parties
 * in processes of their own, whose memory must not grow with their sets.
 */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { CurvePrimitive } from '../protocols/common/primitives.ts';
import { blindElements, blindingSecret, evaluatePoints } from '../protocols/psi/blind.ts';
import { ELEMENT_BYTES } from '../protocols/psi/element.ts';
import { CHUNK_ITEMS, POINT_BYTES } from '../protocols/psi/params.ts';
import { loadSodium, nativeCurve, openCurve } from '../workers/native-curve.ts';
import { runPeer } from './peer.ts';
import { groupCosts } from './psi-groups.ts';
import type { PartyReport } from './psi-party.ts';
import { ownSetCase } from './psi-own-set.ts';
import { okvsFailures, voleCases } from './psi-vole.ts';
import { unbalancedCase } from './psi-unbalanced.ts';
import { gatewayMatches } from './psi-match-gateway.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const STEP_ITEMS = 2 ** 14;
const STEP_REPETITIONS = 5;
const PEER_ITEMS = 10_000;
const PEER_ROUNDS = 3;
const FLAT_ITEMS = [2 ** 17, 2 ** 20] as const;
const LARGE_ITEMS = 10_000_000;
const MIB = 2 ** 20;

const execute = promisify(execFile);
const Ran = z.strictObject({ shared: z.int(), cpuMs: z.number(), wallMs: z.number() });

export const psiSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('ecdh 2^14')) steps(context, 'ecdh 2^14');
    if (context.wants('ecdh 10k')) await besidePsiJs(context, 'ecdh 10k');
    okvsFailures(context);
    await groupCosts(context);
    await voleCases(context);
    await gatewayMatches(context);
    await unbalancedCase(context);
    await ownSetCase(context);
    if (context.wants('flat')) await flat(context, 'flat');
    if (context.large && context.wants('ecdh 10M')) {
      reportParties(context, 'ecdh 10M', LARGE_ITEMS, await twoParties(LARGE_ITEMS));
    }
  },
};

/** One item: hashed and blinded by its party, checked and blinded again by the other. */
function steps(context: BenchContext, name: string): void {
  const { blindS, evaluateS } = stepCosts(nativeCurve);
  context.report(name, 'items_per_s_core', 1 / (blindS + evaluateS), '1/s');
  context.report(name, 'hash_blind_us', blindS * 1e6, 'us');
  context.report(name, 'check_reblind_us', evaluateS * 1e6, 'us');
  // What machines without the vector kernel have.
  const plain = stepCosts(openCurve(loadSodium()));
  context.report(
    name,
    'items_per_s_core without vectors',
    1 / (plain.blindS + plain.evaluateS),
    '1/s',
  );
}

/** CPU seconds an item. */
function stepCosts(curve: CurvePrimitive): { blindS: number; evaluateS: number } {
  const elements = new Uint8Array(randomBytes(STEP_ITEMS * ELEMENT_BYTES));
  const [own, peer] = [randomBytes(32), randomBytes(32)].map((bytes) => blindingSecret(bytes));
  if (own === undefined || peer === undefined) throw new Error('unreachable');
  const once = (): { blindS: number; evaluateS: number } => {
    let [blindS, evaluateS] = [0, 0];
    for (let first = 0; first < STEP_ITEMS; first += CHUNK_ITEMS) {
      const part = elements.subarray(first * ELEMENT_BYTES, (first + CHUNK_ITEMS) * ELEMENT_BYTES);
      const start = cpuSeconds();
      const points = blindElements(curve, part, own);
      const middle = cpuSeconds();
      evaluatePoints(curve, points.subarray(0, CHUNK_ITEMS * POINT_BYTES), peer);
      blindS += middle - start;
      evaluateS += cpuSeconds() - middle;
    }
    return { blindS, evaluateS };
  };
  once();
  const all = Array.from({ length: STEP_REPETITIONS }, once);
  return {
    blindS: median(all.map((each) => each.blindS)) / STEP_ITEMS,
    evaluateS: median(all.map((each) => each.evaluateS)) / STEP_ITEMS,
  };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** CPU time on both sides, so that what else runs on the machine does not count. */
async function besidePsiJs(context: BenchContext, name: string): Promise<void> {
  const shared = PEER_ITEMS / 2;
  const ours: z.infer<typeof Ran>[] = [];
  const theirs: z.infer<typeof Ran>[] = [];
  for (let round = 0; round < PEER_ROUNDS; round++) {
    ours.push(await pinnedRun());
    theirs.push(Ran.parse(await runPeer('psi-js', [String(PEER_ITEMS)])));
  }
  if ([...ours, ...theirs].some((ran) => ran.shared !== shared)) {
    throw new Error(`${shared} items are shared, and someone counted otherwise`);
  }
  const [us, them] = [ours, theirs].map((runs) => median(runs.map((ran) => ran.cpuMs)));
  context.report(name, 'ratio_to_psi_js', (them ?? 0) / (us ?? 1), '');
  context.report(name, 'cpu_ms', us ?? 0, 'ms');
  context.report(name, 'psi_js_cpu_ms', them ?? 0, 'ms');
}

/** Both roles in one process on one core, where the system can pin. */
async function pinnedRun(): Promise<z.infer<typeof Ran>> {
  const command = [process.execPath, partyFile(), 'both', String(PEER_ITEMS)];
  let stdout: string;
  try {
    ({ stdout } = await execute('taskset', ['-c', '0', ...command]));
  } catch {
    ({ stdout } = await execute(command[0] ?? '', command.slice(1)));
  }
  return Ran.parse(JSON.parse(stdout));
}

async function flat(context: BenchContext, name: string): Promise<void> {
  const peaks: number[][] = [];
  for (const items of FLAT_ITEMS) {
    const reports = await twoParties(items);
    reportParties(context, name, items, reports);
    peaks.push(reports.map((report) => report.peakRssBytes));
  }
  const growth = (party: number): number =>
    ((peaks[1]?.[party] ?? 0) - (peaks[0]?.[party] ?? 0)) / MIB;
  context.report(name, 'rss_growth_sender_mib', growth(0), 'MiB');
  context.report(name, 'rss_growth_receiver_mib', growth(1), 'MiB');
}

function reportParties(
  context: BenchContext,
  name: string,
  items: number,
  reports: readonly PartyReport[],
): void {
  const label = Number.isInteger(Math.log2(items)) ? `2^${Math.log2(items)}` : `${items / 1e6}M`;
  const [sender, receiver] = reports;
  if (sender === undefined || receiver?.shared !== items / 2) throw new Error('a wrong count');
  const bytes = sender.sentBytes + receiver.sentBytes;
  const wallS = Math.max(sender.wallMs, receiver.wallMs) / 1000;
  context.report(name, `wall_s ${label}`, wallS, 's');
  context.report(name, `bytes_per_item ${label}`, bytes / items, 'B');
  context.report(name, `peak_rss_sender_mib ${label}`, sender.peakRssBytes / MIB, 'MiB');
  context.report(name, `peak_rss_receiver_mib ${label}`, receiver.peakRssBytes / MIB, 'MiB');
}

/** Sender and receiver as processes of their own, joined by a socket. */
async function twoParties(items: number): Promise<readonly PartyReport[]> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-psi-'));
  const start = (role: string): ChildProcess =>
    fork(partyFile(), [role, String(items), directory], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  const children = [start('sender'), start('receiver')];
  try {
    return await Promise.all(children.map(reportOf));
  } finally {
    for (const child of children) child.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

function reportOf(child: ChildProcess): Promise<PartyReport> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as PartyReport));
    child.once('exit', (code) => reject(new Error(`a party ended with ${code}`)));
    child.once('error', reject);
  });
}

function partyFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return fileURLToPath(new URL(`./psi-party${extension}`, import.meta.url));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
