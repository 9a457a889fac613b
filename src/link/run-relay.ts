/**
 * The gateway's end of runs: its own channel in each, and the relay between the run's domains.
 * It passes frames on only between members of the run, each in its own name and within the
 * window its receiver granted. A grant passes once the receiver's socket has drained, whatever the
 * receiver says that it has read: so what the relay holds of a run is bounded by the windows, and what
 * it holds for a party by the room that its runs took together.
 */
import {
  AbortError,
  CapacityError,
  StateError,
  type WeirError,
  assertInvariant,
} from '../errors.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import { LinkViolation } from './close-reason.ts';
import type { Connection } from './connection.ts';
import { costBytes } from './flow.ts';
import type { FrameBody, FrameOf, RunFrame } from './frames.ts';
import { InboxRoom, type Share } from './inbox-room.ts';
import { RUNS_AT_GATEWAY_MAX, RUNS_REMEMBERED_MAX } from './limits.ts';
import { RecentKeys } from './recent-keys.ts';
import { RunEnd, type RunChannelHandle, type RunSpec } from './run-channel.ts';
import { decodeError, encodeError } from './wire-error.ts';

interface Member {
  readonly connection: Connection;
  /** It said `done`: nothing more goes to it, and its leaving harms nobody. */
  isDone: boolean;
}

interface RelayedRun {
  readonly spec: RunSpec;
  readonly members: ReadonlyMap<PartyId, Member>;
  readonly end: RunEnd;
  readonly share: Share;
  /** By `from>to`. */
  readonly directions: Map<string, Direction>;
}

/** What `from` may still send to `to`, what `to` granted besides and was not passed on yet, and how many pieces came. */
interface Direction {
  creditBytes: number;
  heldBytes: number;
  count: number;
}

export function runKey(run: string, attempt: number): string {
  return `${run}/${attempt}`;
}

/** All runs of a gateway. */
export class RunRelay {
  readonly #runs = new Map<string, RelayedRun>();
  readonly #ended = new RecentKeys(RUNS_REMEMBERED_MAX);
  readonly #room = new InboxRoom();

  get openRuns(): number {
    return this.#runs.size;
  }

  /**
   * Opens a run over the given connections, one per party of `spec`.
   * @throws StateError `already-exists` for a run and attempt opened before; CapacityError `queue-full`
   *   where the gateway, or one of the parties, has as many as it takes.
   */
  open(spec: RunSpec, connections: readonly Connection[]): RunChannelHandle {
    const key = runKey(spec.runId, spec.attempt);
    if (this.#runs.has(key) || this.#ended.has(key)) {
      throw new StateError('already-exists', 'This attempt of the run was opened before.');
    }
    if (this.#runs.size >= RUNS_AT_GATEWAY_MAX) {
      throw new CapacityError('queue-full', 'Too many runs are open at this gateway.', {
        rule: `${RUNS_AT_GATEWAY_MAX} runs at once`,
        remedy: 'Run again when some of them have ended.',
        retryAfterS: 2,
      });
    }
    const members = new Map<PartyId, Member>(
      connections.map((connection) => [connection.peer, { connection, isDone: false }]),
    );
    assertInvariant(members.size === spec.parties.length, 'a run has one link per party');
    const share = this.#room.take(spec.parties);
    const window = share.windowBytes;
    const ofRun = { run: spec.runId, attempt: spec.attempt };
    const send = (to: PartyId, frame: FrameBody): void => members.get(to)?.connection.send(frame);
    const end = new RunEnd(spec, GATEWAY, window, {
      transmit: async (to, frame) => {
        send(to, frame);
        await members.get(to)?.connection.drained();
      },
      notify: send,
      onAborted: (reason) => this.#spread(key, reason, undefined),
      onClosed: () => {
        this.#forget(key);
        for (const to of spec.parties) send(to, { t: 'done', ...ofRun, party: GATEWAY });
      },
    });
    this.#runs.set(key, { spec, members, end, share, directions: new Map() });
    const parties = [...spec.parties];
    for (const to of parties) send(to, { t: 'open', ...ofRun, parties, window });
    return end;
  }

