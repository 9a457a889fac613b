/** What a holder's own log says of the set that a match read. */
import type { KeyTally } from '../../../protocols/psi/key-batch.ts';

/**
 * Rows read, keys among them, rows left out, and keys that stood there before. Under names of
 * counts: a log blanks `rows` and `keys`, as what data itself would go by.
 */
export function ownCounts(
  { rows: rowCount, keys: keyCount, nulls, malformed }: KeyTally,
  set: { readonly items: number; readonly distinct: number },
): Readonly<Record<string, number>> {
  return { rowCount, keyCount, nulls, malformed, duplicates: set.items - set.distinct };
}
