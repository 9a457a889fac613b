/**
 * Tells billing systems of each record: at least once, signed, with the record's own id, so that a
 * receiver drops repeats. Several gateways share one store; each attempt is one gateway's.
 */
import { newWebhookSecret, signWebhook } from '../contracts/webhook.ts';
import { assertInvariant, InputError, StateError } from '../errors.ts';
import { StoreConflict, type Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import { uuidV7, type Random } from '../system/random.ts';
import { encodeEvent, EVENT_CONTENT_TYPE } from './cloud-events.ts';
import { readRecord } from './ledger-reads.ts';
import {
  claim,
  conclude,
  deleteEndpoint,
  ENDPOINTS_MAX,
  fanOut,
  forgetDelivered,
  insertEndpoint,
  readDeliveries,
  readDue,
  readEndpoints,
  readUntold,
  sendAgain,
  setEndpointState,
  type WebhookDelivery,
  type WebhookEndpoint,
} from './webhook-rows.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** After each failed attempt; when it is used up the delivery is dead. */
export const BACKOFF_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];
export const ATTEMPTS_MAX: number = BACKOFF_MS.length + 1;
/** Waits are stretched by up to this part, so that receivers do not meet all retries at once. */
const JITTER = 0.2;
const TIMEOUT_MS = 15 * SECOND_MS;
/** Longer than an attempt can take: another gateway takes over only what nobody works on. */
const LEASE_MS = 2 * MINUTE_MS;
const POLL_MS = SECOND_MS;
const CONCURRENT_MAX = 8;
const UNTOLD_ROWS = 1_000;
const DELIVERED_KEPT_MS = 7 * 24 * HOUR_MS;
const URL_MAX = 2_048;
const GONE = 410;

export interface WebhookParts {
  /** Opened with `LEDGER_MIGRATIONS` and `WEBHOOK_MIGRATIONS`. */
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** The CloudEvents `source` of this ledger. */
  readonly source: string;
  /** Told of what goes wrong, without addresses' queries, bodies or secrets. */
  onProblem(problem: { readonly endpointId: string; readonly what: string }): void;
}

/** An endpoint as it may be shown. */
export type ListedEndpoint = Omit<WebhookEndpoint, 'secret'>;

