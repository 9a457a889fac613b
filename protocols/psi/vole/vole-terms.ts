/** What sender and receiver of the LPN engine derive alike from the parameters and the session. */
import type { CodeStreams, LeafShape, TreeKeys } from '../../common/primitives.ts';
import { COLUMNS, extensionBytes, extensionRows } from './ot-extension.ts';
import { OT_KEY_BYTES, PAIR_BYTES } from './base-ot.ts';
import type { VoleMachine, VoleParams } from './correlation.ts';
import { CODE_21X24, lpnShape, type LpnCode, type LpnShape } from './lpn-params.ts';
import { noisyVoleBytes } from './noisy-vole.ts';
import type { SessionTerms, VoleSession } from './session.ts';

/**
 * Sums that are opened to check the correlation, of the elements i with one i mod 40 each; so many
 * elements beyond those asked for hide them. A fault of a leaf enters each with chance one half.
 */
export const CHECKED_SUMS = 40;
export const ELEMENT_BYTES = 16;
/** Segments of the base transfers' streams. */
export const CHOICE_SEGMENT = 0;
export const VALUE_SEGMENT = 1;
/** Base transfers: the first half for the extension, the second for the bits of Δ. */
export const BASE_TRANSFERS = 2 * COLUMNS;

/** `VoleParams` of the LPN engine. */
export interface LpnVoleParams extends VoleParams {
  /** `CODE_21X24` where none is named. */
  readonly code?: LpnCode;
}

export interface VoleTerms {
  readonly shape: LpnShape;
  readonly session: SessionTerms;
  readonly rows: number;
  /** Lengths of the messages. */
  readonly choicesBytes: number;
  readonly extensionBytes: number;
  readonly valuesBytes: number;
  readonly sumsBytes: number;
}

/** @throws ProtocolError `parameter-invalid` */
export function voleTerms(params: LpnVoleParams): VoleTerms {
  const code = params.code ?? CODE_21X24;
  const shape = lpnShape(params.size + CHECKED_SUMS, code);
  const rows = extensionRows(shape.blocks * shape.depth);
  return {
    shape,
    session: {
      engine: `lpn ${code.name}`,
      numbers: [
        params.size,
        shape.blocks,
        shape.depth,
        code.taps,
        code.regularTaps,
        code.foundDistance,
      ],
      context: params.context,
    },
    rows,
    choicesBytes: BASE_TRANSFERS * PAIR_BYTES,
    extensionBytes: extensionBytes(rows),
    valuesBytes: noisyVoleBytes(shape.blocks * ELEMENT_BYTES),
    sumsBytes: shape.blocks * shape.depth * 2 * ELEMENT_BYTES,
  };
}

export function leafShape(shape: LpnShape, withNoise: boolean): LeafShape {
  return { trees: shape.blocks, depth: shape.depth, size: shape.size, withNoise };
}

/** The public keys of a session. */
export interface SessionKeys {
  readonly tree: TreeKeys;
  readonly rows: Uint8Array;
  readonly code: CodeStreams;
}

export function sessionKeys(
  session: VoleSession,
  machine: VoleMachine,
  params: LpnVoleParams,
): SessionKeys {
  const { taps, regularTaps } = params.code ?? CODE_21X24;
  const codeKey = session.publicKey('code', 32);
  return {
    tree: [session.publicKey('tree left', 16), session.publicKey('tree right', 16)],
    rows: session.publicKey('extension rows', 16),
    code: {
      taps,
      regularTaps,
      open: (segment) => machine.primitives.stream.open(codeKey, segment),
    },
  };
}

/** The keys of the two halves of the base transfers. */
export function splitKeys(keys: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const half = COLUMNS * OT_KEY_BYTES;
  return [keys.subarray(0, half), keys.subarray(half)];
}
