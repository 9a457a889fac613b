/** Seam: what is told about a run while it goes on; the API streams it, the CLI draws it. */
import type { RunId } from '../system/ids.ts';

export const RUN_STATES = [
  'reserved',
  'preparing',
  'agreed',
  'computing',
  'awaiting-release',
  'releasing',
  'posted',
  'refused',
  'voided',
  'expired',
] as const;
export type RunState = (typeof RUN_STATES)[number];

/** States that never change again. `refused` is posted in full: the refusal depended on data. */
export const TERMINAL_STATES: readonly RunState[] = ['posted', 'refused', 'voided', 'expired'];

export interface RunEvent {
  readonly runId: RunId;
  readonly seq: number;
  readonly atMs: number;
  readonly state: RunState;
  /** 0..1 within the state, where it can be told. */
  readonly progress: number | undefined;
  /** A code of the closed union on `refused` and `voided`. */
  readonly code: string | undefined;
  /** One sentence for people. */
  readonly note: string;
}

export interface RunEvents {
  publish(event: Omit<RunEvent, 'seq'>): void;
  /** Runs of which something was told, and no end. */
  unended(): readonly RunId[];
  /** Events after `afterSeq`, then live ones until the run ends or `signal` aborts. */
  follow(runId: RunId, afterSeq: number, signal: AbortSignal): AsyncIterable<RunEvent>;
}
