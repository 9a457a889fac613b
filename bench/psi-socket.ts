/** Two PSI parties in processes of their own, joined by a socket on loopback. */
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { releaseBytes } from '../protocols/common/bytes.ts';
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
      // Not before it is written: then the bytes are the caller's again.
      const written = new Promise<void>((resolve, reject) => {
        socket.write(payload, (error) => (error ? reject(error) : resolve()));
      });
      socket.uncork();
      await written;
    },
    async receive(kind) {
      const head = Buffer.from((await incoming.take(HEAD_BYTES)).buffer);
      const name = Buffer.from((await incoming.take(head[4] ?? 0)).buffer);
      if (name.toString('latin1') !== kind) throw new Error(`no ${kind} came`);
      return incoming.take(head.readUInt32LE());
    },
  };
}

/** Takes exactly so many bytes at a time from a socket, in a buffer of their own. */
class FrameReader {
  readonly #incoming: AsyncIterator<Buffer>;
  #part: Uint8Array = new Uint8Array(0);

  constructor(socket: Socket) {
    this.#incoming = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const out = new Uint8Array(count);
    for (let filled = 0; filled < count; ) {
      if (this.#part.length === 0) await this.#refill();
      const taken = this.#part.subarray(0, count - filled);
      out.set(taken, filled);
      filled += taken.length;
      this.#part = this.#part.subarray(taken.length);
    }
    return out;
  }

  /** What a socket reads comes in a buffer each time; used ones are not left to the collector. */
  async #refill(): Promise<void> {
    releaseBytes(this.#part);
    const { value, done } = await this.#incoming.next();
    if (done === true) throw new Error('the other party is gone');
    this.#part = value;
  }
}
