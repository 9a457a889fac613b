/** The analyst's end of its run's frames, over calls whose answers are lost, and a gateway that lies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestChannel } from '../../src/client/guest-channel.ts';
import { GUEST_BATCH_BYTES_MAX, type GuestFrame } from '../../src/contracts/guest-frames.ts';
import { GuestLine } from '../../src/runs/guest-line.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { PartyIdSchema, RunIdSchema } from '../../src/system/ids.ts';

const ANALYST = PartyIdSchema.parse('analyst');
const HOLDER = PartyIdSchema.parse('clinic');
const RUN = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa');
type Client = ConstructorParameters<typeof GuestChannel>[0];

/** Each call reaches the line; where the answer is lost it is made again, as the SDK does. */
function clientOf(line: GuestLine, isLost: () => boolean): Client {
  const again = async <Answer>(call: () => Promise<Answer>): Promise<Answer> => {
    for (;;) {
      const answer = await call();
      if (!isLost()) return answer;
    }
  };
  const always = new AbortController().signal;
  return {
    clock: systemClock,
    frames: (_run, after, signal = always) => again(() => line.read(after, signal)),
    sendFrames: (_run, first, frames, signal = always) =>
      again(() => line.accept(first, frames, signal)),
  };
}

const payloadOf = (i: number, bytes: number): Uint8Array => new Uint8Array(bytes).fill(i);

describe('the channel of an analyst in a run', () => {
  it('brings every frame over once and in order, both ways, whatever answers are lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.infiniteStream(fc.boolean()),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(1, 1_000, 131_128),
        async (losses, count, bytes) => {
          const line = new GuestLine(ANALYST, systemClock);
          let lostInTurn = 0;
          const channel = new GuestChannel(
            clientOf(line, () => {
              lostInTurn = losses.next().value && lostInTurn < 3 ? lostInTurn + 1 : 0;
              return lostInTurn > 0;
            }),
            RUN,
            ANALYST,
          );
          // The far end sends each frame back.
          const echo = (async () => {
            for (let i = 0; i < count; i++) {
              const frame = await line.take();
              if (frame === undefined) throw new Error('a frame is missing');
              await line.put(frame);
            }
            line.finish();
          })();
          const sending = (async () => {
            for (let i = 0; i < count; i++) {
              await channel.send(HOLDER, `k${i}`, payloadOf(i, bytes));
            }
          })();
          for (let i = 0; i < count; i++) {
            expect(await channel.receive(HOLDER, `k${i}`)).toEqual(payloadOf(i, bytes));
          }
          await Promise.all([echo, sending, channel.flushed(), channel.over]);
          await expect(channel.receive(HOLDER, 'more')).rejects.toMatchObject({
            code: 'domain-left',
          });
          channel.close(new Error('over'));
        },
      ),
      { numRuns: 25 },
    );
  });

  it('takes no message of another kind than the one due', async () => {
    const line = new GuestLine(ANALYST, systemClock);
    const channel = new GuestChannel(
      clientOf(line, () => false),
      RUN,
      ANALYST,
    );
    await line.put({ kind: 'other', payload: new Uint8Array() });
    await expect(channel.receive(HOLDER, 'due')).rejects.toMatchObject({ code: 'round-mismatch' });
    channel.close(new Error('over'));
  });

  it.each([-1, 2, 1_000_000])('ends where the gateway counts %i of one frame', async (due) => {
    const client: Client = {
      clock: systemClock,
      frames: () => new Promise(() => undefined),
      sendFrames: async () => due,
    };
    const channel = new GuestChannel(client, RUN, ANALYST);
    await channel.send(HOLDER, 'k', new Uint8Array(3));
    await expect(channel.flushed()).rejects.toMatchObject({ code: 'transcript-mismatch' });
    await expect(channel.send(HOLDER, 'k', new Uint8Array(3))).rejects.toMatchObject({
      code: 'transcript-mismatch',
    });
  });

  it('asks for nothing while a batch lies unread, and still shows that it is there', async () => {
    const signs = Promise.withResolvers<number>();
    let asked = 0;
    const hurried: Clock = { ...systemClock, sleep: async () => undefined };
    const large: GuestFrame = { kind: 'k', payload: new Uint8Array(GUEST_BATCH_BYTES_MAX / 4) };
    const client: Client = {
      clock: hurried,
      frames: async () => {
        asked += 1;
        return [large, large, large, large];
      },
      sendFrames: async (_run, first, frames) => {
        if (frames.length === 0) signs.resolve(asked);
        await new Promise((resolve) => setTimeout(resolve, 5));
        return first + frames.length;
      },
    };
    const channel = new GuestChannel(client, RUN, ANALYST);
    expect(await signs.promise).toBe(1);
    expect(asked).toBe(1);
    await channel.receive(HOLDER, 'k');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(asked).toBe(2);
    channel.close(new Error('over'));
    await channel.over;
  });

  it('tells everyone who waits why it was closed', async () => {
    const line = new GuestLine(ANALYST, systemClock);
    const channel = new GuestChannel(
      clientOf(line, () => false),
      RUN,
      ANALYST,
    );
    const waiting = channel.receive(HOLDER, 'k');
    channel.close(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(channel.send(HOLDER, 'k', new Uint8Array())).rejects.toThrow('enough');
    await channel.over;
  });
});
