/** Two PSI parties in processes of their own, joined by a socket on loopback. */
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PsiChannel } from '../protocols/psi/exchange.ts';

const CONNECT_TRIES = 6000;
const CONNECT_WAIT_MS = 10;
/** Length of the payload, length of the kind's name. */
const HEAD_BYTES = 5;

/** The sender waits at a port it names in a file of the directory; the receiver comes there. */
export async function meet(role: string, directory: string): Promise<Socket> {
  const path = join(directory, 'port');
  if (role === 'sender') {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    writeFileSync(`${path}.new`, String((server.address() as AddressInfo).port));
    renameSync(`${path}.new`, path);
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    return socket;
  }
  for (let attempt = 0; attempt < CONNECT_TRIES && !existsSync(path); attempt++) {
    await sleep(CONNECT_WAIT_MS);
  }
  const port = Number(readFileSync(path, 'utf8'));
  const socket = createConnection({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** Frames of a length, a kind and a payload; a slow peer holds the sender back. */
export function socketChannel(socket: Socket): PsiChannel {
  const incoming = new FrameReader(socket);
  return {
    async send(kind, payload) {
      const head = Buffer.alloc(HEAD_BYTES + kind.length);
      head.writeUInt32LE(payload.length);
      head[4] = kind.length;
      head.write(kind, HEAD_BYTES, 'latin1');
      socket.cork();
      socket.write(head);
      const goesOn = socket.write(payload);
      socket.uncork();
      if (!goesOn) await once(socket, 'drain');
    },
    async receive(kind) {
      const head = await incoming.take(HEAD_BYTES);
      const name = await incoming.take(head[4] ?? 0);
      if (name.toString('latin1') !== kind) throw new Error(`no ${kind} came`);
      return new Uint8Array(await incoming.take(head.readUInt32LE()));
    },
  };
}

/** Takes exactly so many bytes at a time from a socket. */
class FrameReader {
  readonly #incoming: AsyncIterator<Buffer>;
  #parts: Buffer[] = [];
  #have = 0;

  constructor(socket: Socket) {
    this.#incoming = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Buffer> {
    while (this.#have < count) {
      const { value, done } = await this.#incoming.next();
      if (done === true) throw new Error('the other party is gone');
      this.#parts.push(value);
      this.#have += value.length;
    }
    const all = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    if (all === undefined) return Buffer.alloc(0);
    this.#parts = all.length > count ? [all.subarray(count)] : [];
    this.#have = all.length - count;
    return all.subarray(0, count);
  }
}
