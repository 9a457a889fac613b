/** Disclosure control through a whole Weir of real processes: noise is booked, a refusal is charged. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openedRun } from '../../src/cli/sealing.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { AggregatePlanSchema, type AggregatePlan } from '../../src/contracts/plan.ts';
import {
  csvOf,
  NOISE,
  type Patient,
  patientsOf,
  registrationOf,
  VICTIM,
} from '../attack/support/patients.ts';
import { readBooks } from './support/books.ts';
import { weir as command } from './support/command.ts';
import { type Holder, startWeir, type Table, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];

const tableOf = (index: number, changes: object): Table =>
  ({
    registration: registrationOf(changes),
    format: 'csv',
    csv: csvOf(patientsOf(index)),
  }) as unknown as Table;

const holders: readonly Holder[] = PARTIES.map((party, index) => ({
  party,
  tables: [
    tableOf(index, { source: undefined }),
    tableOf(index, { source: undefined, name: 'records', grade: 'important' }),
  ],
}));

const planOf = (table: string): AggregatePlan =>
  AggregatePlanSchema.parse({
    kind: 'aggregate',
    table,
    groups: [{ column: 'region' }],
    measures: [
      { as: 'patients', fn: 'count' },
      { as: 'total', fn: 'sum', column: 'amount' },
    ],
    select: [],
  });

let weir: TestWeir;
beforeAll(async () => {
  weir = await startWeir({ holders });
}, 120_000);
afterAll(() => weir?.close());

async function released(contract: ContractBody): Promise<Release['rows']> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  const opened = await openedRun(weir.analyst, contract.contract, run, () => {
    throw new Error('no sealing key is needed');
  });
  return opened.result.release.rows;
}

describe('a sum over important data', () => {
  it('is drafted, explained and booked with noise, and the same when asked again', async () => {
    const contract = await weir.agree(planOf('records'), { noise: NOISE });
    expect(contract.contract.disclosure).toMatchObject({ smallestCell: 10, noise: NOISE });
    const explained = await weir.analyst.explain(contract.contract.id, {});
    expect(explained).toMatchObject({
      exact: false,
      units: { 'micro-rho': String(NOISE.microRhoPerRun) },
      noise: { mechanism: 'discrete-gaussian', deviations: [{ of: 'rows' }, {}, {}] },
    });
    const rows = await released(contract);
    expect(rows.length).toBeGreaterThanOrEqual(3);
    expect(await released(contract)).toEqual(rows);
    const { records } = await readBooks(weir, contract.contract.id, []);
    expect(records.map(({ units }) => units['micro-rho'])).toEqual(['50000', '50000']);
  });
});

describe('an exact sum over persons', () => {
  it('is refused and charged after one person left, and the refusal tells nothing of a cell', async () => {
    const contract = await weir.agree(planOf('patients'));
    expect(contract.contract.disclosure).toMatchObject({ complementary: true });
    expect(await released(contract)).toHaveLength(3);
    const without = patientsOf(0).filter(({ person }) => person !== VICTIM.person);
    writeFileSync(join(weir.directory, 'data', 'clinic', 'patients.csv'), csvOf(without));
    const refusal: unknown = await weir.analyst
      .run(contract, {}, () => undefined)
      .catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'cell-too-small' });
    expect(JSON.stringify(refusal)).not.toMatch(/north|victim|777/);
    const { records } = await readBooks(weir, contract.contract.id, []);
    expect(records.map(({ units, chargeMicros }) => [units['runs'], chargeMicros !== '0'])).toEqual(
      [
        ['1', true],
        ['1', true],
      ],
    );
  });
});

describe('a domain with a restored backup', () => {
  const said = async (...args: readonly string[]): Promise<void> => {
    const ran = command(args);
    expect(await ran.ended, ran.stderr()).toBe(0);
  };
  const rewrite = (patients: readonly Patient[]): void =>
    writeFileSync(join(weir.directory, 'data', 'clinic', 'patients.csv'), csvOf(patients));
  const codeOf = (contract: ContractBody): Promise<unknown> =>
    released(contract).then(
      () => 'answered',
      (error: unknown) => (error as { code?: unknown }).code,
    );

  it('tells nothing exact of persons: what it released since is forgotten, though every run is known', async () => {
    const contract = await weir.agree(planOf('patients'));
    const noised = await weir.agree(planOf('records'), { noise: NOISE });
    const at = ['--dir', join(weir.directory, 'clinic')];
    const backup = ['--backup', join(weir.directory, 'backup')];
    await said('backup', ...at, ...backup);
    const some = patientsOf(0).slice(0, 30);
    rewrite(some);
    expect(await codeOf(contract)).toBe('answered');
    await weir.program('clinic').stop();
    await said('restore', ...at, ...backup);
    await weir.start('clinic');
    await weir.linked();
    // One person less than in the answer that only the analyst remembers.
    rewrite(some.slice(1));
    expect(await codeOf(contract)).toBe('history-rolled-back');
    const officer = weir.officer('clinic');
    const { lostRuns, storedSeq, highestSeq } = await officer.viewRollback();
    expect([lostRuns, highestSeq - storedSeq]).toEqual([0, 1]);
    await officer.acceptRollback(lostRuns);
    expect((await officer.status()).counters.rolledBack).toBe(false);
    expect(await codeOf(contract)).toBe('history-rolled-back');
    // The control: it takes runs again, and answers with noise.
    expect(await codeOf(noised)).toBe('answered');
  });
});
