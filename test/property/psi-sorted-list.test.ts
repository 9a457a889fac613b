import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inOrder, matchSorted, regroup } from '../../protocols/psi/flow.ts';
import { PieceLog } from '../../protocols/psi/piece-log.ts';
import { BUFFER_RECORDS, SortedList } from '../../protocols/psi/sorted-list.ts';
import { memorySpill, type Spill } from '../../protocols/psi/spill.ts';

const SHAPE = { recordBytes: 20, keyBytes: 16 };

/** Pseudo-random keys, each with its number behind. */
function records(count: number, keyOf: (i: number) => string = String): Uint8Array {
  const out = new Uint8Array(count * SHAPE.recordBytes);
  for (let i = 0; i < count; i++) {
    out.set(createHash('md5').update(keyOf(i)).digest(), i * SHAPE.recordBytes);
    new DataView(out.buffer).setUint32(i * SHAPE.recordBytes + 16, i);
  }
  return out;
}
function split(bytes: Uint8Array, recordBytes = SHAPE.recordBytes): string[] {
  const out: string[] = [];
  for (let at = 0; at < bytes.length; at += recordBytes) {
    out.push(Buffer.from(bytes.subarray(at, at + recordBytes)).toString('hex'));
  }
  return out;
}
async function gather(list: SortedList): Promise<string[]> {
  const out: string[] = [];
  for await (const slice of list.sorted()) out.push(...split(slice));
  return out;
}
async function* pieces(...all: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

describe('a sorted list', () => {
  it('gives back exactly what it got, sorted and stable, below and above what it buffers', async () => {
    for (const count of [
      0,
      1,
      2,
      1000,
      BUFFER_RECORDS,
      BUFFER_RECORDS + 1,
      3 * BUFFER_RECORDS + 7,
    ]) {
      let spilled = 0;
      let closed = 0;
      const openSpill = async (): Promise<Spill> => {
        const spill = await memorySpill();
        return {
          ...spill,
          append: (bytes) => {
            spilled += bytes.length;
            return spill.append(bytes);
          },
          close: () => {
            closed += 1;
            return spill.close();
          },
        };
      };
      const list = new SortedList(SHAPE, openSpill);
      const all = records(count);
      for (let at = 0; at < all.length; at += 20 * 9999)
        await list.add(all.subarray(at, at + 20 * 9999));
      expect(list.size).toBe(count);
      const expected = split(all).toSorted();
      expect(await gather(list)).toEqual(expected);
      // Reading does not use it up.
      expect(await gather(list)).toEqual(expected);
      const full = Math.max(Math.ceil(count / BUFFER_RECORDS) - 1, 0);
      expect(spilled).toBe(full * BUFFER_RECORDS * SHAPE.recordBytes);
      await list.close();
      expect(closed).toBe(full > 0 ? 1 : 0);
    }
  });

  it('sorts keys that agree in their first bits, or entirely, keeping the order they came in', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(1), fc.nat(2), fc.nat(3)), { maxLength: 200 }),
        async (keys) => {
          const all = new Uint8Array(keys.length * 20);
          keys.forEach(([first, seventh, last], i) => {
            all.set([first, 0, 0, 0, 0, 0, seventh], i * 20);
            all[i * 20 + 15] = last;
            new DataView(all.buffer).setUint32(i * 20 + 16, i);
          });
          const list = new SortedList(SHAPE, memorySpill);
          await list.add(all);
          expect(await gather(list)).toEqual(split(all).toSorted());
        },
      ),
    );
    const list = new SortedList(SHAPE, memorySpill);
    const all = records(100_000, (i) => String(i % 3));
    await list.add(all);
    expect(await gather(list)).toEqual(split(all).toSorted());
  });
});

