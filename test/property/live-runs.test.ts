import { describe, expect, it } from 'vitest';
import { ATTACHMENTS_BYTES_MAX, LiveRuns } from '../../src/runs/live-runs.ts';
import type { Log } from '../../src/system/log.ts';
import { type ContractId, RunIdSchema } from '../../src/system/ids.ts';
import { systemClock } from '../../src/system/clock.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';

const log = { error: () => undefined } as unknown as Log;

describe('what comes with requests', () => {
  it('is kept for runs at work up to a bound, and no longer than they are', async () => {
    const live = new LiveRuns(60_000, log);
    const half = new Uint8Array(ATTACHMENTS_BYTES_MAX / 2);
    const ending = Promise.withResolvers<void>();
    const begin = (): Promise<void> => {
      live.takeRoom(half)();
      const runId = RunIdSchema.parse(uuidV7(systemClock, systemRandom));
      const run = { runId, contractId: runId as string as ContractId };
      return live.work(run, () => ending.promise, { attachment: half });
    };
    const runs = [begin(), begin()];
    const full = expect.objectContaining({ code: 'queue-full' });
    expect(begin).toThrow(full);
    // The control: a run without an attachment has room, and so has the next one when these are over.
    live.takeRoom(undefined)();
    ending.resolve();
    await Promise.all(runs);
    live.takeRoom(half)();
  });

  it('takes its room before the run is at work: requests that are being reserved count too', () => {
    const live = new LiveRuns(60_000, log);
    const half = new Uint8Array(ATTACHMENTS_BYTES_MAX / 2);
    const [give] = [live.takeRoom(half), live.takeRoom(half)];
    const full = expect.objectContaining({ code: 'queue-full' });
    expect(() => live.takeRoom(half)).toThrow(full);
    give?.();
    give?.();
    live.takeRoom(half);
    expect(() => live.takeRoom(half)).toThrow(full);
  });
});
