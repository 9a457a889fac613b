import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLOSE_CODES } from '../../src/link/close-reason.ts';
import { decodeFrame, encodeFrame } from '../../src/link/frame-codec.ts';
import { ChallengeSchema, HelloSchema } from '../../src/link/frames.ts';
import { answerHello, createHello } from '../../src/link/handshake.ts';
import { LINK_PATH, LINK_SUBPROTOCOL } from '../../src/link/link-path.ts';
import { GATEWAY, PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { WebSocket } from 'ws';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { ALPHA, BETA, StatusLog, type World, newKeys, openWorld } from './link-world.ts';
import { type Tamper, dialRaw, identityOf, joinRaw, openRawGateway, proveRaw } from './raw-peer.ts';

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

const REFUSED = CLOSE_CODES['handshake-refused'];
const turned = (value: Uint8Array): Uint8Array =>
  value.map((byte, at) => (at === 0 ? byte ^ 1 : byte));

describe('the gateway', () => {
  it('welcomes an enrolled domain that proves its key', async () => {
    const raw = await joinRaw(world, ALPHA);
    expect(world.server.parties()).toEqual([ALPHA]);
    raw.socket.close();
    await world.log.next('disconnected');
    expect(world.server.linkOf(ALPHA)).toBeUndefined();
  });

  it('refuses a wrong key, an unknown party and its own name alike', async () => {
    const cases = [
      identityOf(world, ALPHA, newKeys()),
      identityOf(world, PartyIdSchema.parse('mallory'), newKeys()),
    ];
    for (const identity of cases) {
      const { raw } = await proveRaw(world, identity);
      expect(await raw.closed).toBe(REFUSED);
    }
    const named = await dialRaw(world);
    const keys = newKeys();
    named.socket.send(
      encodeFrame({
        t: 'hello',
        version: 1,
        party: GATEWAY,
        binding: 'none',
        key: keys.publicKey,
        nonce: systemRandom.bytes(32),
      }),
    );
    expect(await named.closed).toBe(REFUSED);
    expect(world.server.parties()).toEqual([]);
  });

  it('refuses a proof over any other transcript', async () => {
    const other = newKeys().publicKey;
    const tampers: Tamper[] = [
      { signed: (hello, challenge) => [{ ...hello, nonce: turned(hello.nonce) }, challenge] },
      { signed: (hello, challenge) => [{ ...hello, key: other }, challenge] },
      {
        signed: (hello, challenge) => [{ ...hello, party: PartyIdSchema.parse('beta') }, challenge],
      },
      { signed: (hello, challenge) => [{ ...hello, binding: 'tls-exporter' }, challenge] },
      { signed: (hello, challenge) => [hello, { ...challenge, nonce: turned(challenge.nonce) }] },
      { signed: (hello, challenge) => [hello, { ...challenge, key: other }] },
      { proof: (proof) => ({ ...proof, signature: turned(proof.signature) }) },
      { proof: (proof) => ({ ...proof, signature: proof.signature.slice(1) }) },
    ];
    for (const tamper of tampers) {
      const { raw } = await proveRaw(world, identityOf(world, ALPHA), tamper);
      expect(await raw.closed).toBe(REFUSED);
    }
    expect(world.server.parties()).toEqual([]);
  });

  it('refuses a replayed proof, and its own signature sent back to it', async () => {
    const recorded = await proveRaw(world, identityOf(world, ALPHA));
    expect(await recorded.raw.next()).toBeDefined();
    recorded.raw.socket.close();
    const replayed = await proveRaw(world, identityOf(world, ALPHA), {
      hello: () => recorded.hello,
      proof: () => recorded.proof,
    });
    expect(await replayed.raw.closed).toBe(REFUSED);
    const reflected = await dialRaw(world);
    reflected.socket.send(encodeFrame(recorded.hello));
    await reflected.next();
    reflected.socket.send(encodeFrame({ t: 'proof', signature: recorded.challenge.signature }));
    expect(await reflected.closed).toBe(REFUSED);
  });

  it('refuses its own signature even for a domain enrolled with its own key', async () => {
    world.keysOf.set(ALPHA, world.gatewayKeys);
    const raw = await dialRaw(world);
    raw.socket.send(encodeFrame(createHello(identityOf(world, ALPHA), false, systemRandom)));
    const challenge = decodeFrame(ChallengeSchema, (await raw.next()) ?? new Uint8Array());
    raw.socket.send(encodeFrame({ t: 'proof', signature: challenge.signature }));
    expect(await raw.closed).toBe(REFUSED);
    expect(await joinRaw(world, ALPHA)).toBeDefined();
  });

  it('refuses a domain that strips the TLS binding it claims, or claims one on a plain socket', async () => {
    const raw = await dialRaw(world);
    const { party, keys } = identityOf(world, ALPHA);
    raw.socket.send(
      encodeFrame({
        t: 'hello',
        version: 1,
        party,
        binding: 'tls-exporter',
        key: keys.publicKey,
        nonce: systemRandom.bytes(32),
      }),
    );
    expect(await raw.closed).toBe(REFUSED);
  });

  it('refuses text, garbage and frames out of turn before authentication', async () => {
    const text = await dialRaw(world);
    text.socket.send('hello');
    expect(await text.closed).toBe(CLOSE_CODES['frame-not-binary']);
    const garbage = await dialRaw(world);
    garbage.socket.send(systemRandom.bytes(64));
    expect(await garbage.closed).toBe(CLOSE_CODES['frame-malformed']);
    const early = await dialRaw(world);
    early.send({ t: 'cancel', id: 0 });
    expect(await early.closed).toBe(CLOSE_CODES['frame-malformed']);
  });

  it('turns away other paths, pages of a browser and other versions of the link', async () => {
    const base = world.url.replace('http', 'ws');
    const statusOf = (url: string, protocols: string[], options = {}): Promise<unknown> =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, protocols, options);
        socket.on('open', () => resolve('open'));
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
        socket.on('error', () => undefined);
      });
    const url = `${base}${LINK_PATH}`;
    expect(await statusOf(url, [LINK_SUBPROTOCOL])).toBe('open');
    expect(await statusOf(`${base}/other`, [LINK_SUBPROTOCOL])).toBe(404);
    expect(await statusOf(url, ['weir.link.v0'])).toBe(400);
    const origin = 'https://page.example';
    expect(await statusOf(url, [LINK_SUBPROTOCOL], { origin })).toBe(403);
  });

  it('replaces a link only by one whose party has proven itself', async () => {
    const first = await world.join(ALPHA);
    const link = first.link();
    const { raw } = await proveRaw(world, identityOf(world, ALPHA, newKeys()));
    expect(await raw.closed).toBe(REFUSED);
    world.server.handle('echo', (body) => body);
    expect(await link?.request('echo', 'still here')).toBe('still here');
    const second = await joinRaw(world, ALPHA);
    expect(await link?.closed).toEqual({ reason: 'replaced', byPeer: true });
    expect(world.server.parties()).toEqual([ALPHA]);
    second.socket.terminate();
    await first.close();
  });
});

