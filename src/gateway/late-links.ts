/** The links of this process, for parts that are made before there are any. */
import { AbortError } from '../errors.ts';
import type { LinkServer } from '../link/link-server.ts';
import type { RunTransport } from '../runs/run-transport.ts';

export interface LateLinks {
  /** Undefined while a start recovers what a crash left: nobody is connected then. */
  find(): LinkServer | undefined;
  get(): LinkServer;
  set(links: LinkServer): void;
}

/** The link server needs the HTTP server, which needs the services, which need the links. */
export function lateLinks(): LateLinks {
  let links: LinkServer | undefined;
  return {
    find: () => links,
    get: () => {
      if (links === undefined) throw new AbortError('domain-unreachable', 'No links yet.');
      return links;
    },
    set: (server) => {
      links = server;
    },
  };
}

/** Runs ask domains over whatever links there are. */
export function transportOver(links: LateLinks): RunTransport {
  return {
    isConnected: (party) => links.find()?.linkOf(party) !== undefined,
    request: (party, method, body, options) => {
      const link = links.find()?.linkOf(party);
      if (link !== undefined) return link.request(method, body, options);
      return Promise.reject(
        new AbortError('domain-unreachable', `Domain ${party} is not connected.`, { party }),
      );
    },
    openChannel: (runId, attempt, parties) =>
      links.get().openRunChannel({ runId, attempt, parties }),
  };
}
