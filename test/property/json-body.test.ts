/** Bodies from real sockets: bytes in flight are bounded over all of them, and given back. */
import { createServer, request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WeirError } from '../../src/errors.ts';
import { BodyReader, JSON_DEPTH_MAX, parseStrictJson } from '../../src/gateway/json-body.ts';

const codeOf = (error: unknown): string => (error instanceof WeirError ? error.code : 'none');

describe('a strict parse', () => {
  it('gives back what JSON can hold', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        expect(parseStrictJson(bytes)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('never throws but with a code, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          parseStrictJson(Buffer.from(bytes));
        } catch (error) {
          expect(['invalid-json', 'malformed-message']).toContain(codeOf(error));
        }
      }),
    );
  });

  it('allows the deepest nesting and nothing deeper', () => {
    const nested = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth));
    expect(parseStrictJson(nested(JSON_DEPTH_MAX))).toBeDefined();
    expect(() => parseStrictJson(nested(JSON_DEPTH_MAX + 1))).toThrow(/deeper/);
  });
});

describe('bodies in flight', () => {
  it('share one bound; what ends, well or badly, makes room', async () => {
    const reader = new BodyReader(10_000);
    const bodies: { readonly incoming: IncomingMessage; readonly outcome: Promise<string> }[] = [];
    const server = createServer((incoming, response) => {
      const outcome = reader.read(incoming, 8_000).then(() => 'ok', codeOf);
      bodies.push({ incoming, outcome });
      void outcome.finally(() => response.end());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    /** A request whose head and 6,000 bytes of body have reached the server. */
    const send = async (): Promise<{ outgoing: ClientRequest; outcome: Promise<string> }> => {
      const outgoing = request({
        port,
        host: '127.0.0.1',
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
      });
      outgoing.on('error', () => undefined);
      outgoing.on('response', (answer) => answer.resume());
      const index = bodies.length;
      outgoing.write(`"${'x'.repeat(6_000)}`);
      while ((bodies[index]?.incoming.socket.bytesRead ?? 0) < 6_000) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { outgoing, outcome: bodies[index]?.outcome ?? Promise.resolve('none') };
    };
    const first = await send();
    const second = await send();
    expect(await second.outcome).toBe('queue-full');
    first.outgoing.end('"');
    expect(await first.outcome).toBe('ok');
    const cut = await send();
    cut.outgoing.destroy();
    expect(await cut.outcome).toBe('invalid-json');
    const third = await send();
    third.outgoing.end('"');
    expect(await third.outcome).toBe('ok');
    second.outgoing.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});