describe('what is closed while it spills', () => {
  it('leaves nothing open behind, and takes nothing more', async () => {
    let open = 0;
    let goOn = (): void => {};
    const asked = Promise.withResolvers<void>();
    const openSpill = async (): Promise<Spill> => {
      asked.resolve();
      await new Promise<void>((resolve) => (goOn = resolve));
      open += 1;
      const spill = await memorySpill();
      return {
        ...spill,
        close: async () => {
          open -= 1;
        },
      };
    };
    const list = new SortedList({ recordBytes: 1, keyBytes: 1 }, openSpill);
    const adding = list.add(new Uint8Array(BUFFER_RECORDS + 1));
    await asked.promise;
    let isClosed = false;
    const closing = list.close().then(() => (isClosed = true));
    await setImmediate();
    // Who removes its directory after this finds no file in it, and none that comes later.
    expect(isClosed).toBe(false);
    goOn();
    await closing;
    expect(open).toBe(0);
    await expect(adding).rejects.toMatchObject({ code: 'message-unexpected' });
    await expect(list.add(new Uint8Array(1))).rejects.toMatchObject({ code: 'message-unexpected' });
    const log = new PieceLog(openSpill);
    const logging = log.add(new Uint8Array(1));
    await setImmediate();
    const closingLog = log.close();
    goOn();
    await closingLog;
    await expect(logging).rejects.toMatchObject({ code: 'message-unexpected' });
    expect(open).toBe(0);
  });
});

describe('streams', () => {
  it('regroup without losing or adding a byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array()),
        fc.integer({ min: 1, max: 9 }),
        async (all, size) => {
          const out: Uint8Array[] = [];
          for await (const piece of regroup(pieces(...all.map((part) => part.slice())), size)) {
            out.push(piece);
          }
          expect(Buffer.concat(out)).toEqual(Buffer.concat(all));
          expect(out.slice(0, -1).every((piece) => piece.length === size)).toBe(true);
          expect(out.every((piece) => piece.length > 0)).toBe(true);
        },
      ),
    );
  });

  it('work in parallel up to a bound, answer in order, and hand failures on', async () => {
    let running = 0;
    let most = 0;
    const work = async (i: number): Promise<number> => {
      most = Math.max(most, ++running);
      for (let turn = 0; turn <= (i * 7) % 5; turn++) await setImmediate();
      running -= 1;
      if (i === 50) throw new Error('fifty');
      return i;
    };
    const source = async function* (count: number): AsyncGenerator<number> {
      for (let i = 0; i < count; i++) yield i;
    };
    const seen: number[] = [];
    for await (const i of inOrder(source(50), 3, work)) seen.push(i);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(most).toBe(3);
    const failing = async (): Promise<void> => {
      for await (const i of inOrder(source(60), 3, work)) expect(i).toBeLessThan(50);
    };
    await expect(failing()).rejects.toThrow('fifty');
  });

  it('match like sets', async () => {
    const set = fc.uniqueArray(fc.nat(60)).map((all) => all.toSorted((a, b) => a - b));
    await fc.assert(
      fc.asyncProperty(set, set, fc.integer({ min: 1, max: 5 }), async (left, right, size) => {
        const cut = (all: number[]): AsyncIterator<Uint8Array> =>
          regroup(pieces(Uint8Array.from(all)), size);
        const shared: number[] = [];
        await matchSorted(
          { records: cut(left), recordBytes: 1 },
          { records: cut(right), recordBytes: 1 },
          1,
          (piece, at) => shared.push(piece[at] ?? -1),
        );
        expect(shared).toEqual(left.filter((item) => right.includes(item)));
      }),
    );
  });

  it('log pieces in the order they came', async () => {
    const log = new PieceLog(memorySpill);
    for (const size of [3, 0, 5]) await log.add(new Uint8Array(size).fill(size));
    const out: Uint8Array[] = [];
    for await (const piece of log.read()) out.push(piece);
    expect(out.map((piece) => [...piece])).toEqual([[3, 3, 3], [], [5, 5, 5, 5, 5]]);
    await log.close();
  });
});
