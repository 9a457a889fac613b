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
  const run = batchRunner(pool, signal);
  return {
    parallel: threads + 2,
    blind: (batch, secret) => run('blindTask', { batch, secret }),
    evaluate: (batch, secret) => run('evaluateTask', { batch, secret }),
  };
}

/**
 * Runs a task on a batch, which is used up: it goes to the thread itself. A copy of each would wait here
 * for the collector, which looks at heaps, and these are arrays beside them.
 */
export function batchRunner(
  pool: Pool,
  signal?: AbortSignal,
): (task: string, argument: BlindArgument) => Promise<Uint8Array> {
  return (task, argument) =>
    pool.run('psi', task, argument, {
      transfer: argument.batch.buffer instanceof ArrayBuffer ? [argument.batch.buffer] : [],
      ...(signal === undefined ? {} : { signal }),
    });
}

/** Probes on whichever thread is free. */
export function poolProbes(pool: Pool, signal?: AbortSignal): ProbeEngine {
  return (range) => pool.run('psi', 'probeTask', range, signal === undefined ? {} : { signal });
}
