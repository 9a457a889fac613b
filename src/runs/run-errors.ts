/** The errors that the run service tells, each with what would help. */
import type { Units } from '../contracts/units.ts';
import {
  AbortError,
  type ErrorFacts,
  errorOfCode,
  MeteringError,
  StateError,
  type WeirError,
} from '../errors.ts';
import type { ReserveOutcome } from '../ledger/ledger-store.ts';
import type { RunRow } from './run-rows.ts';

/** Which dimension is used up, what is left of it and when it resets. */
export function exceeded(outcome: Extract<ReserveOutcome, { kind: 'exceeded' }>): MeteringError {
  const { account, left } = outcome;
  const [of = 'contract', name = ''] = account.subject.split(':', 2);
  const facts: ErrorFacts = {
    dimension: `${account.dimension}/${account.window}`,
    left: String(left satisfies Units),
    ...(of === 'contract' ? {} : { rule: `quota of ${of} ${name}` }),
    ...(account.resetsAtMs === undefined
      ? {}
      : { resetsAt: new Date(account.resetsAtMs).toISOString() }),
    remedy:
      account.resetsAtMs === undefined
        ? of === 'contract'
          ? 'The contract is used up in this dimension: a new contract is needed.'
          : 'The operator decides on more.'
        : 'Try again after the window resets.',
  };
  return new MeteringError(
    'quota-exceeded',
    `The ${of}'s quota of ${account.dimension} (${account.window}) leaves ${left}; nothing was run.`,
    facts,
  );
}

/** Another analyst's run too: as if it did not exist. */
export function unknownRun(): StateError {
  return new StateError('run-unknown', 'There is no such run.');
}

export function cancelled(): StateError {
  return new StateError('run-cancelled', 'The run was cancelled by its analyst.');
}

/** A call was handed to a process that does not have the run either. */
export function atWorkElsewhere({ instance }: Pick<RunRow, 'instance'>): StateError {
  return new StateError('round-mismatch', 'Another gateway process has this run.', {
    rule: `gateway ${instance}`,
    remedy: 'The operator looks at advertiseUrl in the configuration of that process.',
  });
}

/** The same key came before with another request. */
export function conflict(): StateError {
  return new StateError(
    'idempotency-conflict',
    'This idempotency key was used before with another request.',
    { remedy: 'Use a new key for a new request.' },
  );
}

/** Past retention; the receipt stays. */
export function expiredResult(receipt: string | undefined): StateError {
  return new StateError('result-expired', 'The result is past its retention and was deleted.', {
    ...(receipt === undefined ? {} : { receipt }),
    remedy: 'Sign a new request to run the contract again.',
  });
}

/** The error that ended the run, told again to whoever asks for its result. */
export function endedWithout(run: RunRow): WeirError {
  const code = run.code ?? (run.state === 'expired' ? 'run-timed-out' : 'internal');
  const facts: ErrorFacts = { runIsOver: true };
  const known =
    errorOfCode(code, run.note, facts) ?? new AbortError('domain-failed', run.note, facts);
  if (known.family !== 'capacity') return known;
  // What it was for want of may be there a moment later, but not for this run.
  const remedy = 'The run is over and nothing was charged: run again a little later.';
  return errorOfCode(code, run.note, { ...facts, remedy }) ?? known;
}
