/** Frames between a run and its analyst: as bytes, and on the gateway's line between calls that repeat. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeGuestFrames,
  GUEST_BATCH_BYTES_MAX,
  GUEST_PAYLOAD_BYTES_MAX,
  guestBatch,
  type GuestFrame,
  parseGuestFrames,
} from '../../src/contracts/guest-frames.ts';
import { AbortError, WeirError } from '../../src/errors.ts';
import { GuestLine } from '../../src/runs/guest-line.ts';
import type { Clock } from '../../src/system/clock.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';

const ANALYST = PartyIdSchema.parse('analyst');
const kinds = fc.stringMatching(/^[!-~]{1,64}$/);
const payloads = fc.uint8Array({ maxLength: 40 });
const frame = fc.record({ kind: kinds, payload: payloads });
const numbered = (count: number, bytes = 1): GuestFrame[] =>
  Array.from({ length: count }, (_, i) => ({
    kind: `frame-${i}`,
    payload: new Uint8Array(bytes).fill(i),
  }));
const PRESENT = new AbortController().signal;

/** Time that stands still until the test moves it. */
function heldClock(): Clock & { pass(ms: number): Promise<void> } {
  let now = 0;
  const waiting = new Set<{ atMs: number; wake: () => void }>();
  return {
    now: () => now,
    monotonic: () => now,
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        const entry = { atMs: now + delayMs, wake: resolve };
        waiting.add(entry);
        const leave = (): void => {
          waiting.delete(entry);
          resolve();
        };
        if (signal?.aborted === true) leave();
        else signal?.addEventListener('abort', leave, { once: true });
      }),
    async pass(ms) {
      now += ms;
      for (const entry of waiting) {
        if (entry.atMs > now) continue;
        waiting.delete(entry);
        entry.wake();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('a batch of frames', () => {
  it('reads back as it was written, and is otherwise refused', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), (frames) => {
        expect(parseGuestFrames(encodeGuestFrames(frames))).toEqual(frames);
        // Of a Buffer, too, each in a buffer of its own.
        for (const { payload } of parseGuestFrames(Buffer.from(encodeGuestFrames(frames)))) {
          expect(payload.buffer.byteLength).toBe(payload.length);
        }
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          expect(encodeGuestFrames(parseGuestFrames(bytes))).toEqual(bytes);
        } catch (error) {
          expect(['malformed-message', 'frame-too-large']).toContain((error as WeirError).code);
        }
      }),
    );
  });

  it('is refused when cut anywhere but between frames', () => {
    const whole = encodeGuestFrames(numbered(2, 9));
    for (let length = 1; length < whole.length; length++) {
      if (length === whole.length / 2) continue;
      expect(() => parseGuestFrames(whole.subarray(0, length))).toThrow(WeirError);
    }
  });

  it('has bounds: a frame’s, a batch’s', () => {
    const largest = { kind: 'k', payload: new Uint8Array(GUEST_PAYLOAD_BYTES_MAX) };
    expect(parseGuestFrames(encodeGuestFrames([largest]))).toHaveLength(1);
    const beyond = { kind: 'k', payload: new Uint8Array(GUEST_PAYLOAD_BYTES_MAX + 1) };
    for (const frames of [[beyond], [largest, largest, largest, largest]]) {
      const bytes = encodeGuestFrames(frames);
      expect(() => parseGuestFrames(bytes)).toThrow(
        expect.objectContaining({ code: 'frame-too-large' }) as Error,
      );
    }
    const batch = guestBatch([largest, largest, largest, largest]);
    expect(batch).toHaveLength(3);
    expect(encodeGuestFrames(batch).length).toBeLessThanOrEqual(GUEST_BATCH_BYTES_MAX);
  });
});

