/** One holder with patients, and an analyst that matches sets of its own with them. */
import type { Analyst } from '../../../src/cli/analyst.ts';
import type { FinishedOwnSet } from '../../../src/client/own-set.ts';
import type { ContractBody, RunEventBody } from '../../../src/contracts/api.ts';
import type { Contract } from '../../../src/contracts/contract.ts';
import type { OwnSetPlan } from '../../../src/contracts/plan.ts';
import { contractHash } from '../../../src/contracts/signed-documents.ts';
import { PartyIdSchema, type PartyId, type RunId } from '../../../src/system/ids.ts';
import type { Holder, Table, TestWeir } from './weir.ts';

export const CLINIC: PartyId = PartyIdSchema.parse('clinic');
export const TITLE = { zh: '测试', en: 'Test' };

/**
 * The clinic with these persons among its patients, a row each.
 * @param changes - members of the registration to change.
 * @param csv - the rows, where they are to have more than the person.
 */
export function clinicHolders(
  persons: readonly string[],
  changes: Partial<Table['registration']> = {},
  csv: string = ['person', ...persons].join('\n'),
): readonly Holder[] {
  const registration: Table['registration'] = {
    format: 'weir-dataset/1',
    name: 'patients',
    title: { zh: '患者', en: 'Patients' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Test data',
    privacyUnit: 'person',
    partitions: [],
    columns: [{ name: 'person', type: 'text', usage: ['join'] }],
    ...changes,
  };
  return [{ party: CLINIC, tables: [{ registration, format: 'csv', csv }] }];
}

/** Of an analyst's own persons against the clinic's. */
export function ownSetPlan(setSizeMax: number): OwnSetPlan {
  return { kind: 'own-set', key: { as: 'person', type: 'text', column: 'person' }, setSizeMax };
}

/** A contract that the clinic has signed; `changes` are made to the draft. */
export async function agreeOwnSet(
  weir: TestWeir,
  setSizeMax: number,
  stated: Partial<Parameters<Analyst['draftOwnSet']>[2]> = {},
  changes: Partial<Contract> = {},
): Promise<ContractBody> {
  const tables = new Map([[CLINIC, 'patients']]);
  const terms = { title: TITLE, ...stated };
  const plan = ownSetPlan(setSizeMax);
  const drafted = { ...(await weir.analyst.draftOwnSet(plan, tables, terms)), ...changes };
  await weir.analyst.propose(drafted);
  await weir.officer(CLINIC).sign(drafted.id, { hash: contractHash(drafted) });
  return weir.analyst.untilActive(drafted.id, () => undefined);
}

/** A match whose run is known even where it fails. */
export interface StartedMatch {
  readonly run: Promise<FinishedOwnSet>;
  readonly runId: Promise<RunId>;
}

export function startMatch(
  analyst: Analyst,
  contract: ContractBody,
  ids: readonly string[],
  onEvent: (event: RunEventBody) => void = () => undefined,
): StartedMatch {
  const started = Promise.withResolvers<RunId>();
  const read = async function* (): AsyncGenerator<readonly string[]> {
    yield ids;
  };
  const run = analyst.match(
    contract,
    { count: ids.length, read },
    (event) => {
      started.resolve(event.runId);
      onEvent(event);
    },
    () => undefined,
  );
  run.catch(() => undefined);
  return { run, runId: started.promise };
}

/** The number that the recipient opened. */
export function sharedOf(run: FinishedOwnSet): number {
  return Number(run.result.release.rows[0]?.[0]);
}