describe('before authentication the gateway', () => {
  it('waits a bounded time', async () => {
    const slow = await openWorld({ limits: { handshakeMsMax: 60 } });
    const silent = await dialRaw(slow);
    expect(await silent.closed).toBe(CLOSE_CODES['handshake-late']);
    expect(await joinRaw(slow, ALPHA)).toBeDefined();
    await slow.close();
  });

  it('takes a bounded number of bytes', async () => {
    const raw = await dialRaw(world);
    const refused = world.log.next('refused');
    // A message that never ends: only the count of bytes can stop it.
    for (let part = 0; part < 100; part += 1) {
      raw.socket.send(new Uint8Array(1_000), { fin: false });
    }
    await raw.closed;
    expect(await refused).toMatchObject({ reason: 'handshake-too-large' });
  });

  it('keeps a bounded number of sockets, and room comes back', async () => {
    for (const limit of ['handshakeSocketsMax', 'handshakeSocketsPerAddressMax']) {
      const small = await openWorld({ limits: { [limit]: 2 } });
      const held = [await dialRaw(small), await dialRaw(small)];
      await expect(dialRaw(small)).rejects.toThrow(/503/);
      const refused = small.log.next('refused');
      held[0]?.socket.close();
      await refused;
      const raw = await joinRaw(small, ALPHA);
      expect(small.server.parties()).toEqual([ALPHA]);
      raw.socket.terminate();
      await small.close();
    }
  });

  it('takes no further frame while it looks the key up', async () => {
    const lookup = Promise.withResolvers<Uint8Array>();
    const waiting = await openWorld({ lookupDomain: () => lookup.promise });
    const { raw } = await proveRaw(waiting, identityOf(waiting, ALPHA));
    raw.send({ t: 'cancel', id: 0 });
    expect(await raw.closed).toBe(CLOSE_CODES['frame-unexpected']);
    lookup.resolve(identityOf(waiting, ALPHA).keys.publicKey);
    await lookup.promise;
    expect(waiting.server.parties()).toEqual([]);
    await waiting.close();
  });

  it('survives a store that fails', async () => {
    let fails = true;
    const failing = await openWorld({
      lookupDomain: (party) => {
        if (fails) throw new Error('the store is away');
        return failing.keysOf.get(party)?.publicKey;
      },
    });
    const { raw } = await proveRaw(failing, identityOf(failing, ALPHA));
    expect(await raw.closed).toBe(CLOSE_CODES.internal);
    fails = false;
    expect(await joinRaw(failing, ALPHA)).toBeDefined();
    await failing.close();
  });
});

