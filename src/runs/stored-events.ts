/** A run told from its row: its end to whoever missed it, its states to who follows it elsewhere. */
import type { Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import type { RunId } from '../system/ids.ts';
import { type RunEvent, TERMINAL_STATES } from './run-events.ts';
import { readRun, type RunRow } from './run-rows.ts';

/** The number of a stored end: after every live event, and in 15 digits, as `Last-Event-ID` takes. */
const END_SEQ = 999_999_999_999_999;
/** How often a follower looks at a run that another process is at work on. */
const LOOK_EVERY_MS = 500;

/**
 * The live events, then the end, unless it was among them: a follower of before a restart, or of
 * another process, may count further than these do.
 */
export async function* withStoredEnd(
  store: Store,
  runId: RunId,
  live: AsyncIterable<RunEvent>,
): AsyncIterable<RunEvent> {
  for await (const event of live) {
    yield event;
    if (TERMINAL_STATES.includes(event.state)) return;
  }
  const run = await readRun(store, runId);
  if (run !== undefined && TERMINAL_STATES.includes(run.state)) yield storedEnd(run);
}

/**
 * Each state that is seen in the row, until the end. How far the run is within a state is known to its
 * own process alone.
 * @param afterSeq - the follower's last event, by whichever process: these are numbered on from it.
 */
export async function* rowEvents(
  { store, clock }: { readonly store: Store; readonly clock: Clock },
  runId: RunId,
  afterSeq: number,
  signal: AbortSignal,
): AsyncIterable<RunEvent> {
  let seq = afterSeq;
  let told = '';
  while (!signal.aborted) {
    const run = await readRun(store, runId);
    if (run === undefined) return;
    if (TERMINAL_STATES.includes(run.state)) {
      yield storedEnd(run);
      return;
    }
    const { state, attempt, note, updatedMs: atMs } = run;
    const seen = `${state} ${attempt}`;
    if (seen !== told) {
      told = seen;
      seq += 1;
      yield { runId, seq, atMs, state, progress: undefined, code: undefined, note };
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

function storedEnd({ runId, updatedMs, state, code, note }: RunRow): RunEvent {
  return { runId, seq: END_SEQ, atMs: updatedMs, state, progress: 1, code, note };
}
