/** What officers decided on results that wait, and which results those are. */
import {
  type SignedReleaseDecision,
  SignedReleaseDecisionSchema,
} from '../contracts/officer-release.ts';
import type { Statement, Store } from '../store/store.ts';
import type { RunId } from '../system/ids.ts';
import { readRun, type RunRow, RUNS_LISTED_MAX } from './run-rows.ts';

/** A party's first decision stays. */
export async function keepDecision(store: Store, signed: SignedReleaseDecision): Promise<void> {
  const { runId, party } = signed.release;
  await store.execute([
    {
      sql: `INSERT INTO run_release (run_id, party, document) VALUES (?, ?, ?)
            ON CONFLICT (run_id, party) DO NOTHING`,
      params: [runId, party, JSON.stringify(signed)],
    },
  ]);
}

export async function readDecisions(
  store: Store,
  runId: RunId,
): Promise<readonly SignedReleaseDecision[]> {
  const rows = await store.query(
    'SELECT document FROM run_release WHERE run_id = ? ORDER BY party',
    [runId],
  );
  return rows.map((row) => SignedReleaseDecisionSchema.parse(JSON.parse(String(row['document']))));
}

/** Runs whose results wait, the oldest first; those of one process where it is named. */
export async function readAwaiting(store: Store, instance?: string): Promise<readonly RunRow[]> {
  const rows = await store.query(
    `SELECT run_id FROM runs WHERE state = 'awaiting-release' AND instance = COALESCE(?, instance)
      ORDER BY created_ms LIMIT ${RUNS_LISTED_MAX}`,
    [instance ?? null],
  );
  const runs = await Promise.all(rows.map((row) => readRun(store, String(row['run_id']) as RunId)));
  return runs.flatMap((run) => (run?.state === 'awaiting-release' ? [run] : []));
}

/** Processes other than `instance` that results wait with. */
export async function readOthersWaitedWith(
  store: Store,
  instance: string,
): Promise<readonly string[]> {
  const rows = await store.query(
    `SELECT DISTINCT instance FROM runs WHERE state = 'awaiting-release' AND instance <> ?
      LIMIT ${RUNS_LISTED_MAX}`,
    [instance],
  );
  return rows.map((row) => String(row['instance']));
}

/** Results that wait with one process wait with another from here on. */
export function takeOverAwaiting(from: string, to: string): Statement {
  return {
    sql: `UPDATE runs SET instance = ? WHERE instance = ? AND state = 'awaiting-release'`,
    params: [to, from],
  };
}
