/**
 * Who calls: bearer tokens, a call rate a token, and a rate of failures a remote address, so that
 * guessing is slow and never reaches the store twice as fast for being wrong.
 */
import type { IncomingMessage } from 'node:http';
import type { Role } from '../contracts/api.ts';
import { IdentityError, MeteringError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { TokenBuckets, type Rate, type Taken } from './rate-limit.ts';
import type { Caller, TokenBook } from './tokens.ts';

export const DEFAULT_CALL_RATE: Rate = { perSecond: 500, burst: 1_000 };
/** Failed tokens from one address (an IPv6 address counts with its /64). */
export const DEFAULT_FAILURE_RATE: Rate = { perSecond: 5, burst: 100 };
const KEYS_MAX = 16_384;
const HEADER = /^Bearer ([A-Za-z0-9_-]{1,200})$/i;

export interface AuthRates {
  readonly calls: Rate;
  readonly failures: Rate;
}

/** Owns the two sets of buckets, and the look-ups under way. */
export class Gatekeeper {
  readonly calls: TokenBuckets;
  readonly #failures: TokenBuckets;
  readonly #tokens: TokenBook;
  /** One look-up a token at a time: many connections of one caller ask the store once. */
  readonly #lookups = new Map<string, Promise<Caller>>();

  constructor(tokens: TokenBook, clock: Clock, rates: AuthRates) {
    this.#tokens = tokens;
    this.calls = new TokenBuckets(rates.calls, clock, KEYS_MAX);
    this.#failures = new TokenBuckets(rates.failures, clock, KEYS_MAX);
  }

  /**
   * The caller behind the request's token. A token seen valid a moment ago passes even where its
   * address is blocked: one neighbour's guesses must not lock the others out.
   * @throws IdentityError `credential-missing|invalid|expired`; MeteringError `rate-limited`.
   */
  async identify(incoming: IncomingMessage): Promise<Caller> {
    const header = incoming.headers.authorization;
    if (header === undefined) {
      throw new IdentityError('credential-missing', 'The call carries no token.', {
        remedy: 'Send Authorization: Bearer and your token.',
      });
    }
    const token = HEADER.exec(header)?.[1];
    const known = token === undefined ? undefined : this.#tokens.recall(token);
    if (known !== undefined) return known;
    const name = token ?? '';
    const running = this.#lookups.get(name);
    if (running !== undefined) return running;
    const lookup = this.guard(incoming, () => this.#verify(token)).finally(() => {
      this.#lookups.delete(name);
    });
    this.#lookups.set(name, lookup);
    return lookup;
  }

  async #verify(token: string | undefined): Promise<Caller> {
    if (token !== undefined) return this.#tokens.verify(token);
    throw new IdentityError('credential-invalid', 'The Authorization header has no bearer token.');
  }

  /**
   * Runs a check of a secret under the address's failure rate; an IdentityError counts.
   * @throws MeteringError `rate-limited`, without running the check.
   */
  async guard<Answer>(incoming: IncomingMessage, check: () => Promise<Answer>): Promise<Answer> {
    const address = addressKey(incoming.socket.remoteAddress ?? '');
    // Taken before the check and given back after success: parallel guesses cannot outrun it.
    const taken = this.#failures.take(address);
    if (!taken.isAllowed) throw tooMany('Too many failed tokens from this address.', taken);
    try {
      const answer = await check();
      this.#failures.giveBack(address);
      return answer;
    } catch (error) {
      if (!(error instanceof IdentityError)) this.#failures.giveBack(address);
      throw error;
    }
  }

  /** Counts one call of the token. @throws MeteringError `rate-limited` */
  admit(caller: Caller): Taken {
    const taken = this.calls.take(caller.tokenId);
    if (!taken.isAllowed) throw tooMany('This token calls too often.', taken);
    return taken;
  }
}

/** @throws IdentityError `scope-insufficient` */
export function requireRole(caller: Caller, roles: readonly Role[]): void {
  if (roles.includes(caller.role)) return;
  throw new IdentityError('scope-insufficient', `A token of role ${caller.role} may not do this.`, {
    rule: `role: ${roles.join(' or ')}`,
  });
}

/** IPv4 as it is; IPv6 by its first four groups, which one subscriber holds whole. */
export function addressKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const end = tail === '' ? [] : tail.split(':');
    while (groups.length + end.length < 8) groups.push('0');
    groups.push(...end);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}

function tooMany(message: string, taken: Taken): MeteringError {
  return new MeteringError('rate-limited', message, { retryAfterS: taken.retryAfterS });
}
