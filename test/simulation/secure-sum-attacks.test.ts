import { afterAll, describe, expect, it } from 'vitest';
import { AbortError, WeirError } from '../../src/errors.ts';
import { finalize } from '../../src/computations/secure-sum/finalize.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import { GATEWAY } from '../../src/system/ids.ts';
import { laneBytes } from '../../protocols/common/rings.ts';
import { sections, type Layout } from '../../protocols/secure-sum/params.ts';
import { honestTotal, runEvilGateway, type Strategy } from '../support/evil-gateway.ts';
import {
  memoryNetwork,
  timedOut,
  type MemoryNetwork,
  type Tamper,
} from '../support/memory-network.ts';
import { FIXED_CASE, prepare, runAll, startDomains, testPool } from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());
const prepared = prepare(FIXED_CASE);

interface Attacked {
  readonly codes: readonly (string | undefined)[];
  readonly measuresSent: number;
  readonly outcome: Awaited<ReturnType<typeof runEvilGateway>> | undefined;
}

async function attack(strategy: Strategy): Promise<Attacked> {
  const network = memoryNetwork();
  const started = startDomains(FIXED_CASE, prepared, pool, network);
  const domains = Promise.allSettled(started);
  const gone = started.map((domain) => domain.catch(() => {}));
  const gateway = runEvilGateway(prepared, network.channel(GATEWAY), strategy, gone).catch(
    () => undefined,
  );
  // Every domain ends by itself: it answers, or it aborts. A hang would fail this test.
  await domains;
  const outcome = await Promise.race([gateway, ended(network)]);
  const codes = (await domains).map((domain) =>
    domain.status === 'fulfilled' ? undefined : codeOf(domain.reason),
  );
  const measuresSent = network.transcript.filter((frame) => frame.kind === KINDS.measures).length;
  return { codes, measuresSent, outcome };
}

/** Ends the network after what is under way has been delivered. */
async function ended(network: MemoryNetwork): Promise<undefined> {
  await new Promise((resolve) => setImmediate(resolve));
  network.end(timedOut());
  return undefined;
}

function codeOf(error: unknown): string {
  expect(error).toBeInstanceOf(WeirError);
  return error instanceof WeirError ? error.code : 'untyped';
}

/** Adds one to the first lane of a vector. */
function shifted(total: Uint8Array, layout: Layout, vector: number): Uint8Array {
  const { offset } = sections(layout, 0)[vector]!;
  const view = new DataView(total.buffer, total.byteOffset + offset, 8);
  const p = (1n << 61n) - 1n;
  view.setBigUint64(0, (view.getBigUint64(0, true) + 1n) % p, true);
  view.setBigUint64(0, view.getBigUint64(0), false);
  return total;
}

const flipped = (frame: Uint8Array, at: number): Uint8Array => {
  const out = frame.slice();
  out[at] = (out[at] ?? 0) ^ 1;
  return out;
};

