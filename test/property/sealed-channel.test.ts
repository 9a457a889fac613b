import { createHash } from 'node:crypto';
import { x25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AbortError } from '../../src/errors.ts';
import type { RunChannel, SealedChannel } from '../../src/link/channel.ts';
import { SEALED_BYTES_MAX, openSealedChannel } from '../../src/link/sealed-channel.ts';
import { type PartyId, PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';

const ALPHA = PartyIdSchema.parse('alpha');
const BETA = PartyIdSchema.parse('beta');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The gateway between two domains: it holds every message and passes on what a test likes. */
class Relay {
  readonly messages: { kind: string; payload: Uint8Array }[] = [];
  #read = 0;

  from(self: PartyId): RunChannel {
    return {
      self,
      signal: new AbortController().signal,
      send: async (_to, kind, payload) => void this.messages.push({ kind, payload }),
      receive: async (_from, kind) => {
        const message = this.messages[this.#read];
        this.#read += 1;
        if (message?.kind !== kind) throw new Error('nothing of this kind is there');
        return new Uint8Array(message.payload);
      },
    };
  }
}

interface Changes {
  readonly descriptorHash?: Uint8Array;
  readonly peerKey?: Uint8Array;
  readonly self?: PartyId;
  readonly relay?: Relay;
}

function world() {
  const secretOfAlpha = systemRandom.bytes(32);
  const secretOfBeta = systemRandom.bytes(32);
  const descriptorHash = createHash('sha256').update(systemRandom.bytes(8)).digest();
  const relay = new Relay();
  const random = systemRandom;
  const alpha = (): SealedChannel =>
    openSealedChannel({
      channel: relay.from(ALPHA),
      peer: BETA,
      descriptorHash,
      random,
      ephemeralSecret: secretOfAlpha,
      peerEphemeralKey: x25519.getPublicKey(secretOfBeta),
    });
  const beta = (changes: Changes = {}): SealedChannel =>
    openSealedChannel({
      channel: (changes.relay ?? relay).from(changes.self ?? BETA),
      peer: ALPHA,
      descriptorHash: changes.descriptorHash ?? descriptorHash,
      random,
      ephemeralSecret: secretOfBeta,
      peerEphemeralKey: changes.peerKey ?? x25519.getPublicKey(secretOfAlpha),
    });
  return { relay, alpha, beta, descriptorHash };
}

async function refused(attempt: Promise<unknown>): Promise<void> {
  const error = await attempt.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(AbortError);
  expect(error).toMatchObject({ code: 'decryption-failed', facts: { party: ALPHA } });
}

describe('a sealed channel', () => {
  it('delivers messages of any size in order, both ends agreeing on the last', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 2_000 }), { minLength: 1, maxLength: 8 }),
        async (messages) => {
          const { alpha, beta } = world();
          const from = alpha();
          const to = beta();
          for (const [at, message] of messages.entries()) {
            const last = at === messages.length - 1;
            await from.send('k', message, { last });
            expect(await to.receive('k', { last })).toEqual(message);
          }
          await expect(from.send('k', bytes('more'))).rejects.toMatchObject({
            code: 'round-mismatch',
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is done with what was sent, and gives what comes in a buffer of its own', async () => {
    const { alpha, beta } = world();
    const [from, to] = [alpha(), beta()];
    for (const size of [0, 1, 5_000, 200_000]) {
      const message = systemRandom.bytes(size);
      const sent = message.slice();
      await from.send('k', sent);
      sent.buffer.transfer();
      const received = await to.receive('k');
      expect(received).toEqual(message);
      expect([received.byteOffset, received.buffer.byteLength]).toEqual([0, size]);
    }
  });

  it('works in both directions at once', async () => {
    const there = world();
    const a = there.alpha();
    const b = there.beta();
    await a.send('ping', bytes('ping'));
    expect(await b.receive('ping')).toEqual(bytes('ping'));
    await b.send('pong', bytes('pong'));
    expect(await a.receive('pong')).toEqual(bytes('pong'));
  });

  it('refuses a message with any bit turned', async () => {
    const { relay, alpha, beta } = world();
    await alpha().send('k', bytes('text'));
    const sealed = relay.messages[0]?.payload ?? new Uint8Array();
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const turned = Uint8Array.from(sealed);
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      relay.messages[0] = { kind: 'k', payload: turned };
      await refused(openWith(relay, beta).receive('k'));
    }
    relay.messages[0] = { kind: 'k', payload: sealed };
    expect(await openWith(relay, beta).receive('k')).toEqual(bytes('text'));
  });

  it('refuses a later message that is shorter than its tag, and answers nothing after that', async () => {
    const { relay, alpha, beta } = world();
    const [from, to] = [alpha(), beta()];
    await from.send('k', bytes('one'));
    expect(await to.receive('k')).toEqual(bytes('one'));
    await from.send('k', bytes('two'));
    relay.messages[1] = { kind: 'k', payload: relay.messages[1]!.payload.slice(0, 15) };
    await refused(to.receive('k'));
    const sent = relay.messages.length;
    await refused(to.send('k', bytes('answer')));
    expect(relay.messages).toHaveLength(sent);
  });

  it('refuses a message cut to any length, or padded', async () => {
    const { relay, alpha, beta } = world();
    await alpha().send('k', bytes('text'));
    const sealed = relay.messages[0]?.payload ?? new Uint8Array();
    for (let length = 0; length < sealed.length; length += 1) {
      relay.messages[0] = { kind: 'k', payload: sealed.slice(0, length) };
      await refused(openWith(relay, beta).receive('k'));
    }
    relay.messages[0] = { kind: 'k', payload: Buffer.concat([sealed, Buffer.of(0)]) };
    await refused(openWith(relay, beta).receive('k'));
  });

  it('refuses messages replayed, reordered, left out or moved to another kind', async () => {
    const orders = [
      [0, 0],
      [1, 0],
      [0, 2],
      [2, 1],
    ];
    for (const order of orders) {
      const { relay, alpha, beta } = world();
      const from = alpha();
      for (const text of ['a', 'b', 'c']) await from.send('k', bytes(text));
      const sent = [...relay.messages];
      relay.messages.splice(0, 3);
      for (const at of order) relay.messages.push(sent[at] ?? { kind: 'k', payload: bytes('') });
      const to = beta();
      await refused((async () => [await to.receive('k'), await to.receive('k')])());
      // Once something was refused nothing is accepted any more.
      await refused(to.receive('k'));
    }
    const { relay, alpha, beta } = world();
    await alpha().send('k', bytes('text'));
    relay.messages[0] = { kind: 'other', payload: relay.messages[0]?.payload ?? bytes('') };
    await refused(beta().receive('other'));
  });

  it('refuses a message that is last for one end only', async () => {
    for (const [sent, expected] of [
      [true, false],
      [false, true],
    ] as const) {
      const { alpha, beta } = world();
      await alpha().send('k', bytes('text'), { last: sent });
      await refused(beta().receive('k', { last: expected }));
    }
  });

  it('opens for no other run, party or key', async () => {
    const stranger = x25519.getPublicKey(systemRandom.bytes(32));
    const other = createHash('sha256').update('another descriptor').digest();
    const cases: Changes[] = [
      { descriptorHash: other },
      { peerKey: stranger },
      { self: PartyIdSchema.parse('gamma') },
    ];
    for (const changes of cases) {
      const { alpha, beta } = world();
      await alpha().send('k', bytes('text'));
      await refused(beta(changes).receive('k'));
    }
    // Sent back to its own sender it does not open either.
    const { relay, alpha } = world();
    const from = alpha();
    await from.send('k', bytes('text'));
    const error = await from.receive('k').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'decryption-failed' });
    expect(relay.messages).toHaveLength(1);
  });

  it('never uses a key with a nonce twice, even when one descriptor is opened twice', async () => {
    const { relay, alpha } = world();
    const same = bytes('the same message');
    await alpha().send('k', same);
    await alpha().send('k', same);
    const [first, second] = relay.messages.map(({ payload }) => Buffer.from(payload));
    expect(first?.equals(second ?? Buffer.of())).toBe(false);
    expect(first?.subarray(32).equals(second?.subarray(32) ?? Buffer.of())).toBe(false);
  });

  it('shows the relay no byte of the content', async () => {
    const { relay, alpha } = world();
    const canary = systemRandom.bytes(16);
    await alpha().send('k', canary);
    const sealed = Buffer.from(relay.messages[0]?.payload ?? []);
    expect(sealed.includes(canary)).toBe(false);
    expect(Buffer.concat([sealed, canary]).includes(canary)).toBe(true);
  });

  it('refuses a peer’s key of low order, or of a wrong length', () => {
    const { beta } = world();
    for (const peerKey of [
      new Uint8Array(32),
      Uint8Array.of(1, ...new Uint8Array(31)),
      new Uint8Array(31),
    ]) {
      expect(() => beta({ peerKey })).toThrow(AbortError);
    }
  });

  it('refuses to seal more than fits a message', async () => {
    const { alpha } = world();
    await expect(alpha().send('k', new Uint8Array(SEALED_BYTES_MAX + 1))).rejects.toMatchObject({
      code: 'frame-too-large',
    });
  });
});

/** A fresh receiving end on the relay's first message. */
function openWith(relay: Relay, beta: (changes?: Changes) => SealedChannel): SealedChannel {
  const again = new Relay();
  again.messages.push(...relay.messages);
  return beta({ relay: again });
}
