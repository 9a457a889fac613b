/** The heavy steps of a PSI on the pool's threads. */
import type { PsiEngine } from '../../../protocols/psi/blind.ts';
import type { Pool } from '../../pool/pool.ts';
import type { BlindArgument } from '../../../workers/psi.ts';

/**
 * Batches go to whichever thread is free. Two more than there are threads are under way, so that
 * none waits for this one.
 * @param threads - how many threads the pool has.
 */
export function poolEngine(pool: Pool, threads: number, signal?: AbortSignal): PsiEngine {
  const run = (task: string, batch: Uint8Array, secret: Uint8Array): Promise<Uint8Array> => {
    const argument: BlindArgument = { batch, secret };
    return pool.run('psi', task, argument, signal === undefined ? {} : { signal });
  };
  return {
    parallel: threads + 2,
    blind: (elements, secret) => run('blindTask', elements, secret),
    evaluate: (points, secret) => run('evaluateTask', points, secret),
  };
}
