/** The end of a run, told from its row to whoever missed it. */
import { type RunEvent, TERMINAL_STATES } from './run-events.ts';
import type { RunRow } from './run-rows.ts';

/** The number of a stored end: after every live event, and in 15 digits, as `Last-Event-ID` takes. */
const END_SEQ = 999_999_999_999_999;

/** What is left of the live events, then the end, unless it was among them. */
export async function* withStoredEnd(
  run: RunRow,
  live: AsyncIterable<RunEvent>,
): AsyncIterable<RunEvent> {
  let told = false;
  for await (const event of live) {
    told = TERMINAL_STATES.includes(event.state);
    yield event;
  }
  if (!told) yield storedEnd(run);
}

/** The end alone. */
export function storedEnd({ runId, updatedMs, state, code, note }: RunRow): RunEvent {
  return { runId, seq: END_SEQ, atMs: updatedMs, state, progress: 1, code, note };
}
