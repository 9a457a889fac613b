/**
 * A domain's end of runs: the gateway opens them, the domain claims those it agreed to. It
 * outlives the connection, so that a gateway cannot open the same attempt again on the next one.
 */
import { AbortError, CapacityError, StateError, type WeirError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import { LinkViolation } from './close-reason.ts';
import type { Connection } from './connection.ts';
import type { FrameOf, RunFrame } from './frames.ts';
import { type LinkLimits, RUNS_AT_DOMAIN_MAX, RUNS_REMEMBERED_MAX, windowBytes } from './limits.ts';
import { RecentKeys } from './recent-keys.ts';
import { RunEnd, type RunChannelHandle, type RunSpec } from './run-channel.ts';
import { runKey } from './run-relay.ts';
import { cancelReason, decodeError, encodeError } from './wire-error.ts';

interface OpenedRun {
  readonly end: RunEnd;
  /** The gateway closed it, or it was aborted: no frame of it may come any more. */
  isOver: boolean;
  /** Aborted once somebody holds its channel. */
  readonly claimed: AbortController;
}

interface Claim {
  readonly spec: RunSpec;
  readonly opened: PromiseWithResolvers<RunChannelHandle>;
}

export interface ClaimOptions {
  /** How long to wait for the gateway to open it. Default: `limits.unclaimedMsMax`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** All runs of a domain. */
export class DomainRuns {
  readonly #self: PartyId;
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  readonly #runs = new Map<string, OpenedRun>();
  readonly #claims = new Map<string, Claim>();
  /** Every run and attempt ever opened here: none is opened twice, on whatever connection. */
  readonly #seen = new RecentKeys(RUNS_REMEMBERED_MAX);

  constructor(self: PartyId, clock: Clock, limits: LinkLimits) {
    this.#self = self;
    this.#clock = clock;
    this.#limits = limits;
  }

  /**
   * The channel of a run this domain agreed to, once the gateway has opened it; once only.
   * @throws StateError `party-set-changed` where the gateway opened it among other parties,
   *   `already-exists` on a second claim; AbortError `run-timed-out`, the signal's reason, or how the run ended.
   */
  async claim(spec: RunSpec, options: ClaimOptions = {}): Promise<RunChannelHandle> {
    const key = runKey(spec.runId, spec.attempt);
    const run = this.#runs.get(key);
    if (run !== undefined && !isClaimed(run)) return this.#hand(key, run, spec);
    if (run !== undefined || this.#claims.has(key) || this.#seen.has(key)) {
      throw endedBefore();
    }
    if (this.#claims.size >= RUNS_AT_DOMAIN_MAX) {
      throw crowded(this.#self);
    }
    const claim: Claim = { spec, opened: Promise.withResolvers() };
    this.#claims.set(key, claim);
    const settled = new AbortController();
    const giveUp = (): void => claim.opened.reject(timedOut('The gateway did not open the run.'));
    const onCancel = (): void => claim.opened.reject(cancelReason(options.signal));
    options.signal?.addEventListener('abort', onCancel, { once: true });
    const timeoutMs = options.timeoutMs ?? this.#limits.unclaimedMsMax;
    void this.#clock.sleep(timeoutMs, settled.signal).then(giveUp);
    try {
      if (options.signal?.aborted) onCancel();
      return await claim.opened.promise;
    } finally {
      settled.abort();
      options.signal?.removeEventListener('abort', onCancel);
      this.#claims.delete(key);
    }
  }

  /** Why this attempt's channel can carry nothing any more; undefined where it may still come or is open. */
  endOf({ runId, attempt }: Pick<RunSpec, 'runId' | 'attempt'>): WeirError | undefined {
    const key = runKey(runId, attempt);
    const run = this.#runs.get(key);
    if (run === undefined) return this.#seen.has(key) ? endedBefore() : undefined;
    return run.end.signal.aborted ? cancelReason(run.end.signal) : undefined;
  }

  /** @throws LinkViolation where the gateway breaks a rule. */
  onFrame(connection: Connection, frame: RunFrame): void {
    if (frame.t === 'open') return this.#onOpen(connection, frame);
    const key = runKey(frame.run, frame.attempt);
    const run = this.#runs.get(key);
    if (run === undefined || run.isOver) {
      // Late frames of a run that just ended are nobody's fault.
      if (this.#seen.has(key)) return;
      throw new LinkViolation('run-unknown');
    }
    switch (frame.t) {
      case 'data':
      case 'credit':
        if (frame.to !== this.#self) throw new LinkViolation('not-in-run');
        return frame.t === 'data' ? run.end.onData(frame) : run.end.onCredit(frame);
      case 'done':
        run.end.onDone(frame.party);
        return frame.party === GATEWAY ? this.#retire(key, run) : undefined;
      case 'abort':
        run.end.end(decodeError(frame.error, GATEWAY));
        return this.#retire(key, run);
    }
  }

  /** The link is lost: every run on it is over. */
  onLost(): void {
    const reason = new AbortError('domain-left', 'The link to the gateway was lost.', {
      party: GATEWAY,
    });
    for (const [key, run] of this.#runs) {
      run.end.end(reason);
      this.#retire(key, run);
    }
    for (const { opened } of this.#claims.values()) opened.reject(reason);
  }

  /** The process ends: nothing waits any more. */
  stop(): void {
    this.onLost();
    for (const { claimed } of this.#runs.values()) claimed.abort();
  }

  #onOpen(connection: Connection, frame: FrameOf<'open'>): void {
    const key = runKey(frame.run, frame.attempt);
    if (this.#seen.has(key)) throw new LinkViolation('run-replayed');
    const isSet = new Set(frame.parties).size === frame.parties.length;
    const isMember = frame.parties.includes(this.#self) && !frame.parties.includes(GATEWAY);
    if (!isSet || !isMember) throw new LinkViolation('not-in-run');
    // What lies unread here is this domain's memory: the gateway may ask for less of it, not for more.
    if (frame.window > windowBytes(frame.parties.length))
      throw new LinkViolation('credit-exceeded');
    this.#seen.add(key);
    const ofRun = { run: frame.run, attempt: frame.attempt };
    const tell = (reason: WeirError): void =>
      connection.send({ t: 'abort', ...ofRun, error: encodeError(reason) });
    if (this.#isFull()) {
      const full = crowded(this.#self);
      tell(full);
      this.#claims.get(key)?.opened.reject(full);
      return;
    }
    const spec = { runId: frame.run, attempt: frame.attempt, parties: frame.parties };
    const end = new RunEnd(spec, this.#self, frame.window, {
      // Everything goes through the gateway, whoever it is for.
      transmit: async (_to, body) => {
        connection.send(body);
        await connection.drained();
      },
      notify: (_to, body) => connection.send(body),
      onAborted: (reason) => {
        this.#runs.delete(key);
        tell(reason);
      },
      onClosed: () => {
        const isOver = this.#runs.get(key)?.isOver ?? true;
        this.#runs.delete(key);
        if (!isOver) connection.send({ t: 'done', ...ofRun, party: this.#self });
      },
    });
    const run: OpenedRun = { end, isOver: false, claimed: new AbortController() };
    this.#runs.set(key, run);
    const claim = this.#claims.get(key);
    if (claim === undefined) void this.#expire(key, run);
    else claim.opened.resolve(this.#hand(key, run, claim.spec));
  }

  /** Gives the run to its claimant, or its failure. */
  async #hand(key: string, run: OpenedRun, spec: RunSpec): Promise<RunChannelHandle> {
    run.claimed.abort();
    const { end } = run;
    const expected = spec.parties.toSorted().join(' ');
    if (end.parties.toSorted().join(' ') !== expected) {
      end.abort(new StateError('party-set-changed', 'The run was opened among other parties.'));
    }
    if (run.isOver) this.#runs.delete(key);
    if (end.signal.aborted) throw end.signal.reason;
    return end;
  }

  /** An opened run that nobody claims in time is refused; one that ended waits as long to tell. */
  async #expire(key: string, run: OpenedRun): Promise<void> {
    await this.#clock.sleep(this.#limits.unclaimedMsMax, run.claimed.signal);
    if (run.claimed.signal.aborted) return;
    this.#runs.delete(key);
    run.end.abort(timedOut(`${this.#self} did not take up the run.`));
  }

  /**
   * Its claimant holds it now; an unclaimed one stays to tell its claimant, until it expires or as many
   * later ones ended so.
   */
  #retire(key: string, run: OpenedRun): void {
    run.isOver = true;
    if (isClaimed(run)) this.#runs.delete(key);
    const over = [...this.#runs].filter(([, each]) => each.isOver && !isClaimed(each));
    const [oldest] = over;
    if (oldest === undefined || over.length <= RUNS_AT_DOMAIN_MAX) return;
    this.#runs.delete(oldest[0]);
    oldest[1].claimed.abort();
  }

  /** What has ended holds no bytes, and must not keep others out for the time that it is told. */
  #isFull(): boolean {
    return [...this.#runs.values()].filter(({ isOver }) => !isOver).length >= RUNS_AT_DOMAIN_MAX;
  }
}

function crowded(self: PartyId): CapacityError {
  return new CapacityError(
    'queue-full',
    `${self} has ${RUNS_AT_DOMAIN_MAX} runs at work, as many as it takes at once.`,
    { party: self, remedy: 'Run again when some of them have ended.', retryAfterS: 2 },
  );
}

function isClaimed(run: OpenedRun): boolean {
  return run.claimed.signal.aborted;
}

function endedBefore(): StateError {
  return new StateError('already-exists', 'This attempt of the run was claimed or has ended.');
}

function timedOut(message: string): AbortError {
  return new AbortError('run-timed-out', message);
}
