/**
 * Tasks of a PSI for other threads: each calls one protocol function on one batch. A ProtocolError
 * is answered as data, since its code would not survive the way between threads.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import { releaseBytes } from '../protocols/common/bytes.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { blindElements, evaluatePoints } from '../protocols/psi/blind.ts';
import { digestKeys, type KeyBatch } from '../protocols/psi/key-batch.ts';
import { probePoints, type ProbeRange } from '../protocols/psi/probes.ts';
import {
  deriveOutputs,
  evaluateBlinded,
  finalizeOutputs,
} from '../protocols/psi/unbalanced/oprf.ts';
import { nativePrimitives } from './native-primitives.ts';

/** Argument of most tasks: a batch of elements or points, and this party's secret of the run. */
export interface BlindArgument {
  readonly batch: Uint8Array;
  readonly secret: Uint8Array;
}

/** @see blindElements */
export function blindTask({ batch, secret }: BlindArgument): unknown {
  return moved({ batch, secret }, () => blindElements(nativePrimitives.curve, batch, secret));
}

/** Argument of `digestTask`: encoded keys, and what they are digested with. */
export interface DigestArgument extends KeyBatch {
  readonly context: Uint8Array;
}

/** @see digestKeys */
export function digestTask({ context, keys, ends }: DigestArgument): unknown {
  return moved({ batch: keys, secret: context }, () =>
    digestKeys(nativePrimitives.hash, context, { keys, ends }),
  );
}

/** What multiplies points on this machine, for the log. @see CurvePrimitive */
export function engineTask(): string {
  return nativePrimitives.curve.engine;
}

/** @see evaluatePoints */
export function evaluateTask({ batch, secret }: BlindArgument): unknown {
  return moved({ batch, secret }, () => evaluatePoints(nativePrimitives.curve, batch, secret));
}

/** @see deriveOutputs */
export function deriveTask({ batch, secret }: BlindArgument): unknown {
  return moved({ batch, secret }, () => deriveOutputs(nativePrimitives, batch, secret));
}

/** @see evaluateBlinded */
export function evaluateBlindedTask({ batch, secret }: BlindArgument): unknown {
  return moved({ batch, secret }, () => evaluateBlinded(nativePrimitives.curve, batch, secret));
}

/** @see finalizeOutputs */
export function finalizeTask({ batch, secret }: BlindArgument): unknown {
  return moved({ batch, secret }, () => finalizeOutputs(nativePrimitives, batch, secret));
}

/** @see probePoints */
export function probeTask(range: ProbeRange): unknown {
  return moved({ batch: new Uint8Array(0), secret: range.seed }, () =>
    probePoints(nativePrimitives, range),
  );
}

/** This thread's copies of batch and secret are used up. */
function moved({ batch, secret }: BlindArgument, work: () => Uint8Array): unknown {
  try {
    return move(work());
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  } finally {
    releaseBytes(batch);
    secret.fill(0);
  }
}
