/**
 * One party of a match by VOLE as a process, everything on one thread: `sender|receiver ITEMS
 * DIRECTORY` meets the other over loopback and sends a `VoleReport` to its parent.
 */
import { createCipheriv } from 'node:crypto';
import { ELEMENT_BYTES, writeElement } from '../protocols/psi/element.ts';
import { SET_SIZE_MAX } from '../protocols/psi/params.ts';
import { lpnCorrelator } from '../protocols/psi/vole/correlators.ts';
import { PART_ITEMS_MAX } from '../protocols/psi/vole/parts.ts';
import {
  VOLE_CHUNK_ITEMS,
  type ElementSource,
  type VolePsiMachine,
  type VolePsiParams,
} from '../protocols/psi/vole/psi-params.ts';
import { runVolePsiReceiver } from '../protocols/psi/vole/psi-receiver.ts';
import { runVolePsiSender } from '../protocols/psi/vole/psi-sender.ts';
import { fileSpills } from '../src/computations/psi/file-spill.ts';
import { systemRandom } from '../src/system/random.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';
import { meet, socketChannel } from './psi-socket.ts';

/** What a party tells its parent. */
export interface VoleReport {
  readonly shared: number | undefined;
  /** From items in memory to this party's end. */
  readonly wallS: number;
  readonly cpuS: number;
  readonly sentBytes: number;
  readonly peakRssBytes: number;
}

const DIGEST_BYTES = 32;
const PIECE_ITEMS = 65_536;

const PARAMS: VolePsiParams = {
  mode: 'intersection',
  context: new Uint8Array(32),
  padding: 'none',
  duplicates: 'distinct',
  noiseSlots: 0,
  chunkItems: VOLE_CHUNK_ITEMS,
  setSizeMax: SET_SIZE_MAX,
  partItemsMax: PART_ITEMS_MAX,
};

/** Elements `from` and following of a list that both parties know: half of them are shared. */
function elementsOf(from: number, items: number): ElementSource {
  const pieces: Uint8Array[] = [];
  const counter = Buffer.alloc(16);
  counter.writeUInt32BE(from * (DIGEST_BYTES / 16), 12);
  const stream = createCipheriv('aes-256-ctr', Buffer.alloc(32), counter);
  for (let first = 0; first < items; first += PIECE_ITEMS) {
    const count = Math.min(PIECE_ITEMS, items - first);
    const digests = stream.update(new Uint8Array(count * DIGEST_BYTES));
    const piece = new Uint8Array(count * ELEMENT_BYTES);
    for (let i = 0; i < count; i++) {
      const digest = digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES);
      writeElement(piece, i * ELEMENT_BYTES, digest, 0);
    }
    pieces.push(piece);
  }
  return {
    count: items,
    async *pieces() {
      yield* pieces;
    },
  };
}

async function play(role: string, items: number, directory: string): Promise<void> {
  const randomBytes = (count: number): Uint8Array => systemRandom.bytes(count);
  const machine: VolePsiMachine = {
    primitives: nativePrimitives,
    correlator: lpnCorrelator({ primitives: nativePrimitives, randomBytes }),
    openSpill: fileSpills(directory, systemRandom),
    randomBytes,
  };
  const source = elementsOf(role === 'sender' ? 0 : items / 2, items);
  const socket = await meet(role, directory);
  const channel = socketChannel(socket);
  const start = performance.now();
  const cpu = process.cpuUsage();
  const shared =
    role === 'sender'
      ? (await runVolePsiSender(channel, PARAMS, machine, source), undefined)
      : (await runVolePsiReceiver(channel, PARAMS, machine, source)).numbers.length;
  const { user, system } = process.cpuUsage(cpu);
  const report: VoleReport = {
    shared,
    wallS: (performance.now() - start) / 1000,
    cpuS: (user + system) / 1e6,
    sentBytes: socket.bytesWritten,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
  await new Promise((resolve) => process.send?.(report, resolve));
  socket.end();
}

const [role = '', items = '', directory = ''] = process.argv.slice(2);
await play(role, Number(items), directory);
