/**
 * The anchor: the number and hash of the last spend, in a small file that no backup contains. A
 * database restored from a backup is behind it, and is noticed.
 *
 * Two slots are written in turn and in place, one sync each: a torn write leaves the other slot,
 * one spend behind, and that spend was not acknowledged yet.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CapacityError } from '../errors.ts';
import { syncDirectory } from '../system/atomic-file.ts';
import { HashSchema } from '../system/ids.ts';
import type { Hash } from '../system/ids.ts';

const SLOT_BYTES = 256;

/** Where a chain of spends stands. */
export interface SpendHead {
  readonly seq: number;
  readonly hash: Hash;
}

export interface Anchor {
  /** What was written last, or undefined where the file is new or holds nothing valid. */
  read(): Promise<SpendHead | undefined>;
  /** Resolves once it is on disk. @throws CapacityError `store-unavailable` */
  write(head: SpendHead): Promise<void>;
  close(): Promise<void>;
}

/** Opens or creates the file, mode 0600. @throws CapacityError `store-unavailable` */
export async function openAnchor(path: string): Promise<Anchor> {
  const file = await guarded(async () => {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    await syncDirectory(dirname(path));
    return handle;
  });
  return {
    read: () => guarded(() => readSlots(file)),
    write: (head) =>
      guarded(async () => {
        await file.write(encodeSlot(head), 0, SLOT_BYTES, (head.seq % 2) * SLOT_BYTES);
        await file.datasync();
      }),
    close: () => file.close(),
  };
}

async function readSlots(file: FileHandle): Promise<SpendHead | undefined> {
  const bytes = Buffer.alloc(2 * SLOT_BYTES);
  await file.read(bytes, 0, bytes.length, 0);
  const slots = [bytes.subarray(0, SLOT_BYTES), bytes.subarray(SLOT_BYTES)].map(parseSlot);
  return slots.reduce((best, slot) =>
    slot !== undefined && slot.seq >= (best?.seq ?? 0) ? slot : best,
  );
}

function encodeSlot(head: SpendHead): Uint8Array {
  const text = `weir-anchor/1 ${head.seq} ${head.hash}`;
  const slot = Buffer.alloc(SLOT_BYTES, ' ');
  slot.write(`${text} ${checksum(text)}\n`);
  return slot;
}

function parseSlot(slot: Uint8Array): SpendHead | undefined {
  const found = /^(weir-anchor\/1 (\d{1,15}) ([0-9a-f]{64})) ([0-9a-f]{64})\n/.exec(
    Buffer.from(slot).toString('latin1'),
  );
  const [, text = '', seq = '', hash = '', sum = ''] = found ?? [];
  if (found === null || checksum(text) !== sum) return undefined;
  return { seq: Number(seq), hash: HashSchema.parse(hash) };
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function guarded<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw new CapacityError(
      'store-unavailable',
      'The anchor of the domain’s counters cannot be read or written.',
      { remedy: 'See that the disk is not full and the file belongs to the domain.' },
      { cause: error },
    );
  }
}
