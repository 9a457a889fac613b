import { describe, expect, it } from 'vitest';
import {
  AbortError,
  CapacityError,
  ERROR_CODES,
  IdentityError,
  InputError,
  InvariantError,
  MeteringError,
  PolicyError,
  SetupError,
  StateError,
  WeirError,
  type ErrorFamily,
} from '../../src/errors.ts';
import { problemOf, problemResponse } from '../../src/gateway/problem.ts';
import { endedWithout } from '../../src/runs/run-errors.ts';
import type { RunRow } from '../../src/runs/run-rows.ts';
import { PROBLEM_TABLE } from '../../src/gateway/problem-table.ts';

const NOW_MS = Date.parse('2026-11-21T12:00:00Z');

const CLASS_OF = {
  input: InputError,
  identity: IdentityError,
  state: StateError,
  policy: PolicyError,
  metering: MeteringError,
  abort: AbortError,
  capacity: CapacityError,
  setup: SetupError,
  invariant: InvariantError,
} as const;

const STATUSES: Readonly<Record<ErrorFamily, readonly number[]>> = {
  input: [400, 413, 422],
  identity: [401, 403],
  state: [404, 409, 410, 422],
  policy: [403, 422],
  metering: [429],
  abort: [502],
  capacity: [503],
  setup: [500],
  invariant: [500],
};

const cases = (Object.keys(ERROR_CODES) as ErrorFamily[]).flatMap((family) =>
  ERROR_CODES[family].map((code) => ({ family, code })),
);

function errorOf(family: ErrorFamily, code: string, facts = {}): WeirError {
  const make = CLASS_OF[family] as unknown as new (
    code: string,
    message: string,
    facts: object,
  ) => WeirError;
  return new make(code, 'One sentence for people.', facts);
}

describe('problem table', () => {
  it.each(cases)('$code is a valid problem of its family', ({ family, code }) => {
    const { document, headers } = problemOf(errorOf(family, code), NOW_MS);
    const row = PROBLEM_TABLE[code];
    expect(STATUSES[family]).toContain(row.status);
    expect(document.status).toBe(row.status);
    expect(document.title.length).toBeGreaterThan(5);
    expect(document.titleZh).toMatch(/\p{Script=Han}/u);
    expect(document.type).toBe(
      `urn:weir:problem:${family === 'setup' ? 'internal' : document.code}`,
    );
    if (family === 'setup' || family === 'invariant') {
      expect(document.code).toBe('internal');
      expect(document.instance).toMatch(/^urn:uuid:[0-9a-f-]{36}$/);
      expect(JSON.stringify(document)).not.toContain('One sentence for people.');
    } else {
      expect(document.code).toBe(code);
      expect(document.detail).toBe('One sentence for people.');
    }
    if (row.status === 503) expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    if (row.status === 401) expect(headers['www-authenticate']).toMatch(/^Bearer realm="weir"/);
  });

  it('has a row for each code and no other', () => {
    expect(Object.keys(PROBLEM_TABLE).toSorted()).toEqual(cases.map((one) => one.code).toSorted());
  });
});

describe('problem documents', () => {
  it('name column, rule, party, remedy, dimension, left, resetsAt, and the receipt whole', async () => {
    const receipt = { receipt: { note: 'x'.repeat(10_000) }, countersignatures: [] };
    const facts = {
      column: 'delay',
      rule: 'aggregate',
      party: 'west',
      remedy: 'Ask for SUM.',
      dimension: 'runs/day',
      left: '0',
      resetsAt: '2026-11-21T12:00:30Z',
    };
    const error = errorOf('metering', 'quota-exceeded', {
      ...facts,
      receipt: JSON.stringify(receipt),
    });
    const answer = problemResponse(problemOf(error, NOW_MS));
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('retry-after')).toBe('30');
    expect(await answer.json()).toMatchObject({ ...facts, receipt, retryable: true, status: 429 });
  });

  it('leave a receipt out that is no document', () => {
    const error = errorOf('state', 'result-expired', { receipt: '{"cut' });
    expect(problemOf(error, NOW_MS).document).not.toHaveProperty('receipt');
  });

  it('say that a quota without a window never comes back', () => {
    const { document, headers } = problemOf(
      errorOf('metering', 'quota-exceeded', { dimension: 'runs/lifetime', left: '0' }),
      NOW_MS,
    );
    expect(document.retryable).toBe(false);
    expect(headers['retry-after']).toBeUndefined();
  });

  it('say that a run which ended for want of room stays ended, and when another may begin', () => {
    const busy = errorOf('capacity', 'queue-full', { retryAfterS: 2 });
    const { document: before, headers: early } = problemOf(busy, NOW_MS);
    expect([before.retryable, early['retry-after']]).toEqual([true, '2']);
    const run = { code: 'queue-full', note: 'clinic has 64 runs at work.', state: 'voided' };
    const { document, headers } = problemOf(endedWithout(run as RunRow), NOW_MS);
    expect(document).toMatchObject({
      code: 'queue-full',
      detail: run.note,
      retryable: false,
      remedy: 'The run is over and nothing was charged: run again a little later.',
    });
    expect(headers['retry-after']).toBeUndefined();
    // Of another kind the note says it all.
    const left = { ...run, code: 'domain-unreachable' } as RunRow;
    expect(problemOf(endedWithout(left), NOW_MS).document).toMatchObject({ retryable: false });
    expect(problemOf(endedWithout(left), NOW_MS).document).not.toHaveProperty('remedy');
  });

  it('hide what a bug or a foreign error says', () => {
    for (const thrown of [
      new TypeError('secret-marker'),
      'secret-marker',
      errorOf('invariant', 'internal', { column: 'secret-marker' }),
      Object.assign(new Error('x'), { cause: 'secret-marker' }),
    ]) {
      const problem = problemOf(thrown, NOW_MS);
      expect(problem.opaque).toBe(true);
      expect(problem.document.code).toBe('internal');
      expect(JSON.stringify(problem.document)).not.toContain('secret-marker');
    }
  });

  it('tell a full disk from a bug', () => {
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    expect(problemOf(full, NOW_MS).document.code).toBe('disk-full');
  });
});
