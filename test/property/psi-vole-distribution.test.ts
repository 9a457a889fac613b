import { describe, expect, it } from 'vitest';
import type { Primitives } from '../../protocols/common/primitives.ts';
import type { Correlator } from '../../protocols/psi/vole/psi-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import {
  dealer,
  lpn,
  runVole,
  seededBytes,
  texts,
  type VoleOptions,
} from '../fixtures/psi-vole.ts';
import type { PsiFrame } from '../fixtures/psi.ts';

/** What a run's chunks of one kind carry, without their heads. */
function carried(frames: readonly PsiFrame[], kind: string): Buffer {
  return Buffer.concat(
    frames.filter((frame) => frame.kind === kind).map(({ payload }) => payload.subarray(8)),
  );
}

function records(bytes: Buffer, recordBytes: number): string[] {
  return Array.from({ length: bytes.length / recordBytes }, (_, i) =>
    bytes.toString('hex', i * recordBytes, (i + 1) * recordBytes),
  );
}

/** χ² of the bytes against uniform: 255 degrees of freedom, above 400 once in 10^8. */
function byteSpread(bytes: Uint8Array): number {
  const counts = new Float64Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  const expected = bytes.length / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
const UNIFORM = 400;

/** Primitives whose stream gives only zeros: columns left free are zero then. */
const zeroStream: Primitives = {
  ...nativePrimitives,
  stream: { open: () => ({ next: (lengthBytes) => new Uint8Array(lengthBytes) }) },
};

/** A dealer that gives the receiver no mask: A = 0, so C = B. What is sent is the bare vector. */
function unmasked(): Correlator {
  const inner = dealer();
  return {
    ...inner,
    receiver: async (channel, params) => {
      const { b } = await inner.sender(channel, params);
      await inner.receiver(channel, params);
      return { a: new Uint8Array(b.length), c: b.slice() };
    },
  };
}

const outputBytes = 8; // 40 + log2(1000 · 1000) = 59.9 bits

describe('what leaves a party', () => {
  it('looks uniform: the masked vector, and outputs the receiver does not share', async () => {
    const correlators = [lpn(), lpn()] as const;
    const { frames } = await runVole(texts(0, 1000), texts(1000, 2000), { correlators });
    const masked = carried(frames, 'psi.vole-masked');
    expect(masked.length).toBeGreaterThan(16_000);
    expect(byteSpread(masked)).toBeLessThan(UNIFORM);
    // Without the first byte: in ascending order it is spread even more evenly than at random.
    const outputs = carried(frames, 'psi.vole-outputs');
    expect(byteSpread(outputs.filter((_, at) => at % outputBytes > 0))).toBeLessThan(UNIFORM);
  });

  it('control: a spread that is not uniform is seen', () => {
    expect(byteSpread(new TextEncoder().encode(texts(0, 1000).join()))).toBeGreaterThan(10_000);
  });

  it('never repeats: another run over the same sets shares no element and no output', async () => {
    const sets = [texts(0, 300), texts(100, 400)] as const;
    const correlators = [lpn(), lpn()] as const;
    const runs = await Promise.all([0, 1, 2].map(() => runVole(...sets, { correlators })));
    const seen = runs.flatMap(({ frames }) => [
      ...records(carried(frames, 'psi.vole-masked'), 16),
      ...records(carried(frames, 'psi.vole-outputs'), outputBytes),
    ]);
    expect(seen.length).toBeGreaterThan(3 * 800);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('comes in an order that tells nothing of the order of the items', async () => {
    const [sender, receiver] = [texts(0, 200), texts(100, 300)];
    const straight = await runVole(sender, receiver, { seed: 'order' });
    const turned = await runVole(sender.toReversed(), receiver.toReversed(), { seed: 'order' });
    // From the same randomness every byte is the same: nothing else can depend on the order.
    expect(turned.frames).toEqual(straight.frames);
    expect(turned.shared).toEqual(straight.shared.toReversed());
    // 40 + log2(200 · 200) bits. A receiver refuses another order: see the tampering tests.
    const outputs = records(carried(straight.frames, 'psi.vole-outputs'), 7);
    expect(outputs).toEqual(outputs.toSorted());
  });
});

describe('columns that no item needs', () => {
  /** The receiver's bare vector, as sent by a run without masks. */
  const vectorOf = async (machine: VoleOptions['receiverMachine']): Promise<Buffer> => {
    const correlator = unmasked();
    const { frames } = await runVole(texts(0, 1000), texts(0, 1000), {
      correlators: [correlator, correlator],
      ...(machine === undefined ? {} : { receiverMachine: machine }),
    });
    return carried(frames, 'psi.vole-masked');
  };
  const zeros = (vector: Buffer): number =>
    records(vector, 16).filter((record) => record === '0'.repeat(32)).length;

  it('are random: no element of a vector is zero, and none returns in the next', async () => {
    const vectors = [await vectorOf(undefined), await vectorOf(undefined)];
    for (const vector of vectors) {
      expect(zeros(vector)).toBe(0);
      expect(byteSpread(vector)).toBeLessThan(UNIFORM);
    }
    const all = vectors.flatMap((vector) => records(vector, 16));
    expect(new Set(all).size).toBe(all.length);
  });

  it('control: columns left zero are seen', async () => {
    // 1004 items in 1352 columns: more than a fifth are free.
    expect(zeros(await vectorOf({ primitives: zeroStream }))).toBeGreaterThan(250);
  });
});

describe('randomness', () => {
  /** A correlator that remembers the Δ of each part. */
  const remembering = (inner: Correlator, deltas: string[]): Correlator => ({
    ...inner,
    sender: async (channel, params) => {
      const correlation = await inner.sender(channel, params);
      deltas.push(Buffer.from(correlation.delta).toString('hex'));
      return correlation;
    },
  });

  it('Δ is fresh for every run and every part', async () => {
    const deltas: string[] = [];
    const correlators = [remembering(lpn(), deltas), lpn()] as const;
    for (const partItemsMax of [2 ** 20, 100]) {
      await runVole(texts(0, 250), texts(0, 250), { correlators, params: { partItemsMax } });
    }
    expect(deltas).toHaveLength(1 + 3);
    expect(new Set(deltas).size).toBe(4);
  });

  it('control: a Δ that does not change is seen', async () => {
    const deltas: string[] = [];
    for (let run = 0; run < 2; run++) {
      const inner = lpn(seededBytes('worn'));
      const correlators = [remembering(inner, deltas), lpn()] as const;
      await runVole(texts(0, 20), texts(0, 20), { correlators });
    }
    expect(new Set(deltas).size).toBe(1);
  });

  it('Δ and the correlation are wiped once they are used', async () => {
    const held: Uint8Array[] = [];
    const inner = dealer();
    const keeping: Correlator = {
      sender: async (channel, params) => {
        const { delta, b } = await inner.sender(channel, params);
        held.push(delta, b);
        return { delta, b };
      },
      receiver: async (channel, params) => {
        const { a, c } = await inner.receiver(channel, params);
        held.push(a, c);
        return { a, c };
      },
    };
    await runVole(texts(0, 20), texts(0, 20), { correlators: [keeping, keeping] });
    expect(held).toHaveLength(4);
    expect(held.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it('is all there is: a run replays from its seeds, byte by byte', async () => {
    const correlators = () => [lpn(seededBytes('left')), lpn(seededBytes('right'))] as const;
    const run = (seed: string) =>
      runVole(texts(0, 40), texts(20, 60), { seed, correlators: correlators() });
    const [first, second] = [await run('one'), await run('one')];
    expect(second.frames).toEqual(first.frames);
    // Another seed changes every message, the greeting's nonces on.
    const other = await run('two');
    for (const [i, frame] of other.frames.entries()) {
      if (frame.kind === 'psi.vole-start') continue;
      expect(Buffer.from(frame.payload).equals(first.frames[i]?.payload ?? new Uint8Array(0))).toBe(
        false,
      );
    }
  });
});
