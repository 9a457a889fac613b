/** What a domain keeps in its directory: identity, pins, counters with their anchor, fingerprint secret. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openSqliteStore, type SqliteStore } from '../store/sqlite-store.ts';
import { createKeyFile, readKeyFile } from '../system/key-file.ts';
import type { PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { type Anchor, openAnchor } from './anchor.ts';
import { COUNTER_MIGRATIONS } from './counter-rows.ts';
import { type Counters, openCounters } from './counters.ts';
import { NOISE_MIGRATIONS } from './noise-book.ts';
import { EVIDENCE_MIGRATIONS, type EvidenceBook, openEvidenceBook } from './evidence.ts';
import { EVALUATION_MIGRATIONS } from './run-precomputed.ts';
import { RELEASE_MIGRATIONS } from './release-book.ts';
import { HELD_MIGRATIONS } from './held-results.ts';
import { openPins, type Pins } from './pins.ts';
import { SIGNED_CONTRACT_MIGRATIONS } from './signed-contracts.ts';
import { LOG_WITNESS_MIGRATIONS, openLogWitness, type LogWitness } from './log-witness.ts';
import { openRegradeBook, REGRADE_MIGRATIONS, type RegradeBook } from './regrades.ts';
import { openStandingBook, STANDING_MIGRATIONS, type StandingBook } from './standing.ts';
import {
  openSpendWitness,
  SPEND_WITNESS_MIGRATIONS,
  type SpendWitness,
} from '../contracts/spend-witness.ts';

export interface DomainState {
  readonly identity: KeyPair;
  readonly fingerprintSecret: Uint8Array;
  /** Keys all noise of this domain. */
  readonly noiseSecret: Uint8Array;
  readonly store: SqliteStore;
  readonly anchor: Anchor;
  readonly counters: Counters;
  readonly pins: Pins;
  readonly standing: StandingBook;
  readonly logWitness: LogWitness;
  readonly evidence: EvidenceBook;
  readonly regrades: RegradeBook;
  /** What the other domains counted, as this one saw it. */
  readonly spendWitness: SpendWitness;
  close(): Promise<void>;
}

export function domainPaths(directory: string): {
  readonly identity: string;
  readonly fingerprintSecret: string;
  readonly noiseSecret: string;
  readonly database: string;
  readonly anchor: string;
  readonly pins: string;
  readonly state: string;
  /** Held by the running domain. */
  readonly lock: string;
} {
  return {
    identity: join(directory, 'keys', 'identity.key'),
    fingerprintSecret: join(directory, 'keys', 'fingerprint.key'),
    noiseSecret: join(directory, 'keys', 'noise.key'),
    database: join(directory, 'state', 'domain.sqlite'),
    // Beside the state, in no backup: a restored database must not bring its own witness along.
    anchor: join(directory, 'keys', 'counter.anchor'),
    pins: join(directory, 'pins.json'),
    state: join(directory, 'state'),
    lock: join(directory, 'state', 'domain.lock'),
  };
}

/** The domain's database alone, as it is: nothing is compared with the anchor or written to it. */
export function openDomainStore(directory: string): Promise<SqliteStore> {
  return openSqliteStore({
    file: domainPaths(directory).database,
    migrations: [
      COUNTER_MIGRATIONS,
      NOISE_MIGRATIONS,
      RELEASE_MIGRATIONS,
      STANDING_MIGRATIONS,
      SIGNED_CONTRACT_MIGRATIONS,
      SPEND_WITNESS_MIGRATIONS,
      LOG_WITNESS_MIGRATIONS,
      EVIDENCE_MIGRATIONS,
      REGRADE_MIGRATIONS,
      HELD_MIGRATIONS,
      EVALUATION_MIGRATIONS,
    ],
  });
}

/** For the one process that holds the lock. @throws SetupError, CapacityError in one sentence. */
export async function openDomainState(directory: string, self: PartyId): Promise<DomainState> {
  const paths = domainPaths(directory);
  const identity = readKeyFile(paths.identity, 'ed25519');
  const fingerprintSecret = readOrCreateSecret(paths.fingerprintSecret);
  const store = await openDomainStore(directory);
  const anchor = await openAnchor(paths.anchor);
  const counters = await openCounters({ store, anchor, self, identity });
  const pins = await openPins(paths.pins);
  return {
    identity,
    fingerprintSecret,
    noiseSecret: readOrCreateSecret(paths.noiseSecret),
    store,
    anchor,
    counters,
    pins,
    standing: openStandingBook(store, counters),
    logWitness: openLogWitness(store),
    evidence: openEvidenceBook(store),
    regrades: openRegradeBook(store, counters),
    spendWitness: openSpendWitness(store),
    close: async () => {
      await store.close();
      await anchor.close();
    },
  };
}

/** 32 random bytes that key the dataset fingerprints, or the noise; kept in the shape of a key file. */
function readOrCreateSecret(path: string): Uint8Array {
  // One that is there and cannot be read is a fault to mend, not a reason for another.
  if (existsSync(path)) return readKeyFile(path, 'x25519').secretKey;
  const secretKey = new Uint8Array(randomBytes(32));
  createKeyFile(path, 'x25519', { publicKey: new Uint8Array(32), secretKey });
  return secretKey;
}
