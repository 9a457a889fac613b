/**
 * The processes of one gateway on one database, as they find each other: which are there, by the name
 * each holds, and where each is reached, by a row it writes once it listens. Whoever can write such a
 * row can write the ledger, so a row needs no signature; a row of a process that is gone is not used.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { SetupError } from '../errors.ts';
import type { OtherProcesses } from '../runs/other-processes.ts';
import type { MigrationList } from '../store/migrations.ts';
import { isNameHeld } from '../store/postgres-name.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../system/log.ts';
import { isLoopback } from '../system/loopback.ts';
import type { GatewayConfig } from './config.ts';

export const PEER_MIGRATIONS: MigrationList = {
  area: 'gateway-processes',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE gateway_process (
  instance TEXT PRIMARY KEY, url TEXT NOT NULL, machine TEXT NOT NULL, certificate TEXT)`,
    },
  ],
};

/** Where a process is reached. */
export interface PeerPlace {
  readonly url: string;
  /** PEM: the very certificate it shows. Absent for plain HTTP, which stays on one machine. */
  readonly certificate: string | undefined;
}

export interface Peers extends OtherProcesses {
  /** Where the process is reached from here; undefined where it is gone, or told no such address. */
  find(instance: string): Promise<PeerPlace | undefined>;
  announce(place: PeerPlace): Promise<void>;
  /** No call comes to this process through others any more. */
  withdraw(): Promise<void>;
}

/** @param own - where the database and its names are, and this process's name. */
export function openPeers(
  store: Store,
  own: { readonly schema: string; readonly instance: string },
): Peers {
  const isPresent = (instance: string): Promise<boolean> => isNameHeld(store, own.schema, instance);
  const remove = {
    sql: 'DELETE FROM gateway_process WHERE instance = ?',
    params: [own.instance],
  };
  return {
    isPresent,
    find: async (instance) => {
      const [row] = await store.query(
        'SELECT url, machine, certificate FROM gateway_process WHERE instance = ?',
        [instance],
      );
      if (row === undefined || !(await isPresent(instance))) return undefined;
      const url = String(row['url']);
      // Another machine's loopback is here another program's port: a token must not go there.
      if (isLoopback(new URL(url).hostname) && row['machine'] !== hostname()) return undefined;
      const certificate = row['certificate'];
      return { url, certificate: certificate === null ? undefined : String(certificate) };
    },
    announce: ({ url, certificate }) =>
      store.execute([
        remove,
        {
          sql: 'INSERT INTO gateway_process (instance, url, machine, certificate) VALUES (?, ?, ?, ?)',
          params: [own.instance, url, hostname(), certificate ?? null],
        },
      ]),
    withdraw: () => store.execute([remove]),
  };
}

/**
 * From here on the other processes hand over calls for runs that are at work here.
 * @throws SetupError `tls-required` for an address that a token must not go to
 */
export async function announceSelf(
  peers: Peers | undefined,
  own: {
    readonly listening: string;
    readonly directory: string;
    readonly config: Pick<GatewayConfig, 'advertiseUrl' | 'tls' | 'instance'>;
    readonly log: Log;
  },
): Promise<void> {
  if (peers === undefined) return;
  const { advertiseUrl, tls, instance } = own.config;
  const certFile = tls === undefined ? undefined : join(own.directory, tls.certFile);
  const place = placeOf(own.listening, advertiseUrl, certFile);
  if (place !== undefined) return peers.announce(place);
  own.log.warn({ instance }, 'without advertiseUrl no other gateway process can hand calls over');
}

/** Undefined where it listens on every address of the machine and none is configured. */
function placeOf(
  listening: string,
  advertised: string | undefined,
  certFile: string | undefined,
): PeerPlace | undefined {
  const { protocol, hostname: host, origin } = new URL(advertised ?? listening);
  if (advertised === undefined && (host === '0.0.0.0' || host === '[::]')) return undefined;
  if (protocol !== new URL(listening).protocol) {
    throw new SetupError('config-invalid', `advertiseUrl ${origin} is not how it listens.`, {
      path: 'advertiseUrl',
      remedy: 'Name the process itself, with https where it has a certificate.',
    });
  }
  if (protocol !== 'https:' && !isLoopback(host)) {
    throw new SetupError('tls-required', `advertiseUrl ${origin} is neither https nor loopback.`, {
      path: 'advertiseUrl',
      remedy: 'Give the process a certificate, and its https address.',
    });
  }
  return {
    url: origin,
    certificate:
      certFile === undefined
        ? undefined
        : new X509Certificate(readFileSync(certFile, 'utf8')).toString(),
  };
}
