/** What each end of a run costs, and what its record and audit entry say. */
import { describe, expect, it } from 'vitest';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { sealedResultHash } from '../../src/contracts/sealed-result.ts';
import { InvariantError, PolicyError, type WeirError } from '../../src/errors.ts';
import { asWeirError, endOf } from '../../src/runs/run-ending.ts';
import type { RunRow } from '../../src/runs/run-rows.ts';
import { settlementOf, type RunEnd, type UnitsByDimension } from '../../src/runs/settlement.ts';
import { createLog } from '../../src/system/log.ts';
import { HashSchema, RunIdSchema } from '../../src/system/ids.ts';
import { ANALYST, HOLDERS, makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';

const contract = makeContract(makeCast());
const runId = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa');
const run = {
  runId,
  analyst: ANALYST,
  contractId: contract.id,
  contractHash: contractHash(contract),
  requestHash: HashSchema.parse('1'.repeat(64)),
} as RunRow;
const units = { runs: 1n, 'compute-milli-units': 2000n, rows: 300n } as UnitsByDimension;
/** One run at 1,000,000 and two compute units at 10,000. */
const CHARGE = 1_020_000n;
const SEALED = 'sealed';
const close = new PolicyError('cell-too-small', 'Too close.', { dependedOnRows: true });
const refused = new PolicyError('grade-forbids-protocol', 'Core.');

const settle = (end: RunEnd) =>
  settlementOf({
    run,
    contract,
    descriptor: undefined,
    descriptorHash: undefined,
    units,
    end,
    monthRuns: 0n,
    recordId: 'record',
    nowMs: NOW_MS,
  });
const ends: Readonly<Record<RunEnd['kind'], RunEnd>> = {
  posted: { kind: 'posted', sealedResult: SEALED, note: '' },
  refused: { kind: 'refused', error: close },
  voided: { kind: 'voided', error: refused },
  expired: { kind: 'expired' },
};

describe('the settlement of a run', () => {
  it.each(['posted', 'refused'] as const)('that is %s charges all of its units', (kind) => {
    const { outcome, units: charged, record, audit } = settle(ends[kind]);
    expect([outcome, record.outcome]).toEqual(['posted', 'posted']);
    expect([charged, record.units, record.chargeMicros]).toEqual([units, units, CHARGE]);
    expect(audit).toMatchObject({
      kind: `run.${kind}`,
      facts: { chargeMicros: String(CHARGE), units: { runs: '1', rows: '300' } },
    });
  });

  it.each(['voided', 'expired'] as const)('that is %s charges nothing', (kind) => {
    const { outcome, units: charged, record, audit } = settle(ends[kind]);
    expect([outcome, record.outcome]).toEqual([kind, kind]);
    expect([charged, record.units, record.chargeMicros]).toEqual([{}, {}, 0n]);
    expect(audit).toMatchObject({ kind: `run.${kind}`, facts: { chargeMicros: '0', units: {} } });
  });

  it('names the hash of the result, and keeps one only where there is one', () => {
    expect(settle(ends.posted).audit.facts['resultHash']).toBe(sealedResultHash(SEALED));
    for (const kind of ['refused', 'voided', 'expired'] as const) {
      const { audit, alongside } = settle(ends[kind]);
      expect(audit.facts['resultHash']).toBeNull();
      expect(alongside.flatMap(({ params }) => params)).not.toContain(SEALED);
    }
  });

  it('names who may have taken part, and the code of a refusal', () => {
    const { record, audit } = settle(ends.refused);
    expect(record).toMatchObject({ holders: HOLDERS, code: 'cell-too-small' });
    expect(audit.facts['code']).toBe('cell-too-small');
    expect(settle(ends.posted).record.code).toBeUndefined();
  });
});

describe('the end of a run that cannot go on', () => {
  const log = createLog({ level: 'silent', name: 'test' });
  const end = (error: WeirError): RunEnd => endOf({ log }, { run }, error);

  it('is charged where it depended on rows, or repeating it would probe for free', () => {
    expect(end(close)).toEqual({ kind: 'refused', error: close });
    expect(end(refused)).toEqual({ kind: 'voided', error: refused });
  });

  it('tells nothing of a bug', () => {
    const bug = asWeirError(new Error('row 7 of the patients'));
    expect(bug).toBeInstanceOf(InvariantError);
    expect(`${bug.code} ${bug.message} ${JSON.stringify(bug.facts)}`).not.toContain('patients');
  });
});
