/** A throw-away PostgreSQL server of the test's own: fresh directory, free port, killable. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const START_MAX_MS = 30_000;
const STARTS_MAX = 10;

export interface PostgresServer {
  readonly url: string;
  /** Ends the server as a crash does: SIGKILL to the postmaster and to all its children. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Where `initdb` and `postgres` are, or undefined where they are not installed. */
export function postgresBinaries(): string | undefined {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const candidates = [
    ...versions
      .toSorted()
      .toReversed()
      .map((version) => `/usr/lib/postgresql/${version}/bin`),
    '/usr/local/bin',
    '/usr/bin',
  ];
  return candidates.find(
    (each) => existsSync(join(each, 'initdb')) && existsSync(join(each, 'postgres')),
  );
}

/** PostgreSQL refuses to run as root: then it runs under an account that owns its directory. */
function account(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const uid = Number(spawnSync('id', ['-u', name], { encoding: 'utf8' }).stdout);
    const gid = Number(spawnSync('id', ['-g', name], { encoding: 'utf8' }).stdout);
    if (Number.isInteger(uid) && uid > 0) return { uid, gid };
  }
  return undefined;
}

/** @throws Error where the binaries do not start. */
export async function startPostgres(binaries: string): Promise<PostgresServer> {
  const identity = account();
  const directory = mkdtempSync(join(tmpdir(), 'weir-pg-'));
  if (identity !== undefined) chownSync(directory, identity.uid, identity.gid);
  const data = join(directory, 'data');
  const made = spawnSync(
    join(binaries, 'initdb'),
    ['-D', data, '-U', 'weir', '-A', 'trust', '--no-instructions', '--locale=C', '-E', 'UTF8'],
    { ...identity, cwd: directory, encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const url = `postgres://weir@127.0.0.1:${port}/postgres`;
  let server: ChildProcess | undefined;
  const ended = (child: ChildProcess): Promise<void> =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve();
      else child.once('exit', () => resolve());
    });
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${directory}`].flatMap(
    (setting) => ['-c', setting],
  );
  const start = async (): Promise<void> => {
    // What a crash left behind (a worker that still ends) can make the first start fail.
    for (let attempt = 1; ; attempt += 1) {
      const started = spawn(
        join(binaries, 'postgres'),
        ['-D', data, '-p', String(port), ...settings],
        { ...identity, cwd: directory, stdio: 'ignore' },
      );
      server = started;
      const exited = ended(started).then(() => 'exited' as const);
      const outcome = await Promise.race([answers(url), exited]);
      if (outcome !== 'exited') return;
      if (attempt >= STARTS_MAX) throw new Error('the PostgreSQL server does not start');
      await sleep(300);
    }
  };
  await start();
  return {
    url,
    start,
    kill: async () => {
      if (server?.pid === undefined) return;
      const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(server.pid)], {
        encoding: 'utf8',
      });
      const pids = children.stdout
        .split('\n')
        .map(Number)
        .filter((pid) => pid > 0);
      for (const pid of [server.pid, ...pids]) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
      await ended(server);
    },
    stop: async () => {
      if (server !== undefined) {
        server.kill('SIGINT');
        await ended(server);
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + START_MAX_MS;
  for (;;) {
    const client = new Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      );
    });
  });
}
