/** Events of runs, kept in memory: the durable truth is the run's row; events tell it live. */
import { assertInvariant } from '../errors.ts';
import type { RunId } from '../system/ids.ts';
import { type RunEvent, type RunEvents, TERMINAL_STATES } from './run-events.ts';

/** Events kept of one run, and runs kept at all: the oldest are forgotten first. */
export const EVENTS_KEPT_MAX = 256;
export const RUNS_KEPT_MAX = 4096;

interface History {
  readonly events: RunEvent[];
  nextSeq: number;
  readonly waiters: Set<() => void>;
}

/** RunEvents in memory, bounded in runs and in events a run. */
export class EventLog implements RunEvents {
  readonly #histories = new Map<RunId, History>();

  publish(event: Omit<RunEvent, 'seq'>): void {
    const history = this.#historyOf(event.runId);
    history.nextSeq += 1;
    history.events.push({ ...event, seq: history.nextSeq });
    if (history.events.length > EVENTS_KEPT_MAX) history.events.shift();
    for (const wake of history.waiters) wake();
  }

  async *follow(runId: RunId, afterSeq: number, signal: AbortSignal): AsyncIterable<RunEvent> {
    let seen = afterSeq;
    while (!signal.aborted) {
      const history = this.#histories.get(runId);
      if (history === undefined) return;
      const fresh = history.events.filter((event) => event.seq > seen);
      for (const event of fresh) {
        assertInvariant(event.seq > seen, 'events come in order');
        seen = event.seq;
        yield event;
        if (TERMINAL_STATES.includes(event.state)) return;
      }
      if (fresh.length > 0) continue;
      // A follower from before a restart counts further than this log does: the end is told by now.
      const last = history.events.at(-1);
      if (last !== undefined && TERMINAL_STATES.includes(last.state)) return;
      await woken(history.waiters, signal);
    }
  }

  unended(): readonly RunId[] {
    return [...this.#histories].flatMap(([runId, { events }]) => {
      const last = events.at(-1);
      return last === undefined || TERMINAL_STATES.includes(last.state) ? [] : [runId];
    });
  }

  #historyOf(runId: RunId): History {
    const found = this.#histories.get(runId);
    if (found !== undefined) return found;
    const fresh: History = { events: [], nextSeq: 0, waiters: new Set() };
    this.#histories.set(runId, fresh);
    if (this.#histories.size > RUNS_KEPT_MAX) {
      for (const [oldest, history] of this.#histories) {
        this.#histories.delete(oldest);
        for (const wake of history.waiters) wake();
        break;
      }
    }
    return fresh;
  }
}

function woken(waiters: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      waiters.delete(wake);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    waiters.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    if (signal.aborted) wake();
  });
}
