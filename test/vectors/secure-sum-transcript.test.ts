import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { FIXED_CASE, prepare, runAll, testPool } from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());

/** SHA-256 of every message of the fixed case: who sends it, its name, its bytes. */
const VECTOR = new URL('./secure-sum-transcript.json', import.meta.url);

describe('the fixed transcript', () => {
  it('is what it was: a change of the bytes needs a new engine name', async () => {
    const prepared = prepare(FIXED_CASE);
    const { network, release } = await runAll(FIXED_CASE, prepared, pool);
    if (release.status !== 'fulfilled') throw release.reason;
    const messages = network.transcript
      .map(({ from, to, kind, payload }) => ({
        from,
        to,
        kind,
        sha256: createHash('sha256').update(payload).digest('hex'),
      }))
      .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    const seen = { engine: prepared.descriptor.engine, messages, rows: release.value.rows };
    expect(seen).toEqual(JSON.parse(readFileSync(VECTOR, 'utf8')));
  });
});