/** Owns the dispatch loop. */
export class Webhooks {
  readonly #parts: WebhookParts;
  readonly #stop = new AbortController();
  /** Rounds under way, by endpoint. */
  readonly #rounds = new Map<string, Promise<number>>();
  readonly #report = (error: unknown): void => {
    const what = error instanceof Error ? error.name : 'an error';
    this.#parts.onProblem({ endpointId: '', what: `the store cannot be used: ${what}` });
  };
  #sweptAtMs = 0;
  #loop: Promise<void> | undefined;

  constructor(parts: WebhookParts) {
    this.#parts = parts;
  }

  /**
   * Registers a receiver; records from now on are told to it.
   * @param url - https, or http on loopback; without user and password.
   * @returns its id, and the secret, which is not shown again.
   * @throws InputError `parameter-invalid`
   */
  async add(url: string, label: string): Promise<{ readonly id: string; readonly secret: string }> {
    const { store, clock, random } = this.#parts;
    checkUrl(url);
    if ((await readEndpoints(store)).length >= ENDPOINTS_MAX) {
      throw new InputError('parameter-invalid', `There are ${ENDPOINTS_MAX} webhooks already.`);
    }
    const id = uuidV7(clock, random);
    const secret = newWebhookSecret(random);
    const createdAtMs = clock.now();
    const endpoint = { id, url, secret, label, createdAtMs, state: 'active' } as const;
    await store.execute([insertEndpoint(endpoint)]);
    return { id, secret };
  }

  /** Without secrets. */
  async list(): Promise<readonly ListedEndpoint[]> {
    const endpoints = await readEndpoints(this.#parts.store);
    return endpoints.map(({ id, url, state, label, createdAtMs }) => ({
      id,
      url,
      state,
      label,
      createdAtMs,
    }));
  }

  /** Forgets the receiver and what was to be told to it. @throws StateError `route-unknown` */
  async remove(id: string): Promise<void> {
    await found(this.#parts.store.execute(deleteEndpoint(id)));
  }

  /** Turns a receiver that answered 410, or that was turned off, on again. @throws StateError */
  async enable(id: string): Promise<void> {
    await found(this.#parts.store.execute([setEndpointState(id, 'active')]));
  }

  /** Deliveries that every attempt failed for, after a record's number. */
  deadLetters(afterSeq: bigint, most: number): Promise<readonly WebhookDelivery[]> {
    return readDeliveries(this.#parts.store, 'dead', afterSeq, most);
  }

  /** Has one record told again, whatever became of it before. @throws StateError `route-unknown` */
  async redeliver(endpointId: string, seq: bigint): Promise<void> {
    const { store, clock } = this.#parts;
    await found(store.execute([sendAgain(endpointId, seq, clock.now())]));
  }

  /** Starts the loop; call `close` to end it. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Resolves when attempts under way have ended. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  /**
   * New records become deliveries, and those that are due are attempted, once.
   * @returns how many were attempted.
   * @throws CapacityError where the store cannot be used.
   */
  async tick(): Promise<number> {
    const rounds = await this.#startRounds();
    const attempted = await Promise.all(rounds);
    return attempted.reduce((sum, each) => sum + each, 0);
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    while (!this.#stop.signal.aborted) {
      const wake = new AbortController();
      const over = AbortSignal.any([this.#stop.signal, wake.signal]);
      try {
        for (const round of await this.#startRounds()) {
          // A round that found work may find more; one that did not waits for the next poll.
          void round.then((attempted) => attempted > 0 && wake.abort(), this.#report);
        }
        await this.#sweep();
      } catch (error) {
        this.#report(error);
      }
      await clock.sleep(POLL_MS, over);
    }
    await Promise.allSettled(this.#rounds.values());
  }

  /** One round an endpoint that has none under way: a slow receiver holds back only itself. */
  async #startRounds(): Promise<readonly Promise<number>[]> {
    const { store, clock } = this.#parts;
    const last = await readUntold(store, UNTOLD_ROWS);
    if (last !== undefined) await store.execute(fanOut(last, clock.now()));
    const idle = (await readEndpoints(store)).filter(
      ({ id, state }) => state === 'active' && !this.#rounds.has(id),
    );
    return idle.map((endpoint) => {
      const round = this.#round(endpoint).finally(() => this.#rounds.delete(endpoint.id));
      this.#rounds.set(endpoint.id, round);
      return round;
    });
  }

  async #round(endpoint: WebhookEndpoint): Promise<number> {
    const { store, clock } = this.#parts;
    const due = await readDue(store, endpoint.id, clock.now(), CONCURRENT_MAX);
    await Promise.all(due.map((delivery) => this.#attempt(delivery, endpoint)));
    return due.length;
  }

  async #attempt(delivery: WebhookDelivery, endpoint: WebhookEndpoint): Promise<void> {
    const { store, clock } = this.#parts;
    const nowMs = clock.now();
    try {
      await store.execute([claim(delivery, nowMs + LEASE_MS, nowMs)]);
    } catch (error) {
      // Another gateway took this attempt.
      if (error instanceof StoreConflict) return;
      throw error;
    }
    const record = await readRecord(store, delivery.seq);
    assertInvariant(record !== undefined, 'a delivery is of a record');
    const body = encodeEvent(record, this.#parts.source);
    const headers = signWebhook(endpoint.secret, record.id, clock.now(), body);
    const answer = await post(endpoint.url, headers, body, this.#stop.signal);
    // Cut off by our own end: it is due again when the lease is over.
    if (this.#stop.signal.aborted && !answer.ok) return;
    await this.#conclude({ ...delivery, attempts: delivery.attempts + 1 }, answer);
  }

  async #sweep(): Promise<void> {
    const { store, clock } = this.#parts;
    const nowMs = clock.now();
    if (nowMs - this.#sweptAtMs < HOUR_MS) return;
    this.#sweptAtMs = nowMs;
    await store.execute([forgetDelivered(nowMs - DELIVERED_KEPT_MS)]);
  }

  async #conclude(delivery: WebhookDelivery, answer: Answer): Promise<void> {
    const { store, clock } = this.#parts;
    const { endpointId, attempts, seq } = delivery;
    const updatedAtMs = clock.now();
    const after = { ...delivery, answer: answer.text, updatedAtMs };
    if (answer.ok) {
      await store.execute([conclude({ ...after, state: 'delivered', nextAtMs: updatedAtMs })]);
      return;
    }
    const wait = BACKOFF_MS[attempts - 1];
    const gone = answer.status === GONE;
    const what = `record ${seq} was not taken: ${answer.text}`;
    this.#parts.onProblem({ endpointId, what });
    if (wait === undefined || gone) {
      const dead = conclude({ ...after, state: 'dead', nextAtMs: updatedAtMs });
      await store.execute(gone ? [dead, setEndpointState(endpointId, 'disabled')] : [dead]);
      return;
    }
    const nextAtMs = updatedAtMs + Math.ceil(wait * (1 + JITTER * this.#fraction()));
    await store.execute([conclude({ ...after, state: 'pending', nextAtMs })]);
  }

  #fraction(): number {
    return (this.#parts.random.bytes(1)[0] ?? 0) / 256;
  }
}

interface Answer {
  readonly ok: boolean;
  readonly status: number | undefined;
  readonly text: string;
}

/** Any 2xx is taken as received; a redirect is not followed, since it could lead inside. */
async function post(
  url: string,
  headers: Readonly<Record<string, string>> | ReturnType<typeof signWebhook>,
  body: string,
  stop: AbortSignal,
): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...headers, 'content-type': EVENT_CONTENT_TYPE, 'user-agent': 'weir' },
      body,
      signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
    return { ok: response.ok, status: response.status, text: `status ${response.status}` };
  } catch (error) {
    const timedOut = error instanceof Error && error.name === 'TimeoutError';
    return { ok: false, status: undefined, text: timedOut ? 'timed out' : 'not reached' };
  }
}

function checkUrl(text: string): void {
  const url = text.length <= URL_MAX ? URL.parse(text) : null;
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url?.hostname ?? '');
  const allowed =
    url !== null &&
    url.username === '' &&
    url.password === '' &&
    (url.protocol === 'https:' || (url.protocol === 'http:' && loopback));
  if (!allowed) {
    throw new InputError('parameter-invalid', 'The webhook’s address cannot be used.', {
      remedy: 'Give an https address without user and password; http only on this machine.',
    });
  }
}

/** @throws StateError `route-unknown` where nothing has this id. */
async function found(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (error instanceof StoreConflict) {
      throw new StateError('route-unknown', 'There is no such webhook or record.');
    }
    throw error;
  }
}
