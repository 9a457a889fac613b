/** The heavy steps of an unbalanced match on the pool's threads. */
import { createHash } from 'node:crypto';
import type { OprfEngine } from '../../../../protocols/psi/unbalanced/oprf.ts';
import type { Pool } from '../../../pool/pool.ts';
import { batchRunner } from '../pool-engine.ts';

/**
 * @param threads - how many threads the pool has.
 * @see poolEngine
 */
export function poolOprf(pool: Pool, threads: number, signal: AbortSignal): OprfEngine {
  const run = batchRunner(pool, signal);
  return {
    parallel: threads + 2,
    derive: (elements, key) => run('deriveTask', { batch: elements, secret: key }),
    evaluate: (points, key) => run('evaluateBlindedTask', { batch: points, secret: key }),
    finalize: (points, inverse) => run('finalizeTask', { batch: points, secret: inverse }),
    sha256: (message) => createHash('sha256').update(message).digest(),
  };
}
