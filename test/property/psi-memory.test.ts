/** What a match leaves to the garbage collector: V8 lets it lie, the more the longer a run takes. */
import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { releaseBytes } from '../../protocols/common/bytes.ts';
import type { PsiEngine } from '../../protocols/psi/blind.ts';
import { prepareSet } from '../../protocols/psi/blinded-set.ts';
import type { PsiChannel } from '../../protocols/psi/exchange.ts';
import { HELLO } from '../../protocols/psi/messages.ts';
import type { PsiMode, PsiParams } from '../../protocols/psi/params.ts';
import { runReceiver } from '../../protocols/psi/receiver.ts';
import { runSender } from '../../protocols/psi/sender.ts';
import { linkedChannels, machine, PARAMS } from '../fixtures/psi.ts';

const ITEMS = 2 ** 16;
const CHUNK_ITEMS = 4096;
/** A view has more than a hundred bytes, and half of the items are one party's. */
const BYTES_AN_ITEM_MAX = 40;
const MODES = ['cardinality', 'intersection', 'sum'] as const;

/** Instead of the curve, whose own garbage is not of this: blinds commute here too. */
const ENGINE: PsiEngine = {
  parallel: 2,
  blind: async (elements, secret) => masked(elements, 37, 1, 32, secret),
  async evaluate(points, secret) {
    const evaluated = masked(points, 32, 0, 16, secret);
    // A thread takes them away.
    releaseBytes(points);
    return evaluated;
  },
};

/** A part of each record, its bytes ⊕ the secret's. */
function masked(
  records: Uint8Array,
  recordBytes: number,
  from: number,
  length: number,
  secret: Uint8Array,
): Uint8Array {
  const out = new Uint8Array((records.length / recordBytes) * length);
  for (let to = 0, at = from; to < out.length; to += length, at += recordBytes) {
    for (let i = 0; i < length; i++) out[to + i] = (records[at + i] ?? 0) ^ (secret[i] ?? 0);
  }
  return out;
}

/** Digests that look random, in pieces. */
function digestPieces(): Uint8Array[] {
  return Array.from({ length: ITEMS / CHUNK_ITEMS }, (_, index) => {
    const piece = new Uint8Array(CHUNK_ITEMS * 32);
    for (let i = 0; i < CHUNK_ITEMS; i++) {
      let state = index * CHUNK_ITEMS + i + 1;
      for (let k = 0; k < 32; k++) {
        state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
        piece[i * 32 + k] = state >>> 24;
      }
    }
    return piece;
  });
}

async function* each(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

interface Left {
  /** What went through: digests, messages as they were sent and as they were received. */
  readonly used: readonly Uint8Array[];
  /** Objects made on the way, by both parties. */
  readonly bytesAnItem: number;
}

async function match(mode: PsiMode): Promise<Left> {
  const params: PsiParams = { ...PARAMS, mode, chunkItems: CHUNK_ITEMS, revealedMax: 1 };
  const own = machine(ENGINE);
  // All of them are shared: what a match of two items leaves is counted too.
  const [left, right] = [digestPieces(), digestPieces()];
  const used = [...left, ...right];
  const noted = (channel: PsiChannel): PsiChannel => ({
    send: (kind, payload) => {
      if (kind !== HELLO) used.push(payload);
      return channel.send(kind, payload);
    },
    receive: async (kind) => {
      const message = await channel.receive(kind);
      if (kind !== HELLO) used.push(message);
      return message;
    },
  });
  const ends = linkedChannels();
  const before = getHeapStatistics().total_allocated_bytes;
  const served = await prepareSet(params, own, each(left));
  const asked = await prepareSet(params, own, each(right));
  const [{ shared }] = await Promise.all([
    runReceiver(noted(ends.receiver), params, own, asked),
    runSender(noted(ends.sender), params, own, served),
  ]);
  const bytesAnItem = (getHeapStatistics().total_allocated_bytes - before) / (2 * ITEMS);
  expect(shared).toBe(ITEMS);
  await served.close();
  await asked.close();
  return { used, bytesAnItem };
}

describe('a match leaves the collector', () => {
  it.each(MODES)('no object an item: %s', async (mode) => {
    // Code that is not compiled yet makes objects of numbers.
    await match(mode);
    await match(mode);
    const { bytesAnItem } = await match(mode);
    expect(bytesAnItem).toBeLessThan(BYTES_AN_ITEM_MAX);
  });

  it.each(MODES)('no array of what it has used: %s', async (mode) => {
    const { used } = await match(mode);
    // Digests of both, points and answers, each sent and received.
    expect(used).toHaveLength((ITEMS / CHUNK_ITEMS) * (2 + 4 + 2));
    expect(used.filter(({ buffer }) => !(buffer as ArrayBuffer).detached)).toEqual([]);
  });
});