describe('a gateway played by an attacker', () => {
  it('control: the same gateway, honest, gets every party to send and the true totals', async () => {
    const { codes, measuresSent, outcome } = await attack({});
    expect(codes).toEqual([undefined, undefined, undefined]);
    expect(measuresSent).toBe(3);
    const { shape, bodies } = outcome!;
    const total = honestTotal(bodies, shape.measures);
    const vectors = sections(shape.measures, 0).map(({ offset, length }) =>
      total.slice(offset, offset + length),
    );
    const { release } = await runAll(FIXED_CASE, prepared, pool);
    if (release.status !== 'fulfilled') throw release.reason;
    expect(release.value.rows.length).toBeGreaterThan(0);
    expect(await finalize(prepared.contract, shape, vectors)).toEqual(release.value);
  });

  const roundOne: Record<string, Strategy> = {
    'drops a party': { totals: (bodies, _, layout) => honestTotal(bodies.slice(0, 2), layout) },
    'shifts a count': {
      totals: (bodies, _, layout) => shifted(honestTotal(bodies, layout), layout, 0),
    },
    'shifts the number of contributing holders': {
      totals: (bodies, _, layout) => shifted(honestTotal(bodies, layout), layout, 1),
    },
    'shifts a count and guesses its tag': {
      totals: (bodies, _, layout) =>
        shifted(shifted(honestTotal(bodies, layout), layout, 0), layout, 6),
    },
    "shifts a column's count": {
      totals: (bodies, _, layout) => shifted(honestTotal(bodies, layout), layout, 2),
    },
    "replays one party's frame in place of another's": {
      totals: ([a, , c], _, layout) => honestTotal([a!, a!, c!], layout),
    },
    "adds a party's frame twice": {
      totals: ([a, b, c], _, layout) => honestTotal([a!, b!, c!, c!], layout),
    },
    'swaps the counts with their tags': {
      totals(bodies, _, layout) {
        const total = honestTotal(bodies, layout);
        const all = sections(layout, 0);
        const [counts, tags] = [all[0], all.at(-1)];
        const held = total.slice(counts!.offset, counts!.offset + counts!.length);
        total.copyWithin(counts!.offset, tags!.offset, tags!.offset + tags!.length);
        total.set(held, tags!.offset);
        return total;
      },
    },
    'swaps two cells': {
      totals(bodies, _, layout) {
        const total = honestTotal(bodies, layout);
        for (const { ring, offset } of sections(layout, 0)) {
          const width = laneBytes(ring);
          const held = total.slice(offset, offset + width);
          total.copyWithin(offset, offset + width, offset + 2 * width);
          total.set(held, offset + width);
        }
        return total;
      },
    },
    'sends only zeros': { totals: (bodies) => new Uint8Array(bodies[0]!.length) },
  };
  for (const [name, strategy] of Object.entries(roundOne)) {
    it(`${name}: every domain aborts by the tags, and no measure leaves`, async () => {
      const { codes, measuresSent } = await attack(strategy);
      expect(codes).toEqual(['tag-mismatch', 'tag-mismatch', 'tag-mismatch']);
      expect(measuresSent).toBe(0);
    });
  }

  it('sends different sums to different domains: no measure leaves', async () => {
    const { codes, measuresSent } = await attack({
      totals(bodies, party, layout) {
        const total = honestTotal(bodies, layout);
        return party === 1 ? shifted(total, layout, 0) : total;
      },
    });
    expect(codes).toEqual(['transcript-mismatch', 'tag-mismatch', 'transcript-mismatch']);
    expect(measuresSent).toBe(0);
  });

  const statements: Record<string, Strategy> = {
    "puts one party's statement in another's place": { maps: ([a, b]) => [a!, b!, b!] },
    'changes a hash': {
      maps: ([a, b, c]) => [a!, { ...b!, hash: flipped(b!.hash, 0) }, c!],
    },
    'changes a signature': {
      maps: ([a, b, c]) => [a!, b!, { ...c!, signature: flipped(c!.signature, 9) }],
    },
    'leaves a statement out': { maps: ([a, b]) => [a!, b!] },
  };
  for (const [name, strategy] of Object.entries(statements)) {
    it(`${name}: no measure leaves`, async () => {
      const { codes, measuresSent } = await attack(strategy);
      expect(codes).toEqual(Array.from({ length: 3 }, () => 'transcript-mismatch'));
      expect(measuresSent).toBe(0);
    });
  }

  const frames: Record<string, (frame: Uint8Array) => Uint8Array> = {
    truncated: (frame) => frame.subarray(0, -1),
    'one byte longer': (frame) => new Uint8Array([...frame, 0]),
    empty: () => new Uint8Array(),
    'of another round': (frame) => flipped(frame, 4),
    'of another block': (frame) => flipped(frame, 11),
    'of another position': (frame) => flipped(frame, 15),
    'of another version': (frame) => flipped(frame, 3),
    'with a reserved bit set': (frame) => flipped(frame, 6),
    'with a lane that is no field element': (frame) => new Uint8Array(frame).fill(255, 16),
  };
  for (const [name, change] of Object.entries(frames)) {
    it(`a totals frame ${name} is a typed abort`, async () => {
      const { codes, measuresSent } = await attack({ frame: change });
      expect(codes).toEqual(Array.from({ length: 3 }, () => 'transcript-mismatch'));
      expect(measuresSent).toBe(0);
    });
  }

  it('leaves a party out of round 2: what it holds is noise, and does not pass as totals', async () => {
    const { outcome } = await attack({});
    const { shape, bodies } = outcome!;
    for (const left of [0, 1, 2]) {
      const total = honestTotal(bodies.toSpliced(left, 1), shape.measures);
      const vectors = sections(shape.measures, 0).map(({ offset, length }) =>
        total.slice(offset, offset + length),
      );
      await expect(finalize(prepared.contract, shape, vectors)).rejects.toThrow(AbortError);
    }
  });
});

describe('frames tampered with between honest parties', () => {
  const onKind =
    (kind: string, change: (payload: Uint8Array) => readonly Uint8Array[]): Tamper =>
    (frame) =>
      frame.kind === kind && (frame.from === 'holder-b' || frame.to === 'holder-b')
        ? change(frame.payload).map((payload) => ({ ...frame, payload }))
        : [frame];
  const kinds = [KINDS.counts, KINDS.totals, KINDS.map, KINDS.maps, KINDS.measures];
  for (const kind of kinds) {
    it(`${kind}: truncated and flipped frames end the run without a release`, async () => {
      const changes = [
        onKind(kind, (payload) => [payload.subarray(0, payload.length - 1)]),
        onKind(kind, (payload) => [flipped(payload, 1)]),
        onKind(kind, (payload) => [flipped(payload, payload.length - 1)]),
      ];
      for (const tamper of changes) {
        const { release, domains } = await runAll(FIXED_CASE, prepared, pool, tamper);
        const failed = [release, ...domains].flatMap((each) =>
          each.status === 'rejected' ? [codeOf(each.reason)] : [],
        );
        expect(release.status).toBe('rejected');
        expect(failed.some((code) => /mismatch/.test(code))).toBe(true);
      }
    });
  }

  it('a repeated frame, and a frame of another kind, end the run without a release', async () => {
    for (const tamper of [
      onKind(KINDS.counts, (payload) => [payload, payload]),
      ((frame) => [frame.kind === KINDS.map ? { ...frame, kind: KINDS.counts } : frame]) as Tamper,
    ]) {
      const { release } = await runAll(FIXED_CASE, prepared, pool, tamper);
      expect(release.status === 'rejected' ? codeOf(release.reason) : '').toBe('round-mismatch');
    }
  });
});
