/** The processes of one gateway on one database, as they find each other: by the name each holds. */
import type { OtherProcesses } from '../runs/other-processes.ts';
import { isNameHeld } from '../store/postgres-name.ts';
import type { Store } from '../store/store.ts';

export type Peers = OtherProcesses;

/** @param own - where the names are held. */
export function openPeers(store: Store, own: { readonly schema: string }): Peers {
  return { isPresent: (instance) => isNameHeld(store, own.schema, instance) };
}
