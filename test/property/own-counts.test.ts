/** What a holder reads in its log of the set that a match read. */
import { expect, it } from 'vitest';
import { ownCounts } from '../../src/computations/psi/own-counts.ts';
import { createLog } from '../../src/system/log.ts';

it('stands in the log as counts, and is not blanked', () => {
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    name: 'domain north',
    destination: { write: (line) => void lines.push(line) },
  });
  const tally = { rows: 7, keys: 5, nulls: 1, malformed: 1 };
  const counts = { rowCount: 7, keyCount: 5, nulls: 1, malformed: 1, duplicates: 2 };
  log.info(ownCounts(tally, { items: 5, distinct: 3 }), 'counts of the own data');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject(counts);
  // The control: the tally as it is would be blanked.
  log.info(tally, 'counts of the own data');
  expect(lines[1]).toContain('[redacted]');
});
