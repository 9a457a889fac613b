/** What officers decided on results that wait, and which results those are. */
import {
  type SignedReleaseDecision,
  SignedReleaseDecisionSchema,
} from '../contracts/officer-release.ts';
import type { Store } from '../store/store.ts';
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

/** Runs of this gateway whose results wait, the oldest first. */
export async function readAwaiting(store: Store, instance: string): Promise<readonly RunRow[]> {
  const rows = await store.query(
    `SELECT run_id FROM runs WHERE state = 'awaiting-release' AND instance = ?
      ORDER BY created_ms LIMIT ${RUNS_LISTED_MAX}`,
    [instance],
  );
  const runs = await Promise.all(rows.map((row) => readRun(store, String(row['run_id']) as RunId)));
  return runs.flatMap((run) => (run?.state === 'awaiting-release' ? [run] : []));
}
