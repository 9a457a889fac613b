/** `Pool` by Piscina: worker threads with a bounded queue. The only file that names Piscina. */
import type { MessagePort } from 'node:worker_threads';
import { Piscina, valueSymbol } from 'piscina';
import { CapacityError, InvariantError, StateError, WeirError } from '../errors.ts';
import { ProtocolError, type ProtocolErrorCode } from '../../protocols/common/protocol-error.ts';
import type { Pool, WorkerFile } from './pool.ts';
import { workerUrl } from './worker-url.ts';

/** Tasks that may wait; each holds at most some blocks of a run. */
export const QUEUE_MAX = 1024;
const CLOSE_TIMEOUT_MS = 5_000;
const THREAD_HEAP_MIB = 512;
/** Tasks with a thread of their own: each can hold half a gigabyte. */
const OWN_THREADS_MAX = 8;

export interface PoolOptions {
  readonly threadsMax: number;
  readonly queueMax?: number;
  /** JavaScript heap of a thread; buffers do not count. A thread that exceeds it dies alone. */
  readonly threadHeapMiB?: number;
}

/** Starts a pool; workers start with the first task. */
export function openPool(options: PoolOptions): Pool {
  const queueMax = options.queueMax ?? QUEUE_MAX;
  const piscina = new Piscina({
    minThreads: 0,
    maxThreads: options.threadsMax,
    maxQueue: queueMax,
    // A thread takes a quarter of a second to load its modules: once started it stays.
    idleTimeout: Number.POSITIVE_INFINITY,
    closeTimeout: CLOSE_TIMEOUT_MS,
    resourceLimits: { maxOldGenerationSizeMb: options.threadHeapMiB ?? THREAD_HEAP_MIB },
  });
  const ownThreads = new Piscina({
    minThreads: 0,
    maxThreads: OWN_THREADS_MAX,
    // Counted below: two tasks that wait for each other's messages must never wait for a thread.
    maxQueue: OWN_THREADS_MAX,
    idleTimeout: 0,
    closeTimeout: CLOSE_TIMEOUT_MS,
    resourceLimits: { maxOldGenerationSizeMb: options.threadHeapMiB ?? THREAD_HEAP_MIB },
  });
  // A worker that dies between tasks is replaced by the next one; tasks report their own failure.
  for (const each of [piscina, ownThreads]) each.on('error', () => {});
  let ownRunning = 0;
  return {
    async run(file, task, argument, runOptions = {}) {
      const { transfer = [], signal, small = false, ownThread = false } = runOptions;
      if (signal?.aborted) throw abortReason(signal);
      if (ownThread && ownRunning >= OWN_THREADS_MAX) {
        throw queueFull(`All ${OWN_THREADS_MAX} threads for long tasks are taken.`);
      }
      ownRunning += Number(ownThread);
      let answer: unknown;
      try {
        if (small) answer = await runHere(file, task, argument, transfer);
        else
          answer = await (ownThread ? ownThreads : piscina).run(argument, {
            filename: workerUrl(file).href,
            name: task,
            // Piscina's type follows the first overload of postMessage; it passes the list to the second.
            transferList: [...transfer] as object,
            signal: signal ?? null,
          });
      } catch (error) {
        throw asPoolError(error, signal, queueMax);
      } finally {
        ownRunning -= Number(ownThread);
      }
      if (isTaskFailure(answer)) {
        throw new ProtocolError(answer.protocolError.code, answer.protocolError.message);
      }
      return answer as never;
    },
    async close() {
      await Promise.all([piscina.destroy(), ownThreads.destroy()]);
    },
  };
}

/** The same task as a thread would run, on the same kind of copy: a task may wipe what it was given. */
async function runHere(
  file: WorkerFile,
  task: string,
  argument: unknown,
  transfer: readonly (ArrayBuffer | MessagePort)[],
): Promise<unknown> {
  const module = (await import(workerUrl(file).href)) as Readonly<
    Record<string, (argument: unknown) => unknown>
  >;
  const run = module[task];
  if (run === undefined) throw new InvariantError('internal', 'no such task');
  const answer = await run(structuredClone(argument, { transfer: [...transfer] }));
  const isMarked = typeof answer === 'object' && answer !== null && valueSymbol in answer;
  // What a thread would move here is here already.
  return isMarked ? (answer as { [valueSymbol]: unknown })[valueSymbol] : answer;
}

function isTaskFailure(
  answer: unknown,
): answer is { protocolError: { code: ProtocolErrorCode; message: string } } {
  return typeof answer === 'object' && answer !== null && 'protocolError' in answer;
}

function asPoolError(error: unknown, signal: AbortSignal | undefined, queueMax: number): WeirError {
  if (signal?.aborted) return abortReason(signal);
  const text = error instanceof Error ? error.message : '';
  if (/queue is at limit|No task queue available/.test(text)) {
    return queueFull(`More than ${queueMax} tasks are waiting.`);
  }
  return new InvariantError('internal', 'A worker thread failed.', {}, { cause: error });
}

function abortReason(signal: AbortSignal): WeirError {
  const reason: unknown = signal.reason;
  if (reason instanceof WeirError) return reason;
  return new StateError('run-cancelled', 'The run was cancelled.');
}

function queueFull(text: string): CapacityError {
  return new CapacityError('queue-full', text, {
    retryAfterS: 1,
    remedy: 'Try again in a moment.',
  });
}
