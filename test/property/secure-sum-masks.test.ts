import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import type { Ring } from '../../protocols/common/rings.ts';
import { addBodies } from '../../protocols/secure-sum/aggregator.ts';
import { pairSecrets, roundKeys, sessionKeys } from '../../protocols/secure-sum/keys.ts';
import {
  blockCount,
  blockRange,
  bodyBytes,
  countsLayout,
  measuresLayout,
  PARTIES_MAX,
  sections,
} from '../../protocols/secure-sum/params.ts';
import {
  maskCounts,
  maskMeasures,
  openCounts,
  type OpenedCounts,
} from '../../protocols/secure-sum/party.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import { FIXED_CASE, prepare, runAll, seededRandom, testPool } from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());

/** The keys of every party of a run, drawn from a seed. */
function partiesOf(count: number, seed: number) {
  const random = seededRandom(`masks ${seed}`);
  const secrets = Array.from({ length: count }, () => random.bytes(32));
  const parties = secrets.map((secret, index) => ({
    id: `p${index}`,
    ephemeralKey: nativePrimitives.x25519.publicKey(secret),
  }));
  const common = {
    parties,
    descriptorHash: random.bytes(32),
    seed: random.bytes(32),
    graphSeed: undefined,
  };
  return secrets.map((ephemeralSecret, selfIndex) => ({ ...common, selfIndex, ephemeralSecret }));
}

/** Largest deviation of a bit from being set half the time, in standard deviations. */
function worstBit(bytes: Uint8Array, laneSize: number, bits: number): number {
  const lanes = bytes.length / laneSize;
  const ones = new Float64Array(bits);
  for (let lane = 0; lane < lanes; lane++) {
    for (let bit = 0; bit < bits; bit++) {
      const byte = bytes[lane * laneSize + (bit >> 3)] ?? 0;
      ones[bit] = (ones[bit] ?? 0) + ((byte >> (bit & 7)) & 1);
    }
  }
  return Math.max(...ones.map((count) => Math.abs(count - lanes / 2) / Math.sqrt(lanes / 4)));
}

