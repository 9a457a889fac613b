/**
 * Follows the gateway's audit log over the link. No run is prepared before the log on this link has
 * proved to continue the one seen last; no receipt is countersigned whose head is not part of it.
 */
import { DOMAIN_ASKS, LogExtensionSchema } from '../contracts/link-messages.ts';
import { StateError } from '../errors.ts';
import type { Link } from '../link/link.ts';
import { EXTENSION_MAX, extendHead } from '../system/hash-link.ts';
import type { ChainHead } from '../system/hash-link.ts';
import type { Hash } from '../system/ids.ts';
import type { LogWitness } from './log-witness.ts';

/** Steps of `EXTENSION_MAX` entries taken at once: a longer absence is caught up at the next try. */
const STEPS_MAX = 1000;

/** The link, as far as it is used here. */
export type Asking = Pick<Link, 'request'>;

/** Owns what is known of the present link's log. */
export class GatewayLog {
  readonly #witness: LogWitness;
  readonly #gatewayKey: Uint8Array;
  #followed = new WeakMap<Asking, Promise<void>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(witness: LogWitness, gatewayKey: Uint8Array) {
    this.#witness = witness;
    this.#gatewayKey = gatewayKey;
  }

  /**
   * Resolves once the log has been followed on this link; asked once a link, and again only where
   * the asking failed.
   * @throws StateError `history-rolled-back`; AbortError where the gateway does not answer
   */
  ensure(link: Asking): Promise<void> {
    const known = this.#followed.get(link);
    if (known !== undefined) return known;
    const following = this.#alone(() => this.#catchUp(link));
    this.#followed.set(link, following);
    following.catch(() => this.#followed.delete(link));
    return following;
  }

  /**
   * Whether `head` and what was seen last are heads of one log; follows the log where `head` is
   * the later one.
   * @throws StateError `history-rolled-back`
   */
  vouch(link: Asking, head: ChainHead): Promise<void> {
    return this.#alone(async () => {
      const seen = await this.#witness.latest(this.#gatewayKey);
      if (seen === undefined || seen.size <= head.size) return this.#followTo(link, head);
      const reached = await this.#extend(link, head, seen.size);
      if (reached.size !== seen.size || reached.hash !== seen.hash) throw anotherHistory();
    });
  }

  /** The officer accepts another history: what comes next is taken as the first was. */
  async forget(): Promise<void> {
    await this.#witness.forget(this.#gatewayKey);
    this.#followed = new WeakMap();
  }

  async #catchUp(link: Asking): Promise<void> {
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const seen = await this.#witness.latest(this.#gatewayKey);
      const answer = await this.#ask(link, seen?.size);
      await this.#witness.follow(this.#gatewayKey, answer.head, answer.entries);
      if (answer.entries.length < EXTENSION_MAX) return;
    }
  }

  async #followTo(link: Asking, head: ChainHead): Promise<void> {
    const seen = await this.#witness.latest(this.#gatewayKey);
    if (seen === undefined) return this.#witness.follow(this.#gatewayKey, head, []);
    let from = seen;
    while (from.size < head.size) {
      const { entries } = await this.#ask(link, from.size);
      if (entries.length === 0) throw anotherHistory();
      const next = entries.slice(0, Number(head.size - from.size));
      const reached = extendHead(from, next);
      if (reached.size === head.size && reached.hash !== head.hash) throw anotherHistory();
      await this.#witness.follow(this.#gatewayKey, reached, next);
      from = reached;
    }
    if (from.hash !== head.hash) throw anotherHistory();
  }

  /** The head that `from` grows into at `size`, by the gateway's own entries. */
  async #extend(link: Asking, from: ChainHead, size: bigint): Promise<ChainHead> {
    let head = from;
    while (head.size < size) {
      const { entries } = await this.#ask(link, head.size);
      if (entries.length === 0) return head;
      head = extendHead(head, entries.slice(0, Number(size - head.size)));
    }
    return head;
  }

  async #ask(
    link: Asking,
    fromSize: bigint | undefined,
  ): Promise<{ readonly head: ChainHead; readonly entries: readonly Hash[] }> {
    const body = { fromSize: fromSize === undefined ? null : String(fromSize) };
    const answer = LogExtensionSchema.safeParse(await link.request(DOMAIN_ASKS.log, body));
    if (!answer.success) throw anotherHistory();
    const { size, hash, entries } = answer.data;
    return { head: { size: BigInt(size), hash }, entries };
  }

  /** One at a time: each begins where the one before ended. */
  #alone(work: () => Promise<void>): Promise<void> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

function anotherHistory(): StateError {
  return new StateError(
    'history-rolled-back',
    'The gateway’s audit log is not the one seen before.',
    {
      party: 'gateway',
      rule: 'an audit log only grows',
      remedy: 'The gateway’s operator explains; the officer may accept a new history.',
    },
  );
}
