/**
 * Where the files that run on other threads are. Resolved against this file, so that the same
 * call works from source (`.ts`, types stripped by Node) and from the build (`.js`).
 */

const WORKERS = {
  /** The thread that owns an SQLite database. */
  'sqlite-thread': '../store/sqlite-thread',
  /** The audit chain's functions over that database, loaded inside the thread. */
  'audit-program': '../audit/sqlite-program',
  /** The ledger's functions over that database, loaded inside the thread. */
  'ledger-program': '../ledger/sqlite-program',
  homomorphic: '../../workers/homomorphic',
  psi: '../../workers/psi',
  'psi-sum': '../../workers/psi-sum',
  'psi-vole': '../../workers/psi-vole',
  'secure-sum': '../../workers/secure-sum',
  weights: '../../workers/weights',
} as const;

export type WorkerName = keyof typeof WORKERS;

/** The URL of a worker file or of a module that a worker loads. */
export function workerUrl(name: WorkerName): URL {
  const ownExtension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`${WORKERS[name]}${ownExtension}`, import.meta.url);
}