/** Chi-square of byte values at one place of every lane: 255 degrees of freedom. */
function chiSquare(bytes: Uint8Array, laneSize: number, place: number): number {
  const seen = new Float64Array(256);
  for (let at = place; at < bytes.length; at += laneSize) seen[bytes[at] ?? 0]! += 1;
  const expected = bytes.length / laneSize / 256;
  return seen.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Far beyond chance for either statistic, at the number of places looked at. */
const BIT_LIMIT = 6;
const CHI_LIMIT = 255 + 6 * Math.sqrt(2 * 255);

describe('masked words', () => {
  const cells = 20_000;
  const significantBits: Record<Ring, number> = { mod64: 64, mod128: 128, field61: 61 };

  it('are uniform in every vector of both rounds, however plain the values', () => {
    const [party] = partiesOf(3, 1);
    const counts = countsLayout(cells, 2);
    const measures = measuresLayout(cells, [true]);
    const keys = sessionKeys(nativePrimitives, party!, counts, measures);
    const zeros = new Uint8Array(cells * 8);
    const ones = new Uint8Array(cells).fill(1);
    const first = maskCounts(
      nativePrimitives,
      { layout: counts, block: 0, keys: keys.counts },
      [zeros, zeros],
      keys.factors,
    );
    const second = new Uint8Array(bodyBytes(measures, 0));
    maskMeasures(nativePrimitives, { layout: measures, block: 0, keys: keys.measures }, second, [
      ones,
      ones,
      ones,
      ones,
    ]);
    for (const [layout, body] of [
      [counts, first],
      [measures, second],
    ] as const) {
      for (const { ring, offset, length } of sections(layout, 0)) {
        const lanes = body.subarray(offset, offset + length);
        const laneSize = length / cells;
        expect(worstBit(lanes, laneSize, significantBits[ring])).toBeLessThan(BIT_LIMIT);
        const places = Math.floor(significantBits[ring] / 8);
        for (let place = 0; place < places; place++) {
          expect(chiSquare(lanes, laneSize, place)).toBeLessThan(CHI_LIMIT);
        }
      }
    }
  });

  it('control: lanes without a mask, or with one mask for all, fail the same test', () => {
    const plain = new Uint8Array(cells * 8);
    expect(worstBit(plain, 8, 64)).toBeGreaterThan(BIT_LIMIT);
    const constant = Uint8Array.from(plain, (_, at) => [17, 3, 250, 9, 77, 1, 128, 64][at % 8]!);
    expect(chiSquare(constant, 8, 0)).toBeGreaterThan(CHI_LIMIT);
  });

  it('never repeat between vectors, rounds, parties or runs', () => {
    const seen = new Set<string>();
    let words = 0;
    for (const seed of [1, 2]) {
      for (const party of partiesOf(3, seed)) {
        for (const layout of [countsLayout(200, 2), measuresLayout(200, [false])]) {
          const keys = roundKeys(
            noblePrimitives,
            party.descriptorHash,
            layout,
            pairSecrets(noblePrimitives, party),
          );
          for (const [vector, masks] of keys.entries()) {
            // One stream serves exactly two parties: the one that adds it and the one that takes it off.
            for (const { sign, key } of masks) {
              const stream = noblePrimitives.stream.open(key, 0).next(64);
              seen.add(`${sign} ${Buffer.from(stream).toString('hex')}`);
              words++;
            }
            expect(masks.length, `vector ${vector}`).toBe(2);
          }
        }
      }
    }
    expect(seen.size).toBe(words);
  });

  it('a vector without a mask is refused rather than sent in the clear', () => {
    const layout = measuresLayout(1, []);
    const task = { layout, block: 0, keys: [[]] };
    const send = () => maskMeasures(noblePrimitives, task, new Uint8Array(8), [Uint8Array.of(1)]);
    expect(send).toThrow(expect.objectContaining({ code: 'parameter-invalid' }));
  });
});

describe('masks cancel', () => {
  it('in every ring, over several blocks, for 2 to 6 parties; natively as by noble', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 6 }), fc.nat(), (count, seed) => {
        // Wide cells make blocks of few cells, so that a small vector spans several.
        const layout = measuresLayout(70_000, [true]);
        expect(blockCount(layout)).toBeGreaterThan(1);
        const block = blockCount(layout) - 1;
        const { start, end } = blockRange(layout, block);
        const random = seededRandom(`values ${seed}`);
        const ones = new Uint8Array(end - start).fill(1);
        const values = Array.from({ length: count }, () => random.bytes(bodyBytes(layout, block)));
        const bodies = partiesOf(count, seed).map((party, index) => {
          const primitives = index % 2 === 0 ? nativePrimitives : noblePrimitives;
          const keys = sessionKeys(primitives, party, countsLayout(1, 1), layout);
          const task = { layout, block, keys: keys.measures };
          const body = values[index]!.slice();
          maskMeasures(primitives, task, body, [ones, ones, ones, ones]);
          return body;
        });
        const total = bodies[0]!.slice();
        addBodies(nativePrimitives, layout, block, total, bodies.slice(1));
        const expected = values[0]!.slice();
        addBodies(noblePrimitives, layout, block, expected, values.slice(1));
        expect(Buffer.compare(total, expected)).toBe(0);
      }),
      { numRuns: 3 },
    );
  });

  it('of field elements alone: a lane beyond the field is added by nobody, nor a count beyond 2^53', () => {
    const layout = countsLayout(6, 1);
    const sound = new Uint8Array(bodyBytes(layout, 0));
    const beyond = sound.slice().fill(255, 0, 8);
    const outOfRange = expect.objectContaining({ code: 'value-out-of-range' });
    const add = (total: Uint8Array, body: Uint8Array) => () =>
      addBodies(noblePrimitives, layout, 0, total.slice(), [body]);
    expect(add(sound, beyond)).toThrow(outOfRange);
    expect(add(beyond, sound)).toThrow(outOfRange);
    expect(add(sound, sound)).not.toThrow();
    const [party] = partiesOf(3, 1);
    const keys = sessionKeys(noblePrimitives, party!, layout, measuresLayout(6, []));
    const mask = (count: bigint) => () => {
      const lanes = new Uint8Array(new BigUint64Array(6).fill(count).buffer);
      maskCounts(noblePrimitives, { layout, block: 0, keys: keys.counts }, [lanes], keys.factors);
    };
    expect(mask(2n ** 53n - 1n)).not.toThrow();
    expect(mask(2n ** 53n)).toThrow(outOfRange);
  });

  it('and the opened counts are the sums, with a holder counted where it has a row', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat({ max: 5 }), { minLength: 6, maxLength: 6 }), {
          minLength: 3,
          maxLength: 5,
        }),
        fc.nat(),
        (parts, seed) => {
          const layout = countsLayout(6, 1);
          const sessions = partiesOf(parts.length, seed).map((party) =>
            sessionKeys(noblePrimitives, party, layout, measuresLayout(6, [])),
          );
          const bodies = sessions.map((keys, index) => {
            const lanes = new Uint8Array(new BigUint64Array(parts[index]!.map(BigInt)).buffer);
            const task = { layout, block: 0, keys: keys.counts };
            return maskCounts(noblePrimitives, task, [lanes], keys.factors);
          });
          const total = bodies[0]!.slice();
          addBodies(noblePrimitives, layout, 0, total, bodies.slice(1));
          for (const keys of sessions) {
            const task = { layout, block: 0, keys: keys.open };
            const open = (max: number, parties = parts.length) =>
              openCounts(noblePrimitives, task, total, keys.factors, max, parties);
            const [opened] = open(1000);
            const sums = Array.from({ length: 6 }, (_, cell) =>
              parts.reduce((sum, part) => sum + part[cell]!, 0),
            );
            expect([...opened!.counts]).toEqual(sums);
            expect([...opened!.contributors]).toEqual(
              Array.from(
                { length: 6 },
                (_, cell) => parts.filter((part) => part[cell]! > 0).length,
              ),
            );
            const most = Math.max(...sums);
            if (most === 0) continue;
            const holders = Math.max(...opened!.contributors);
            for (const beyond of [() => open(most - 1), () => open(1000, holders - 1)]) {
              expect(beyond).toThrow(expect.objectContaining({ code: 'value-out-of-range' }));
            }
          }
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('opened counts', () => {
  it('have no more contributors than rows, whatever a holder brought', () => {
    const layout = countsLayout(1, 1);
    const sessions = partiesOf(3, 9).map((party) =>
      sessionKeys(noblePrimitives, party, layout, measuresLayout(1, [])),
    );
    const p = 2n ** 61n - 1n;
    /** Opens where holders count 2, 0 and 0 rows, and one adds `more` rows of nobody, with their tag. */
    const open = (more: bigint) => (): readonly OpenedCounts[] => {
      const [total, ...others] = sessions.map((keys, index) => {
        const lanes = new Uint8Array(new BigUint64Array([index === 0 ? 2n : 0n]).buffer);
        const task = { layout, block: 0, keys: keys.counts };
        return maskCounts(noblePrimitives, task, [lanes], keys.factors);
      });
      addBodies(noblePrimitives, layout, 0, total!, others);
      const keys = sessions[0]!;
      const factor = new DataView(keys.factors[0]!.buffer, keys.factors[0]!.byteOffset);
      const tag = (factor.getBigUint64(0, true) * ((more + p) % p)) % p;
      const added = new Uint8Array(bodyBytes(layout, 0));
      const [counts, , tags] = sections(layout, 0);
      new DataView(added.buffer).setBigUint64(counts!.offset, (more + p) % p, true);
      new DataView(added.buffer).setBigUint64(tags!.offset, tag, true);
      addBodies(noblePrimitives, layout, 0, total!, [added]);
      const task = { layout, block: 0, keys: keys.open };
      return openCounts(noblePrimitives, task, total!, keys.factors, 1000, 3);
    };
    for (const more of [0n, -1n]) {
      const [opened] = open(more)();
      expect([...opened!.counts]).toEqual([2 + Number(more)]);
      expect([...opened!.contributors]).toEqual([1]);
    }
    expect(open(-2n)).toThrow(expect.objectContaining({ code: 'value-out-of-range' }));
  });
});

describe('parties', () => {
  const [party] = partiesOf(3, 5);
  const secretsWith = (change: object) => () =>
    pairSecrets(noblePrimitives, { ...party!, ...change });
  it('refuses a list that is too long, too short, repeats a key, or lists another key for itself', () => {
    const [first, second] = party!.parties;
    expect(secretsWith({ parties: [first] })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    expect(secretsWith({ parties: [first, second, second] })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    const shared = { id: 'third', ephemeralKey: second!.ephemeralKey };
    expect(secretsWith({ parties: [first, second, shared] })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    expect(secretsWith({ selfIndex: 1 })).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    const many = Array.from({ length: PARTIES_MAX + 1 }, (_, index) => ({
      id: `p${index}`,
      ephemeralKey: new Uint8Array(32).fill(index).fill(1 + (index >> 8), 31),
    }));
    expect(secretsWith({ parties: many })).toThrow(
      expect.objectContaining({ code: 'set-too-large' }),
    );
    const low = { id: 'low', ephemeralKey: new Uint8Array(32) };
    expect(secretsWith({ parties: [first, second, low] })).toThrow(
      expect.objectContaining({ code: 'point-invalid' }),
    );
  });
});

describe('a whole transcript', () => {
  const bySender = (frames: readonly { from: string; kind: string; payload: Uint8Array }[]) =>
    frames
      .map(({ from, kind, payload }) => `${from} ${kind} ${Buffer.from(payload).toString('hex')}`)
      .toSorted();

  it('replays byte for byte from its randomness, and shares nothing with that of another seed', async () => {
    const play = async (seed: number) => {
      const run = { ...FIXED_CASE, seed };
      const { release, network } = await runAll(run, prepare(run), pool);
      if (release.status !== 'fulfilled') throw release.reason;
      return { rows: release.value.rows, frames: bySender(network.transcript) };
    };
    const [first, again, other] = [await play(7), await play(7), await play(8)];
    expect(again).toEqual(first);
    expect(other.rows).toEqual(first.rows);
    expect(other.frames.filter((frame) => first.frames.includes(frame))).toEqual([]);
  });

  it('has the messages the README numbers, and no other', async () => {
    const { network } = await runAll(FIXED_CASE, prepare(FIXED_CASE), pool);
    const kinds = new Set(network.transcript.map(({ kind }) => kind));
    const relayed = [KINDS.counts, KINDS.totals, KINDS.map, KINDS.maps, KINDS.measures];
    expect(kinds).toEqual(new Set(relayed));
  });
});