describe('the line to a run’s analyst', () => {
  const open = (): { line: GuestLine; clock: ReturnType<typeof heldClock> } => {
    const clock = heldClock();
    return { line: new GuestLine(ANALYST, clock), clock };
  };

  it('takes each frame once and in order, however often and in what pieces it is sent', async () => {
    const pieces = fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 9 })), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(pieces, async (calls) => {
        const { line } = open();
        const frames = numbered(30);
        let due = 0;
        for (const [from, count] of [...calls, [0, 30] as const]) {
          const first = Math.min(from, due);
          due = await line.accept(first, frames.slice(first, first + count), PRESENT);
        }
        const taken: string[] = [];
        for (let i = 0; i < due; i++) taken.push((await line.take())?.kind ?? 'none');
        expect(taken).toEqual(frames.slice(0, due).map(({ kind }) => kind));
        expect(due).toBe(30);
      }),
      { numRuns: 50 },
    );
  });

  it('gives each frame until it is known to have arrived', async () => {
    const { line } = open();
    const frames = numbered(4);
    for (const each of frames) await line.put(each);
    expect(await line.read(0, PRESENT)).toEqual(frames);
    // The answer was lost: the same again.
    expect(await line.read(0, PRESENT)).toEqual(frames);
    expect(await line.read(3, PRESENT)).toEqual(frames.slice(3));
    await expect(line.read(2, PRESENT)).rejects.toMatchObject({ code: 'round-mismatch' });
    await expect(line.read(5, PRESENT)).rejects.toMatchObject({ code: 'round-mismatch' });
    line.finish();
    expect(await line.read(4, PRESENT)).toBeUndefined();
  });

  it('refuses frames that leave a gap', async () => {
    const { line } = open();
    await line.accept(0, numbered(2), PRESENT);
    await expect(line.accept(3, numbered(1), PRESENT)).rejects.toMatchObject({
      code: 'round-mismatch',
    });
  });

  it('holds both writers back once a batch lies unread, and lets them go on', async () => {
    const { line, clock } = open();
    const large = numbered(8, GUEST_PAYLOAD_BYTES_MAX);
    const accepting = line.accept(0, large, PRESENT);
    await clock.pass(30_000);
    const due = await accepting;
    // What lies here is a batch and a frame at most.
    expect(due).toBeGreaterThanOrEqual(3);
    expect(due).toBeLessThanOrEqual(5);
    const rest = line.accept(due, large.slice(due), PRESENT);
    for (let i = 0; i < 8; i++) expect((await line.take())?.kind).toBe(`frame-${i}`);
    expect(await rest).toBe(8);

    let put = 0;
    const putting = (async () => {
      for (const each of large) {
        await line.put(each);
        put += 1;
      }
    })();
    await clock.pass(1);
    expect(put).toBe(due);
    for (let after = 0; after < 8; after += (await line.read(after, PRESENT))?.length ?? 0)
      continue;
    await putting;
  });

  it('answers a wait without frames by none, and at once when its caller is gone', async () => {
    const { line, clock } = open();
    const waiting = line.read(0, PRESENT);
    await clock.pass(30_000);
    expect(await waiting).toEqual([]);
    const gone = new AbortController();
    const left = line.read(0, gone.signal);
    gone.abort();
    expect(await left).toEqual([]);
  });

  it('ends where its analyst is silent for too long, not while it waits', async () => {
    const { line, clock } = open();
    const over = new AbortController();
    const watching = line.watch(10_000, over.signal);
    const waiting = line.read(0, PRESENT);
    await clock.pass(15_000);
    await clock.pass(5_000);
    expect(await waiting).toEqual([]);
    await clock.pass(9_000);
    const taking = line.take();
    taking.catch(() => undefined);
    await clock.pass(1_000);
    await clock.pass(1_000);
    await expect(taking).rejects.toMatchObject({ code: 'analyst-left' });
    await watching;
    over.abort();
  });

  it('tells everyone who waits how the run ended', async () => {
    const { line } = open();
    const waits = [line.take(), line.read(0, PRESENT)];
    line.end(new AbortError('domain-left', 'gone'));
    for (const wait of waits) await expect(wait).rejects.toMatchObject({ code: 'domain-left' });
    await expect(line.accept(0, numbered(1), PRESENT)).rejects.toMatchObject({
      code: 'domain-left',
    });
    await expect(line.put({ kind: 'k', payload: new Uint8Array() })).rejects.toThrow('gone');
  });
});
