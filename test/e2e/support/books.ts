/** The books of one contract after some runs, and everything that can be wrong with them. */
import type { MeteringRecordBody, QuotaLeftBody, RunBody } from '../../../src/contracts/api.ts';
import { type ContractId, type RunId, RunIdSchema } from '../../../src/system/ids.ts';
import type { TestWeir } from './weir.ts';

export interface Books {
  readonly runs: readonly Pick<RunBody, 'runId' | 'state'>[];
  readonly records: readonly MeteringRecordBody[];
  readonly quota: readonly QuotaLeftBody[];
}

/** What the API says about a contract's runs: their ends, their records, the quota left. */
export async function readBooks(
  weir: TestWeir,
  contractId: ContractId,
  runIds: Iterable<RunId>,
): Promise<Books> {
  const runs = await Promise.all([...runIds].map((runId) => weir.analyst.client.run(runId)));
  const records: MeteringRecordBody[] = [];
  for (let after = '0'; ; ) {
    const page = await weir.operator.meteringRecords({ after, limit: 1000 });
    records.push(...page.records.filter((record) => record.contractId === contractId));
    if (!page.more) break;
    after = page.next;
  }
  const { quota } = await weir.analyst.explain(contractId, {});
  return { runs, records, quota };
}

/** Every rule that the books break, a sentence each: charged once where posted, else not at all. */
export function faultsIn(books: Books): string[] {
  const faults: string[] = [];
  const ids = new Set<string>(books.runs.map((run) => run.runId));
  if (ids.size !== books.runs.length) faults.push('a run is listed twice');
  for (const record of books.records) {
    const { runId, outcome } = record;
    // A refused call leaves a record too, of no run and without a charge.
    const isDenial = outcome === 'denied' && runId === undefined && isFree(record);
    if (!isDenial && !ids.has(String(runId))) faults.push(`a record of no known run: ${runId}`);
  }
  for (const { runId, state } of books.runs) {
    const own = books.records.filter((record) => record.runId === runId);
    const [record] = own;
    if (own.length !== 1 || record === undefined) {
      faults.push(`run ${runId} (${state}) has ${own.length} records`);
      continue;
    }
    const isPosted = state === 'posted';
    if (!isPosted && state !== 'voided') faults.push(`run ${runId} is ${state}`);
    if (record.outcome !== state) faults.push(`run ${runId}: ${state}, recorded ${record.outcome}`);
    const isCharged = record.units['runs'] === '1' && BigInt(record.chargeMicros) > 0n;
    if (isPosted ? !isCharged : !isFree(record))
      faults.push(`run ${runId}: ${state}, charged wrongly`);
  }
  for (const { dimension, window, limit, left } of books.quota) {
    if (window !== 'lifetime') continue;
    const posted = books.records.reduce(
      (sum, record) => sum + BigInt(record.units[dimension] ?? '0'),
      0n,
    );
    if (posted + BigInt(left) !== BigInt(limit)) {
      faults.push(`${dimension}: ${posted} posted and ${left} left of ${limit}`);
    }
  }
  return faults;
}

function isFree(record: MeteringRecordBody): boolean {
  return Object.keys(record.units).length === 0 && record.chargeMicros === '0';
}

/** Waits until the run has ended. */
export async function endOf(weir: TestWeir, runId: RunId): Promise<RunBody> {
  const id = RunIdSchema.parse(runId);
  for await (const _event of weir.analyst.client.follow(id)) continue;
  return weir.analyst.client.run(id);
}
