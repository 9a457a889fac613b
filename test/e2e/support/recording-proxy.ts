/** A WebSocket and HTTP proxy between the domains and the gateway that keeps every byte it passes. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type RawData, WebSocket, WebSocketServer } from 'ws';

export interface Recording {
  readonly port: number;
  /** What went by, message by message, both ways. */
  readonly messages: readonly { readonly where: string; readonly bytes: Buffer }[];
  close(): Promise<void>;
}

export type FrameWay = 'frame domain to gateway' | 'frame gateway to domain';

/** What goes on in a frame's place, in order: itself where nothing is to happen. */
export type Tamper = (way: FrameWay, bytes: Buffer) => readonly Buffer[];

const untouched: Tamper = (_way, bytes) => [bytes];

/**
 * Listens on a free loopback port and passes everything on to `targetPort`.
 * @param tamper - an attacker on the line; what is kept is what was sent to it.
 */
export async function recordingProxy(
  targetPort: number,
  tamper: Tamper = untouched,
): Promise<Recording> {
  const messages: { where: string; bytes: Buffer }[] = [];
  const keep = (where: string, bytes: Buffer): void => {
    messages.push({ where, bytes: Buffer.from(bytes) });
  };
  const sockets = new Set<WebSocket>();
  const server = createServer((incoming, answer) => passHttp(targetPort, incoming, answer, keep));
  const links = new WebSocketServer({ server, perMessageDeflate: false });
  links.on('connection', (near, incoming) => {
    keep('headers of a link', Buffer.from(JSON.stringify([incoming.url, incoming.headers])));
    const far = new WebSocket(
      `ws://127.0.0.1:${targetPort}${incoming.url ?? '/'}`,
      near.protocol === '' ? [] : [near.protocol],
      { perMessageDeflate: false },
    );
    const opened = new Promise<void>((resolve) => far.once('open', () => resolve()));
    sockets.add(near).add(far);
    near.on('message', (payload: RawData, isBinary) => {
      const bytes = bytesOf(payload);
      keep('frame domain to gateway', bytes);
      void opened.then(() => {
        for (const out of tamper('frame domain to gateway', bytes)) {
          far.send(out, { binary: isBinary });
        }
      });
    });
    far.on('message', (payload: RawData, isBinary) => {
      const bytes = bytesOf(payload);
      keep('frame gateway to domain', bytes);
      for (const out of tamper('frame gateway to domain', bytes)) {
        near.send(out, { binary: isBinary });
      }
    });
    near.on('close', (code) => closeAlike(far, code));
    far.on('close', (code) => closeAlike(near, code));
    near.on('error', () => far.terminate());
    far.on('error', () => near.terminate());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    messages,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.terminate();
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** The reason of the other end, where it gave one: codes below 3000 are not for applications. */
function closeAlike(socket: WebSocket, code: number): void {
  if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
  else if (code >= 3000) socket.close(code);
  else socket.close();
}

function bytesOf(payload: RawData): Buffer {
  if (Array.isArray(payload)) return Buffer.concat(payload);
  return Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
}

function passHttp(
  targetPort: number,
  incoming: IncomingMessage,
  answer: ServerResponse,
  keep: (where: string, bytes: Buffer) => void,
): void {
  const outgoing = request(
    {
      host: '127.0.0.1',
      port: targetPort,
      path: incoming.url,
      method: incoming.method,
      headers: incoming.headers,
    },
    (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      keep(`headers of the answer to ${incoming.url}`, Buffer.from(JSON.stringify(reply.headers)));
      reply.on('data', (chunk: Buffer) => keep(`answer to ${incoming.url}`, chunk));
      reply.pipe(answer);
    },
  );
  keep('request line and headers', Buffer.from(JSON.stringify([incoming.url, incoming.headers])));
  incoming.on('data', (chunk: Buffer) => keep(`body of ${incoming.url}`, chunk));
  incoming.pipe(outgoing);
  outgoing.on('error', () => answer.destroy());
}
