import { X509Certificate } from 'node:crypto';
import { type Server, createServer } from 'node:https';
import { type AddressInfo, connect as connectPlain } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import { generate } from 'selfsigned';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LinkTls } from '../../src/link/domain-dial.ts';
import { ALPHA, StatusLog, type World, openWorld } from './link-world.ts';

interface Certificate {
  readonly key: string;
  readonly cert: string;
}

async function certify(ca?: Certificate): Promise<Certificate> {
  const isAuthority = ca === undefined;
  const made = await generate(
    [{ name: 'commonName', value: isAuthority ? 'authority' : 'gateway' }],
    {
      keyType: 'ec',
      algorithm: 'sha256',
      ...(isAuthority ? {} : { ca }),
      extensions: [
        { name: 'basicConstraints', cA: isAuthority, critical: true },
        {
          name: 'subjectAltName',
          altNames: [
            { type: 7, ip: '127.0.0.1' },
            { type: 2, value: 'gateway.example' },
          ],
        },
      ],
    },
  );
  return { key: made.private, cert: made.cert };
}

let authority: Certificate;
let leaf: Certificate;
let other: Certificate;
let world: World;
let url: string;

beforeAll(async () => {
  authority = await certify();
  leaf = await certify(authority);
  other = await certify();
});
beforeEach(async () => {
  world = await openWorld({}, () => createServer(leaf) as Server);
  url = world.url.replace('http', 'https');
});
afterEach(() => world.close());

const fingerprintOf = (pem: string): string => new X509Certificate(pem).fingerprint256;

/** Dials once: `connected`, or why not. */
async function outcomeOf(tls: LinkTls, gatewayUrl = url): Promise<string> {
  const log = new StatusLog();
  const domain = world.dial(ALPHA, { gatewayUrl, tls, onStatus: log.add });
  const outcome = Promise.race([log.next('connected'), log.next('refused')]);
  domain.start();
  const status = await outcome;
  await domain.close();
  return status.kind === 'refused' ? status.reason : status.kind;
}

describe('a link over TLS', () => {
  it('comes about under the authority the domain trusts, with or without a pin', async () => {
    expect(await outcomeOf({ ca: authority.cert })).toBe('connected');
    const certificateFingerprint = fingerprintOf(leaf.cert);
    expect(await outcomeOf({ ca: authority.cert, certificateFingerprint })).toBe('connected');
    const named = { ca: authority.cert, serverName: 'gateway.example' };
    expect(await outcomeOf(named)).toBe('connected');
  });

  it('is refused under another authority, certificate or name', async () => {
    expect(await outcomeOf({})).toBe('unreachable');
    expect(await outcomeOf({ ca: other.cert })).toBe('unreachable');
    const certificateFingerprint = fingerprintOf(other.cert);
    expect(await outcomeOf({ ca: authority.cert, certificateFingerprint })).toBe('unreachable');
    const named = { ca: authority.cert, serverName: 'other.example' };
    expect(await outcomeOf(named)).toBe('unreachable');
  });

  it('carries requests both ways', async () => {
    const domain = await world.join(ALPHA, { gatewayUrl: url, tls: { ca: authority.cert } });
    domain.handle('echo', (body) => body);
    world.server.handle('echo', (body) => body);
    expect(await domain.request('echo', 'up')).toBe('up');
    expect(await world.server.linkOf(ALPHA)?.request('echo', 'down')).toBe('down');
  });

  it('is refused when somebody with a valid certificate ends TLS in between', async () => {
    const proxy = await openProxy(leaf, (socket) =>
      socket.pipe(connect({ port: world.port, host: '127.0.0.1', ca: authority.cert })),
    );
    // The relayed gateway signed another session's binding: to the domain it is not the pinned one.
    expect(await outcomeOf({ ca: authority.cert }, proxy.url)).toBe('gateway-not-pinned');
    // A domain told to expect a proxy is refused by a gateway that ends TLS itself.
    const endsAtProxy = { ca: authority.cert, endsAtProxy: true };
    expect(await outcomeOf(endsAtProxy, proxy.url)).toBe('handshake-refused');
    expect(world.server.parties()).toEqual([]);
    await proxy.close();
  });

  it('comes about through a proxy that both sides know of', async () => {
    const plain = await openWorld({
      keys: world.gatewayKeys,
      lookupDomain: (party) => world.keysOf.get(party)?.publicKey,
    });
    const proxy = await openProxy(leaf, (socket) =>
      socket.pipe(connectPlain({ port: plain.port, host: '127.0.0.1' })),
    );
    const tls = { ca: authority.cert, endsAtProxy: true };
    expect(await outcomeOf(tls, proxy.url)).toBe('connected');
    expect(await outcomeOf({ ca: authority.cert }, proxy.url)).toBe('handshake-refused');
    await proxy.close();
    await plain.close();
  });
});

type Forward = (socket: NodeJS.ReadWriteStream) => NodeJS.ReadWriteStream;

/** Ends TLS with `certificate` and passes the bytes on to wherever `forward` connects. */
async function openProxy(certificate: Certificate, forward: Forward) {
  const sockets: NodeJS.ReadWriteStream[] = [];
  const server = createTlsServer(certificate, (socket) => {
    const onward = forward(socket);
    const ends: NodeJS.ReadWriteStream[] = [socket, onward];
    for (const end of ends) end.on('error', () => undefined);
    sockets.push(...ends);
    onward.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
