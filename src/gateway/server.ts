/**
 * The gateway's socket: HTTP or HTTPS with every wait and size bounded, a hand-off for link
 * upgrades, and a shutdown that lets work end before it closes.
 */
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { SetupError, StateError, InputError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { isLoopback } from '../system/loopback.ts';
import type { HttpApp } from './endpoint.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

export interface ServerLimits {
  /** The request's head must be whole within this time. */
  readonly headersTimeoutMs: number;
  /** Head and body must be whole within this time: a slow sender cannot hold a connection. */
  readonly requestTimeoutMs: number;
  /** An idle connection is closed after this time. */
  readonly keepAliveTimeoutMs: number;
  /** How often the two time limits are checked. */
  readonly checkIntervalMs: number;
  readonly connectionsMax: number;
  readonly headerBytesMax: number;
}

export const SERVER_LIMITS: ServerLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 65_000,
  checkIntervalMs: 2_000,
  connectionsMax: 2_048,
  headerBytesMax: 16 * 1024,
};

const IDLE_CHECK_MS = 25;

export interface TlsFiles {
  /** PEM: the certificate, then its chain. */
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ServerOptions {
  readonly app: HttpApp;
  /** An IP address or `localhost`; beyond loopback only with `tls`. */
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  readonly tls?: TlsFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<ServerLimits>;
}

export interface ShutdownSteps {
  /** Stop taking work: requests that would start some are answered `shutting-down` from here on. */
  stopWork(): void;
  /** Resolves once the runs that go on have ended; `signal` aborts at the deadline. */
  drainRuns(signal: AbortSignal): Promise<void>;
  /** Ends event streams and links, which would otherwise hold their connections to the deadline. */
  endConnections(): Promise<void>;
  /** From now until connections are cut. */
  readonly deadlineMs: number;
}

export interface RunningServer {
  /** For `attachLinkServer`, which takes the upgrades. */
  readonly server: HttpServer | HttpsServer;
  readonly port: number;
  readonly url: string;
  /** Stops accepting, drains, closes; connections left at the deadline are cut. */
  close(steps: ShutdownSteps): Promise<void>;
}

/**
 * Listens.
 * @throws SetupError `tls-required`, `port-taken`, `key-unreadable`, `config-invalid`: one sentence
 *   each that says what to do.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  if (options.tls === undefined && !isLoopback(options.host)) {
    throw new SetupError(
      'tls-required',
      `The gateway does not listen on ${options.host} without TLS: give a certificate and key, or bind 127.0.0.1.`,
    );
  }
  const limits = { ...SERVER_LIMITS, ...options.limits };
  const server = createServer(options, limits);
  server.maxConnections = limits.connectionsMax;
  server.headersTimeout = limits.headersTimeoutMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.on('clientError', (error, socket) => refuseMalformed(error, socket, options.clock));
  refuseStrayUpgrades(server, options.clock);
  const sockets = trackSockets(server);
  await listen(server, options);
  // From here on an error of the server is not of its start.
  server.on('error', (error) => options.log.error({ err: error }, 'the server failed'));
  const { port } = server.address() as AddressInfo;
  const scheme = options.tls === undefined ? 'http' : 'https';
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    server,
    port,
    url: `${scheme}://${host}:${port}`,
    close: (steps) => closeServer(server, sockets, steps, options),
  };
}

function createServer(options: ServerOptions, limits: ServerLimits): HttpServer | HttpsServer {
  const listener = getRequestListener(options.app.fetch, { overrideGlobalObjects: true });
  const settings = {
    maxHeaderSize: limits.headerBytesMax,
    connectionsCheckingInterval: limits.checkIntervalMs,
    // Ambiguous framing is how requests are smuggled past a proxy.
    insecureHTTPParser: false,
    noDelay: true,
    keepAlive: true,
  };
  const handle = (...args: Parameters<typeof listener>): void => void listener(...args);
  if (options.tls === undefined) return createHttpServer(settings, handle);
  const { certFile, keyFile } = options.tls;
  try {
    const tls = { cert: readPem(certFile), key: readPem(keyFile), minVersion: 'TLSv1.3' as const };
    const handshakeTimeout = limits.headersTimeoutMs;
    return createHttpsServer({ ...settings, ...tls, handshakeTimeout }, handle);
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError(
      'key-unreadable',
      `The certificate ${certFile} and the key ${keyFile} are not a pair in PEM form: create them anew.`,
    );
  }
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    throw new SetupError(
      'key-unreadable',
      `The TLS file ${file} cannot be read: check the path and that this account may read it.`,
    );
  }
}

function listen(server: HttpServer | HttpsServer, options: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(startError(error, options));
    server.once('error', onError);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

function startError(error: NodeJS.ErrnoException, { host, port }: ServerOptions): SetupError {
  if (error.code === 'EADDRINUSE') {
    return new SetupError(
      'port-taken',
      `Port ${port} on ${host} is taken: stop the other program, or choose another port.`,
    );
  }
  const reason = error.code ?? 'unknown error';
  const advice =
    error.code === 'EACCES' ? 'choose a port above 1023' : 'check the address and the port';
  return new SetupError(
    'config-invalid',
    `The gateway cannot listen on ${host} port ${port} (${reason}): ${advice}.`,
  );
}

/** An upgrade that no listener takes ends here; the link server adds its own listener. */
function refuseStrayUpgrades(server: HttpServer | HttpsServer, clock: Clock): void {
  server.on('upgrade', (_request, socket: Duplex) => {
    if (server.listenerCount('upgrade') > 1) return;
    socket.on('error', () => socket.destroy());
    socket.end(rawProblem(new StateError('route-unknown', 'No such route.'), clock));
  });
}

/** What the HTTP parser refuses never reaches a route: a problem document is written by hand. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex, clock: Clock): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new InputError('body-too-large', 'The request’s head is larger than allowed.')
      : new InputError('malformed-message', 'The request is not valid HTTP, or came too slowly.');
  // Written, then cut: a peer that never closes its side would keep the socket for ever.
  socket.end(rawProblem(refusal, clock), () => socket.destroy());
}

function rawProblem(error: InputError | StateError, clock: Clock): string {
  const { document } = problemOf(error, clock.now());
  const body = JSON.stringify(document);
  return [
    `HTTP/1.1 ${document.status} ${document.code}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

async function closeServer(
  server: HttpServer | HttpsServer,
  sockets: ReadonlySet<Socket>,
  steps: ShutdownSteps,
  { clock, log }: ServerOptions,
): Promise<void> {
  steps.stopWork();
  const deadline = new AbortController();
  const done = new AbortController();
  const timer = clock.sleep(steps.deadlineMs, done.signal).then(() => deadline.abort());
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      done.abort();
      resolve();
    });
  });
  const drain = async (): Promise<void> => {
    await steps.drainRuns(deadline.signal);
    await steps.endConnections();
    await closeAsTheyFallIdle(server, clock, done.signal);
  };
  const failed = (error: unknown): void => log.error({ err: error }, 'the shutdown did not drain');
  await Promise.race([drain().catch(failed), timer]);
  // Also sockets that were upgraded, which the HTTP server counts but does not close.
  for (const socket of sockets) socket.destroy();
  await closed;
}

/** `close` ends connections that are idle then; one whose answer ends later would wait for a next call. */
async function closeAsTheyFallIdle(
  server: HttpServer | HttpsServer,
  clock: Clock,
  closed: AbortSignal,
): Promise<void> {
  while (!closed.aborted) {
    server.closeIdleConnections();
    await clock.sleep(IDLE_CHECK_MS, closed);
  }
}

/** Every open socket; as many as `maxConnections`. */
function trackSockets(server: HttpServer | HttpsServer): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}
