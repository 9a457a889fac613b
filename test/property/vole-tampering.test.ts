import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { runVoleReceiver } from '../../protocols/psi/vole/vole-receiver.ts';
import { runVoleSender } from '../../protocols/psi/vole/vole-sender.ts';
import type { PsiFrame, Tap } from '../fixtures/psi.ts';
import { CONTEXT, OTHER_CODE, bothSides, runOt, runVole, voleMachine } from '../fixtures/vole.ts';

const PARAMS = { size: 40, context: CONTEXT };
const P = new Uint8Array(16 * 40).fill(7);

const MESSAGES: readonly [engine: 'lpn' | 'ot', from: PsiFrame['from'], kind: string][] = [
  ['lpn', 'sender', 'vole.hello'],
  ['lpn', 'receiver', 'vole.hello'],
  ['lpn', 'sender', 'vole.choices'],
  ['lpn', 'receiver', 'vole.extension'],
  ['lpn', 'sender', 'vole.noise'],
  ['lpn', 'receiver', 'vole.check'],
  ['ot', 'sender', 'vole.hello'],
  ['ot', 'receiver', 'vole.hello'],
  ['ot', 'sender', 'vole.choices'],
  ['ot', 'receiver', 'vole.rows'],
  ['ot', 'receiver', 'vole.check'],
];

const run = (engine: 'lpn' | 'ot', tap: Tap): Promise<unknown> =>
  engine === 'lpn' ? runVole(PARAMS, { tap }) : runOt(PARAMS, P, { tap });

/** A tap that changes one message; `frames` gives what comes in its place. */
const on =
  (from: PsiFrame['from'], kind: string, change: (frame: PsiFrame) => readonly PsiFrame[]): Tap =>
  (frame) =>
    frame.from === from && frame.kind === kind ? change(frame) : [frame];
const edited = (
  from: PsiFrame['from'],
  kind: string,
  edit: (payload: Uint8Array) => Uint8Array,
): Tap => on(from, kind, (frame) => [{ ...frame, payload: edit(new Uint8Array(frame.payload)) }]);

describe('an untouched session', () => {
  it('ends well: what the cases below take away', async () => {
    const { frames } = await runVole(PARAMS);
    const { frames: others } = await runOt(PARAMS, P);
    for (const [engine, from, kind] of MESSAGES) {
      const sent = (engine === 'lpn' ? frames : others).filter(
        (frame) => frame.from === from && frame.kind === kind,
      );
      expect(sent).toHaveLength(1);
    }
    expect(frames.length + others.length).toBe(MESSAGES.length);
  });
});

describe.each(MESSAGES)('with %s, the message of the %s %s', (engine, from, kind) => {
  it('ends the session when it is truncated, longer or empty', async () => {
    const edits: ((payload: Uint8Array) => Uint8Array)[] = [
      (payload) => payload.subarray(0, payload.length - 1),
      () => new Uint8Array(0),
      (payload) => {
        const longer = new Uint8Array(payload.length + 1);
        longer.set(payload);
        return longer;
      },
    ];
    for (const edit of edits) {
      await expect(run(engine, edited(from, kind, edit))).rejects.toMatchObject({
        code: 'length-wrong',
      });
    }
  });

  it('ends the session with a typed error when any bit of it is flipped', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(7),
        async (where, bit) => {
          const flip = (payload: Uint8Array): Uint8Array => {
            const at = Math.min(payload.length - 1, Math.floor(where * payload.length));
            payload[at] = (payload[at] ?? 0) ^ (1 << bit);
            return payload;
          };
          const failure = await run(engine, edited(from, kind, flip)).then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(failure).toBeInstanceOf(ProtocolError);
          expect(['transcript-mismatch', 'point-invalid']).toContain(
            (failure as ProtocolError).code,
          );
        },
      ),
      { numRuns: 3 },
    );
  });

  it('ends the session when it comes twice, or another in its place', async () => {
    const twice = on(from, kind, (frame) => [frame, frame]);
    const renamed = on(from, kind, (frame) => [{ ...frame, kind: 'vole.other' }]);
    await expect(run(engine, renamed)).rejects.toThrow(/a vole.other came where/);
    // The last message of a side has nothing behind it that would run into its double.
    const isLast = kind === 'vole.check' || (kind === 'vole.noise' && engine === 'lpn');
    const isLastOfOt = kind === 'vole.choices' && engine === 'ot';
    if (!isLast && !isLastOfOt) await expect(run(engine, twice)).rejects.toThrow(/came where/);
  });
});

describe('a session', () => {
  it('is refused to a peer with other parameters', async () => {
    const others = [
      { ...PARAMS, size: 41 },
      { ...PARAMS, context: new Uint8Array(32) },
      { ...PARAMS, code: OTHER_CODE },
    ];
    for (const params of others) {
      await expect(
        bothSides(
          (channel) => runVoleSender(channel, PARAMS, voleMachine()),
          (channel) => runVoleReceiver(channel, params, voleMachine()),
        ),
      ).rejects.toMatchObject({ code: 'transcript-mismatch' });
    }
  });

  it('is refused to a peer that plays the same side, and to messages of another session', async () => {
    await expect(
      bothSides(
        (channel) => runVoleReceiver(channel, PARAMS, voleMachine()),
        (channel) => runVoleReceiver(channel, PARAMS, voleMachine()),
      ),
    ).rejects.toMatchObject({ code: 'length-wrong' });
    const { frames } = await runVole(PARAMS);
    for (const [, from, kind] of MESSAGES.filter(([engine]) => engine === 'lpn')) {
      const old = frames.find((frame) => frame.from === from && frame.kind === kind);
      const replayed = on(from, kind, (frame) => [old ?? frame]);
      await expect(run('lpn', replayed), kind).rejects.toMatchObject({
        code: 'transcript-mismatch',
      });
    }
  });

  it('needs a context of 32 bytes', async () => {
    await expect(runVole({ size: 1, context: new Uint8Array(31) })).rejects.toMatchObject({
      code: 'parameter-invalid',
    });
  });
});
