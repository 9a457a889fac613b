/**
 * What may lie unread for one party, over all its runs at a gateway: each run takes its share when it
 * opens, smaller the less is left, and its senders' windows follow from it. So a slow party is not cut off
 * because many send to it, and parties that collude fill no more than one party's room.
 */
import { CapacityError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import {
  CROWDED_WINDOW_BYTES_MIN,
  PARTY_INBOX_BYTES_MAX,
  PARTY_INBOX_SHARES,
  RUNS_AT_DOMAIN_MAX,
  windowBytes,
} from './limits.ts';

interface Taken {
  bytes: number;
  runs: number;
}

/** What a run holds of the room of each of its parties. */
export interface Share {
  /** Of every direction of the run. */
  readonly windowBytes: number;
  /** The run takes nothing more; what was sent may still lie in sockets. */
  end(): void;
  /** Nothing of the run lies unread for this party any more. */
  drained(party: PartyId): void;
}

/** Of all parties of a gateway. */
export class InboxRoom {
  readonly #taken = new Map<PartyId, Taken>();

  /** @throws CapacityError `queue-full`, naming the party that has no room */
  take(parties: readonly PartyId[]): Share {
    const senders = parties.length;
    let window = windowBytes(senders);
    const least = Math.min(window, CROWDED_WINDOW_BYTES_MIN);
    for (const party of parties) {
      const { bytes, runs } = this.#of(party);
      const freeBytes = PARTY_INBOX_BYTES_MAX - bytes;
      if (runs >= RUNS_AT_DOMAIN_MAX || senders * least > freeBytes) throw crowded(party, runs);
      window = Math.min(window, Math.floor(freeBytes / PARTY_INBOX_SHARES / senders));
    }
    window = Math.max(window, least);
    for (const party of parties) {
      const { bytes, runs } = this.#of(party);
      this.#set(party, { bytes: bytes + senders * window, runs: runs + 1 });
    }
    return {
      windowBytes: window,
      end: () => {
        for (const party of parties) {
          const { bytes, runs } = this.#of(party);
          this.#set(party, { bytes, runs: runs - 1 });
        }
      },
      drained: (party) => {
        const { bytes, runs } = this.#of(party);
        this.#set(party, { bytes: bytes - senders * window, runs });
      },
    };
  }

  #of(party: PartyId): Taken {
    return this.#taken.get(party) ?? { bytes: 0, runs: 0 };
  }

  #set(party: PartyId, taken: Taken): void {
    if (taken.bytes === 0) this.#taken.delete(party);
    else this.#taken.set(party, taken);
  }
}

function crowded(party: PartyId, runs: number): CapacityError {
  return new CapacityError(
    'queue-full',
    `${party} has ${runs} runs at work at this gateway, and no room for one more.`,
    {
      party,
      rule: `${RUNS_AT_DOMAIN_MAX} runs of a holder at once, fewer with many holders or a slow link`,
      remedy: 'Run again when some of them have ended.',
      retryAfterS: 2,
    },
  );
}
