/**
 * Tasks of a secure sum for other threads: each calls one protocol function and hands the bytes
 * back by transfer. A ProtocolError is answered as data, since its code would not survive the
 * way between threads.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import { ProtocolError, type ProtocolErrorCode } from '../protocols/common/protocol-error.ts';
import { addBodies } from '../protocols/secure-sum/aggregator.ts';
import {
  sessionKeys,
  type SessionKeys,
  type SessionSecrets,
} from '../protocols/secure-sum/keys.ts';
import type { Layout } from '../protocols/secure-sum/params.ts';
import {
  maskCounts,
  maskMeasures,
  openCounts,
  type BlockTask,
  type OpenedCounts,
} from '../protocols/secure-sum/party.ts';
import { nativePrimitives } from './native-primitives.ts';

/** An answer of a task that a protocol check ended. */
export interface TaskFailure {
  readonly protocolError: { readonly code: ProtocolErrorCode; readonly message: string };
}

/** Argument of `sessionKeysTask`. @see sessionKeys */
export interface SessionKeysArgument extends SessionSecrets {
  readonly counts: Layout;
  readonly measures: Layout;
}

/** Argument of `maskCountsTask`. @see maskCounts */
export interface MaskCountsArgument extends BlockTask {
  readonly counted: readonly Uint8Array[];
  readonly factors: readonly Uint8Array[];
}

/** Argument of `openCountsTask`. @see openCounts */
export interface OpenCountsArgument extends BlockTask {
  readonly totals: Uint8Array;
  readonly factors: readonly Uint8Array[];
  readonly countMax: number;
  readonly parties: number;
}

/** Argument of `maskMeasuresTask`: the answer is `body`, masked. @see maskMeasures */
export interface MaskMeasuresArgument extends BlockTask {
  readonly body: Uint8Array;
  readonly permitted: readonly Uint8Array[];
}

/** Argument of `addBodiesTask`: adds in place, over memory the threads share. @see addBodies */
export interface AddBodiesArgument {
  readonly layout: Layout;
  readonly block: number;
  readonly total: Uint8Array;
  readonly bodies: readonly Uint8Array[];
}

/** @see sessionKeys */
export function sessionKeysTask(task: SessionKeysArgument): SessionKeys | TaskFailure {
  return answered(() => sessionKeys(nativePrimitives, task, task.counts, task.measures));
}

/** @see maskCounts */
export function maskCountsTask(task: MaskCountsArgument): unknown {
  return moved(() => maskCounts(nativePrimitives, task, task.counted, task.factors));
}

/** @see openCounts */
export function openCountsTask(task: OpenCountsArgument): readonly OpenedCounts[] | TaskFailure {
  return answered(() =>
    openCounts(nativePrimitives, task, task.totals, task.factors, task.countMax, task.parties),
  );
}

/** @see maskMeasures */
export function maskMeasuresTask(task: MaskMeasuresArgument): unknown {
  return moved(() => {
    maskMeasures(nativePrimitives, task, task.body, task.permitted);
    return task.body;
  });
}

/** @see addBodies */
export function addBodiesTask(task: AddBodiesArgument): TaskFailure | undefined {
  const { layout, block, total, bodies } = task;
  return answered(() => {
    addBodies(nativePrimitives, layout, block, total, bodies);
    return undefined;
  });
}

function answered<Answer>(work: () => Answer): Answer | TaskFailure {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  }
}

function moved(work: () => Uint8Array): unknown {
  const answer = answered(work);
  return answer instanceof Uint8Array ? move(answer) : answer;
}
