/**
 * One PSI party as a process: `sender|receiver ITEMS DIRECTORY` meets the other over a socket in
 * the directory and sends a `PartyReport` to its parent; `both ITEMS` plays both roles in place and
 * prints what psi.js' runner prints.
 */
import { inPlaceEngine } from '../protocols/psi/blind.ts';
import { prepareSet, type PsiMachine } from '../protocols/psi/blinded-set.ts';
import type { PsiChannel } from '../protocols/psi/exchange.ts';
import { CHUNK_ITEMS, SET_SIZE_MAX, type PsiParams } from '../protocols/psi/params.ts';
import { runReceiver } from '../protocols/psi/receiver.ts';
import { runSender } from '../protocols/psi/sender.ts';
import { memorySpill } from '../protocols/psi/spill.ts';
import { fileSpills } from '../src/computations/psi/file-spill.ts';
import { poolEngine } from '../src/computations/psi/pool-engine.ts';
import { openPool } from '../src/pool/piscina-pool.ts';
import { systemRandom } from '../src/system/random.ts';
import { nativeCurve } from '../workers/native-curve.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';
import { meet, socketChannel } from './psi-socket.ts';

/** What a party tells its parent. */
export interface PartyReport {
  readonly shared: number | undefined;
  readonly wallMs: number;
  readonly sentBytes: number;
  readonly peakRssBytes: number;
}

/** Two threads a party: both cores stay busy when one side waits for the other. */
const THREADS = 2;
const DIGESTS_A_PIECE = 4096;
const NO_PREFIX = new Uint8Array(0);

const PARAMS: PsiParams = {
  mode: 'cardinality',
  context: new Uint8Array(32),
  // As many items as asked for, so that psi.js answers the same question.
  padding: 'none',
  duplicates: 'multiplicity',
  noiseSlots: 0,
  chunkItems: CHUNK_ITEMS,
  setSizeMax: SET_SIZE_MAX,
};

/**
 * The items `from`, `from + 1` …: their numbers' digests. A piece at a time, since a hash an item would
 * fill more memory than the party that is measured.
 */
async function* digests(from: number, items: number): AsyncGenerator<Uint8Array> {
  for (let first = 0; first < items; first += DIGESTS_A_PIECE) {
    const count = Math.min(DIGESTS_A_PIECE, items - first);
    const numbers = Uint32Array.from({ length: count }, (_, i) => from + first + i);
    const ends = Uint32Array.from({ length: count }, (_, i) => (i + 1) * numbers.BYTES_PER_ELEMENT);
    yield nativePrimitives.hash.sha256Each(NO_PREFIX, new Uint8Array(numbers.buffer), ends);
  }
}

async function playBoth(items: number): Promise<void> {
  const machine: PsiMachine = {
    engine: inPlaceEngine(nativeCurve),
    openSpill: memorySpill,
    randomBytes: (count) => systemRandom.bytes(count),
  };
  const [left, right] = memoryChannels();
  const wall = performance.now();
  const cpu = process.cpuUsage();
  const served = await prepareSet(PARAMS, machine, digests(0, items));
  const asked = await prepareSet(PARAMS, machine, digests(items / 2, items));
  const [, { shared }] = await Promise.all([
    runSender(left, PARAMS, machine, served),
    runReceiver(right, PARAMS, machine, asked),
  ]);
  const { user, system } = process.cpuUsage(cpu);
  const wallMs = performance.now() - wall;
  process.stdout.write(`${JSON.stringify({ shared, cpuMs: (user + system) / 1000, wallMs })}\n`);
}

function memoryChannels(): [PsiChannel, PsiChannel] {
  const streams = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()] as const;
  const end = (out: WritableStream<Uint8Array>, into: ReadableStream<Uint8Array>): PsiChannel => {
    const [writer, reader] = [out.getWriter(), into.getReader()];
    return {
      // A copy: the bytes are the sender's again.
      send: (_kind, payload) => writer.write(payload.slice()),
      receive: async () => {
        const { value } = await reader.read();
        if (value === undefined) throw new Error('the other role is gone');
        return value;
      },
    };
  };
  return [
    end(streams[0].writable, streams[1].readable),
    end(streams[1].writable, streams[0].readable),
  ];
}

async function playOne(role: string, items: number, directory: string): Promise<void> {
  // A bench that is ended takes its parties along.
  process.once('disconnect', () => process.exit());
  const pool = openPool({ threadsMax: THREADS });
  const machine: PsiMachine = {
    engine: poolEngine(pool, THREADS),
    openSpill: fileSpills(directory, systemRandom),
    randomBytes: (count) => systemRandom.bytes(count),
  };
  const socket = await meet(role, directory);
  const start = performance.now();
  const channel = socketChannel(socket);
  const set = await prepareSet(PARAMS, machine, digests(role === 'sender' ? 0 : items / 2, items));
  const shared =
    role === 'sender'
      ? (await runSender(channel, PARAMS, machine, set), undefined)
      : (await runReceiver(channel, PARAMS, machine, set)).shared;
  await set.close();
  const report: PartyReport = {
    shared,
    wallMs: performance.now() - start,
    sentBytes: socket.bytesWritten,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
  await new Promise((resolve) => process.send?.(report, resolve));
  await pool.close();
  socket.end();
}

const [role = '', items = '', directory = ''] = process.argv.slice(2);
await (role === 'both' ? playBoth(Number(items)) : playOne(role, Number(items), directory));
