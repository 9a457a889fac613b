import { describe, expect, it } from 'vitest';
import { prepareSet } from '../../protocols/psi/blinded-set.ts';
import type { PsiParams } from '../../protocols/psi/params.ts';
import { PARAMS, digestsOf, machine, runPsi, type PsiFrame } from '../fixtures/psi.ts';

const ITEMS = Array.from({ length: 16 }, (_, i) => `item ${i}`);
const RUNS = 200;

const payloads = (frames: readonly PsiFrame[], from: string, kind: string, recordBytes: number) =>
  frames
    .filter((frame) => frame.from === from && frame.kind === kind)
    .flatMap((frame) => {
      const bytes = Buffer.from(frame.payload.subarray(8));
      return Array.from({ length: bytes.length / recordBytes }, (_, i) =>
        bytes.subarray(i * recordBytes, (i + 1) * recordBytes).toString('hex'),
      );
    });

/** χ² of counts against a uniform expectation. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe('what leaves a party', () => {
  it('never repeats: another run over the same set shares no point and no answer', async () => {
    const params: PsiParams = { ...PARAMS, mode: 'cardinality' };
    const runs = await Promise.all([0, 1, 2].map(() => runPsi(params, ITEMS, ITEMS)));
    const seen = runs.flatMap(({ frames }) => [
      ...payloads(frames, 'sender', 'psi.points', 32),
      ...payloads(frames, 'receiver', 'psi.points', 32),
      ...payloads(frames, 'sender', 'psi.evaluated', 16),
    ]);
    expect(seen).toHaveLength(3 * 3 * 16);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('comes in an order that tells nothing: each row lands at each place equally often', async () => {
    const places = ITEMS.map(() => 0);
    for (let run = 0; run < RUNS; run++) {
      const set = await prepareSet(PARAMS, machine(), digestsOf(ITEMS));
      let place = 0;
      for await (const records of set.points.sorted()) {
        const view = new DataView(records.buffer, records.byteOffset);
        for (let at = 32; at < records.length; at += 36, place++) {
          if (view.getUint32(at, true) === 3) places[place] = (places[place] ?? 0) + 1;
        }
      }
      await set.close();
    }
    expect(places.reduce((sum, count) => sum + count, 0)).toBe(RUNS);
    // 15 degrees of freedom: beyond 50 once in 80,000 runs; a fixed place gives 3,000.
    expect(chiSquare(places)).toBeLessThan(50);
    expect(chiSquare([RUNS, ...Array<number>(15).fill(0)])).toBeGreaterThan(2000);
  });

  it('in a cardinality run answers in its own order, not in that of the points it answers', async () => {
    let same = 0;
    for (let run = 0; run < 20; run++) {
      const { frames } = await runPsi(PARAMS, ITEMS, ITEMS);
      const answers = payloads(frames, 'sender', 'psi.evaluated', 16);
      expect(answers).toEqual(answers.toSorted());
      const inPlace = await runPsi({ ...PARAMS, mode: 'intersection' }, ITEMS, ITEMS);
      const direct = payloads(inPlace.frames, 'sender', 'psi.evaluated', 16);
      same += direct.every((answer, i) => answer === direct.toSorted()[i]) ? 1 : 0;
    }
    // The control: by arrival the answers are practically never sorted.
    expect(same).toBe(0);
  });

  it('uses a fresh blinding secret each run, and forgets it', async () => {
    const sets = await Promise.all(
      [0, 1].map(() => prepareSet(PARAMS, machine(), digestsOf(ITEMS))),
    );
    const secrets = sets.map((set) => set.secret.slice());
    expect(secrets[0]).not.toEqual(secrets[1]);
    for (const secret of secrets) {
      expect(secret[0]! & 7).toBe(0);
      expect(secret[31]! >> 6).toBe(1);
    }
    await Promise.all(sets.map((set) => set.close()));
    for (const set of sets) expect(set.secret).toEqual(new Uint8Array(32));
  });

  it('is determined by its randomness alone: a run replays byte for byte', async () => {
    const replay = async (): Promise<string[]> => {
      let next = 0;
      const randomBytes = (count: number): Uint8Array =>
        Uint8Array.from({ length: count }, () => (next = (next * 1103515245 + 12345) >>> 0) >> 16);
      const set = await prepareSet(
        PARAMS,
        { ...machine(), randomBytes },
        digestsOf(['a', 'b', 'c']),
      );
      const out: string[] = [];
      for await (const records of set.points.sorted())
        out.push(Buffer.from(records).toString('hex'));
      await set.close();
      return out;
    };
    expect(await replay()).toEqual(await replay());
  });
});
