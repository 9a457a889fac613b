/** What an attacked run is asked with: small data whose plain answer is known, contracts, requests. */
import { createHash } from 'node:crypto';
import type { Contract, SignedContract } from '../../../src/contracts/contract.ts';
import type { SignedRequest } from '../../../src/contracts/request.ts';
import { signRequest } from '../../../src/contracts/signed-documents.ts';
import { StateError } from '../../../src/errors.ts';
import { systemClock } from '../../../src/system/clock.ts';
import {
  type Hash,
  HashSchema,
  type PartyId,
  type RunId,
  RunIdSchema,
} from '../../../src/system/ids.ts';
import { systemRandom, uuidV7 } from '../../../src/system/random.ts';
import {
  ANALYST,
  type Cast,
  HOLDERS,
  makeContract,
  makeRequest,
  signByAll,
} from '../../fixtures/contract.ts';
import { REGIONS, type StayRow } from './holders.ts';

const DAY_MS = 86_400_000;
const REQUEST_MS = 600_000;
const UNLISTED = 'elsewhere';
/** What a run is asked with. */
export interface Ask {
  readonly contract: SignedContract;
  readonly request: SignedRequest;
  readonly runId: RunId;
  readonly attempt: number;
  /** Encrypted weights that the request names. */
  readonly weights?: Uint8Array;
}

/** Rows of the three holders: two cells that may be released, one that is too small. */
export const ROWS: ReadonlyMap<PartyId, readonly StayRow[]> = new Map(
  HOLDERS.map((party, index) => [
    party,
    [
      ...Array.from({ length: 4 + index }, (_, at) => ({
        region: 'north',
        amount: BigInt(1000 * (index + 1) + at),
      })),
      ...Array.from({ length: 3 }, (_, at) => ({
        region: 'south',
        amount: BigInt(-7 * at - index),
      })),
      ...(index === 0 ? [{ region: 'tiny', amount: 424_242n }] : []),
      { region: UNLISTED, amount: 5n },
      { region: UNLISTED, amount: 6n },
    ],
  ]),
);

/** What an honest run gives: counts and sums over all rows, cells below three left out. */
export function plainAnswer(): Map<string, readonly [count: number, sum: string]> {
  const answer = new Map<string, readonly [number, string]>();
  const all = [...ROWS.values()].flat();
  for (const label of [...REGIONS, '(other)']) {
    const rows = all.filter(({ region }) => (region === UNLISTED ? '(other)' : region) === label);
    const sum = rows.reduce((total, { amount }) => total + amount, 0n);
    if (rows.length >= 3) answer.set(label, [rows.length, String(sum)]);
  }
  return answer;
}

/** An Ask under a contract that all signed; `changes` are top-level fields of the contract. */
export function askFor(cast: Cast, changes: Partial<Contract> = {}): Ask {
  const now = systemClock.now();
  const contract = makeContract(cast, {
    id: uuidV7(systemClock, systemRandom) as Contract['id'],
    datasets: HOLDERS.map((holder) => ({
      holder,
      dataset: 'stays',
      version: 'any',
      rowsMax: 1024,
    })),
    plan: {
      kind: 'aggregate',
      table: 'stays',
      groups: [{ column: 'region' }],
      measures: [
        { as: 'stays', fn: 'count' },
        { as: 'total', fn: 'sum', column: 'amount' },
      ],
      select: [],
    },
    parameters: {},
    dictionaries: [{ column: 'region', labels: [...REGIONS] }],
    bounds: [{ column: 'amount', minimum: '-1000000', maximum: '1000000', scale: 0 }],
    disclosure: { smallestCell: 3, smallestContributors: 1 },
    validity: {
      notBefore: new Date(now - DAY_MS).toISOString(),
      notAfter: new Date(now + DAY_MS).toISOString(),
    },
    ...changes,
  });
  return asked(cast, signByAll(contract, cast));
}

/**
 * A fresh request of the analyst under a contract, with a fresh run id.
 * @param weights - encrypted, where the contract has secret weights.
 */
export function asked(cast: Cast, contract: SignedContract, weights?: Uint8Array): Ask {
  const named =
    weights === undefined
      ? {}
      : { weightsHash: HashSchema.parse(createHash('sha256').update(weights).digest('hex')) };
  const request = signRequest(
    makeRequest(contract.contract, {
      ...named,
      arguments: {},
      expiresAt: new Date(systemClock.now() + REQUEST_MS).toISOString(),
    }),
    cast.keyOf(ANALYST),
  );
  const ask = { contract, request, runId: freshRunId(), attempt: 1 };
  return weights === undefined ? ask : { ...ask, weights };
}

export function freshRunId(): RunId {
  return RunIdSchema.parse(uuidV7(systemClock, systemRandom));
}

/** What an aborting attacker tells the domains. */
export function voided(): StateError {
  return new StateError('run-cancelled', 'The run was cancelled.');
}

export function digest(): Hash {
  return HashSchema.parse(Buffer.from(systemRandom.bytes(32)).toString('hex'));
}