describe('a domain', () => {
  it('proves itself to no gateway but the pinned one', async () => {
    const log = new StatusLog();
    const impostor = await openRawGateway();
    const domain = world.dial(ALPHA, { gatewayUrl: impostor.url, onStatus: log.add });
    const refused = log.next('refused');
    domain.start();
    const raw = await impostor.accept();
    // The impostor has a key of its own: the domain answers with no proof.
    await expect(impostor.welcome(raw, newKeys())).rejects.toThrow();
    expect(await refused).toMatchObject({ reason: 'gateway-not-pinned' });
    await domain.close();
    await impostor.close();
  });

  it('refuses the pinned key under another name than the gateway’s', async () => {
    const named = await openRawGateway();
    const log = new StatusLog();
    const domain = world.dial(ALPHA, { gatewayUrl: named.url, onStatus: log.add });
    const refused = log.next('refused');
    domain.start();
    const raw = await named.accept();
    const hello = decodeFrame(HelloSchema, (await raw.next()) ?? new Uint8Array());
    const identity = { party: BETA, keys: world.gatewayKeys, suite: eddsaSuite };
    raw.socket.send(encodeFrame(answerHello(hello, identity, undefined, systemRandom)));
    expect(await refused).toMatchObject({ reason: 'gateway-not-pinned' });
    await domain.close();
    await named.close();
  });

  it('refuses a replayed challenge of the pinned gateway', async () => {
    const recorded = await proveRaw(world, identityOf(world, ALPHA));
    const log = new StatusLog();
    const impostor = await openRawGateway();
    const domain = world.dial(ALPHA, { gatewayUrl: impostor.url, onStatus: log.add });
    const refused = log.next('refused');
    domain.start();
    const raw = await impostor.accept();
    await raw.next();
    raw.socket.send(encodeFrame(recorded.challenge));
    expect(await refused).toMatchObject({ reason: 'gateway-not-pinned' });
    expect(await raw.next()).toBeUndefined();
    await domain.close();
    await impostor.close();
  });

  it('accepts the pinned gateway through the same socket code', async () => {
    const honest = await openRawGateway();
    const domain = world.dial(ALPHA, { gatewayUrl: honest.url });
    domain.start();
    await honest.welcome(await honest.accept(), world.gatewayKeys);
    expect((await domain.connected()).peer).toBe(GATEWAY);
    await domain.close();
    await honest.close();
  });

  it('refuses a plain link beyond this machine', () => {
    for (const gatewayUrl of [
      'http://192.0.2.1:80',
      'ws://gateway.example',
      'http://127.0.0.1.example',
    ]) {
      expect(() => world.dial(ALPHA, { gatewayUrl })).toThrow(/needs https/);
    }
    expect(() => world.dial(ALPHA, { gatewayUrl: 'ftp://127.0.0.1' })).toThrow(/URL such as/);
  });
});
