/** Seam: bulk work on other threads. Only this folder names Piscina and worker URLs. */
import type { MessagePort } from 'node:worker_threads';

/** One entry per file in `workers/`; the task's argument and answer types live there. */
export type WorkerFile = 'homomorphic' | 'psi' | 'psi-sum' | 'psi-vole' | 'secure-sum' | 'weights';

export interface Pool {
  /**
   * Runs `task` of `workers/<file>` on a free thread; `transfer` moves buffers instead of copying.
   * @throws CapacityError `queue-full` beyond the bounded queue.
   */
  run<Answer>(
    file: WorkerFile,
    task: string,
    argument: unknown,
    options?: {
      readonly transfer?: readonly (ArrayBuffer | MessagePort)[];
      readonly signal?: AbortSignal;
      /** The work is shorter than the way to a thread and back: done here, on a copy all the same. */
      readonly small?: boolean;
      /**
       * The task waits for messages between its steps: it gets a thread that no other task waits
       * for, at once or not at all (`queue-full`), and the thread's memory ends with it.
       */
      readonly ownThread?: boolean;
    },
  ): Promise<Answer>;
  close(): Promise<void>;
}
