/** The heavy steps of a PSI on the pool's threads. */
import type { PsiEngine } from '../../../protocols/psi/blind.ts';
import type { Pool } from '../../pool/pool.ts';
import type { ProbeEngine } from '../../../protocols/psi/probes.ts';
import type { BlindArgument } from '../../../workers/psi.ts';

/**
 * Batches go to whichever thread is free. Two more than there are threads are under way, so that
 * none waits for this one.
 * @param threads - how many threads the pool has.
 */
export function poolEngine(pool: Pool, threads: number, signal?: AbortSignal): PsiEngine {
  const run = (
    task: string,
    argument: BlindArgument,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Uint8Array> =>
    pool.run('psi', task, argument, { transfer, ...(signal === undefined ? {} : { signal }) });
  return {
    parallel: threads + 2,
    blind: (elements, secret) => {
      const { buffer } = elements;
      const owned = buffer instanceof ArrayBuffer ? [buffer] : [];
      return run('blindTask', { batch: elements, secret }, owned);
    },
    // Received points lie in a frame that is not this function's to give away: they are copied.
    evaluate: (points, secret) => run('evaluateTask', { batch: points, secret }),
  };
}

/** Probes on whichever thread is free. */
export function poolProbes(pool: Pool, signal?: AbortSignal): ProbeEngine {
  return (range) => pool.run('psi', 'probeTask', range, signal === undefined ? {} : { signal });
}