  /** @throws LinkViolation where the frame breaks a rule of the run. */
  onFrame(connection: Connection, frame: RunFrame): void {
    const key = runKey(frame.run, frame.attempt);
    const run = this.#runs.get(key);
    if (run === undefined) {
      // Late frames of a run that just ended are nobody's fault.
      if (this.#ended.has(key)) return;
      throw new LinkViolation('run-unknown');
    }
    const member = run.members.get(connection.peer);
    if (member?.connection !== connection || member.isDone) {
      throw new LinkViolation('not-in-run');
    }
    switch (frame.t) {
      case 'open':
        throw new LinkViolation('frame-unexpected');
      case 'abort': {
        const reason = decodeError(frame.error, connection.peer);
        run.end.end(reason);
        return this.#spread(key, reason, connection.peer);
      }
      case 'done':
        return onDone(run, connection.peer, frame);
      case 'data':
      case 'credit':
        return this.#between(run, connection.peer, frame);
    }
  }

  /** A link is lost: each run its party still had work in is over for all. */
  onLost(connection: Connection): void {
    const party = connection.peer;
    for (const [key, run] of this.#runs) {
      const member = run.members.get(party);
      if (member?.connection !== connection || member.isDone) continue;
      const reason = new AbortError('domain-left', `Domain ${party} left the run.`, { party });
      run.end.end(reason);
      this.#spread(key, reason, party);
    }
  }

  #between(run: RelayedRun, sender: PartyId, frame: FrameOf<'data' | 'credit'>): void {
    const { from, to } = frame;
    if (from !== sender || to === sender) throw new LinkViolation('not-in-run');
    if (to === GATEWAY) {
      return frame.t === 'data' ? run.end.onData(frame) : run.end.onCredit(frame);
    }
    const receiver = run.members.get(to);
    if (receiver === undefined) throw new LinkViolation('not-in-run');
    if (frame.t === 'credit') return this.#grant(run, frame, receiver);
    // Checked here, so that no domain can make another break off its link to the gateway.
    const direction = directionOf(run, from, to);
    if (frame.count !== direction.count) throw new LinkViolation('sequence-broken');
    direction.count += 1;
    direction.creditBytes -= costBytes(frame);
    if (direction.creditBytes < 0) throw new LinkViolation('credit-exceeded');
    if (!receiver.isDone) receiver.connection.send(frame);
  }

  /** Passes a grant on, once the socket of the party that read has drained: only then it can have. */
  #grant(run: RelayedRun, frame: FrameOf<'credit'>, sender: Member): void {
    const { from: reader, to } = frame;
    const direction = directionOf(run, to, reader);
    const isWaiting = direction.heldBytes > 0;
    direction.heldBytes += frame.bytes;
    if (direction.creditBytes + direction.heldBytes > run.share.windowBytes)
      throw new LinkViolation('credit-exceeded');
    const pass = (): void => {
      const bytes = direction.heldBytes;
      direction.heldBytes = 0;
      direction.creditBytes += bytes;
      if (sender.isDone || !this.#isOpen(run)) return;
      const ofRun = { run: run.spec.runId, attempt: run.spec.attempt };
      sender.connection.send({ t: 'credit', ...ofRun, from: reader, to, bytes });
    };
    const socket = run.members.get(reader)?.connection;
    if (socket?.isCongested !== true) return pass();
    if (!isWaiting) void socket.drained().then(pass);
  }

  #isOpen(run: RelayedRun): boolean {
    return this.#runs.get(runKey(run.spec.runId, run.spec.attempt)) === run;
  }

  /** Ends the run at the gateway and tells every member but the one that knows. */
  #spread(key: string, reason: WeirError, except: PartyId | undefined): void {
    const run = this.#runs.get(key);
    if (run === undefined) return;
    this.#forget(key);
    const { runId, attempt } = run.spec;
    const error = encodeError(reason);
    for (const [party, member] of run.members) {
      if (party !== except) member.connection.send({ t: 'abort', run: runId, attempt, error });
    }
  }

  /** The room it took is given back as its parties' sockets drain. */
  #forget(key: string): void {
    const run = this.#runs.get(key);
    this.#runs.delete(key);
    this.#ended.add(key);
    if (run === undefined) return;
    run.share.end();
    for (const [party, { connection }] of run.members)
      void connection.drained().then(() => run.share.drained(party));
  }
}

function directionOf(run: RelayedRun, from: PartyId, to: PartyId): Direction {
  const key = `${from}>${to}`;
  const known = run.directions.get(key);
  if (known !== undefined) return known;
  const fresh = { creditBytes: run.share.windowBytes, heldBytes: 0, count: 0 };
  run.directions.set(key, fresh);
  return fresh;
}

function onDone(run: RelayedRun, party: PartyId, frame: FrameOf<'done'>): void {
  const member = run.members.get(party);
  if (frame.party !== party || member === undefined) throw new LinkViolation('not-in-run');
  member.isDone = true;
  run.end.onDone(party);
  for (const [other, { connection, isDone }] of run.members) {
    if (other !== party && !isDone) connection.send(frame);
  }
}
