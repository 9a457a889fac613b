/**
 * Between a gateway and its PostgreSQL: holds a COMMIT on its way, and drops the connection before the
 * server has it or after the server has carried it out, so that each write fails in both ways.
 */
import { connect, createServer, type Socket } from 'node:net';

export type Fate = 'commit' | 'lost before the commit' | 'lost after the commit';

export interface PostgresProxy {
  /** The server's URL with the proxy's port. */
  readonly url: string;
  /** The next COMMIT waits for its fate. @returns resolves when that COMMIT has come. */
  decide(fate: Promise<Fate>): Promise<void>;
  /** Every connection ends, as when a gateway or the network dies. */
  cut(): void;
  close(): Promise<void>;
}

const COMMIT = Buffer.from('COMMIT\0');
/** Type and length before a message's content; the first message has no type. */
const HEADER_BYTES = 5;
const QUERY = 'Q'.charCodeAt(0);

interface Decision {
  readonly fate: Promise<Fate>;
  readonly arrived: () => void;
}

/** @param serverUrl - of a server that speaks in the clear. */
export async function openPostgresProxy(serverUrl: string): Promise<PostgresProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let next: Decision | undefined;
  const take = (): Decision | undefined => {
    const taken = next;
    next = undefined;
    return taken;
  };
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    relay(client, upstream, take);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const own = new URL(serverUrl);
  own.host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: own.href,
    decide: (fate) => new Promise((resolve) => (next = { fate, arrived: resolve })),
    cut,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cut();
      await closed;
    },
  };
}

function relay(client: Socket, upstream: Socket, take: () => Decision | undefined): void {
  let pending = Buffer.alloc(0);
  let isStarted = false;
  let isLost = false;
  let work = Promise.resolve();
  const forward = async (message: Buffer): Promise<void> => {
    const isCommit = message[0] === QUERY && message.subarray(HEADER_BYTES).equals(COMMIT);
    const decision = isCommit ? take() : undefined;
    decision?.arrived();
    const fate = (await decision?.fate) ?? 'commit';
    if (fate === 'lost before the commit') client.destroy();
    else upstream.write(message);
    isLost ||= fate === 'lost after the commit';
  };
  client.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const typeBytes = isStarted ? 1 : 0;
      if (pending.length < typeBytes + 4) return;
      const sizeBytes = typeBytes + pending.readUInt32BE(typeBytes);
      if (pending.length < sizeBytes) return;
      const message = pending.subarray(0, sizeBytes);
      pending = pending.subarray(sizeBytes);
      isStarted = true;
      work = work.then(() => forward(message));
    }
  });
  upstream.on('data', (chunk: Buffer) => {
    // The server's word that it has committed is the first it says after it was asked to.
    if (isLost) client.destroy();
    else client.write(chunk);
  });
}
