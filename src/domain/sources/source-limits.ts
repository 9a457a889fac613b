/** What every source refuses alike. */
import type { AggregateQuery } from '../../catalog/data-source.ts';
import { InputError } from '../../errors.ts';

export const CHUNK_ROWS_MAX = 1_000_000;

/** @throws InputError `overflow-possible`, `parameter-invalid`, before a row is read */
export function refuseOverflow(query: AggregateQuery, rowCount: number): void {
  const rows = BigInt(rowCount);
  for (const { column, minimum, maximum, squares } of query.sums) {
    const [low, high] = [BigInt(minimum), BigInt(maximum)];
    if (low > high) {
      throw new InputError('parameter-invalid', 'A minimum is above its maximum.', { column });
    }
    const largest = -low > high ? -low : high;
    if (rows * largest >= 1n << 63n || (squares && rows * largest * largest >= 1n << 127n)) {
      throw new InputError('overflow-possible', 'The sum could leave its lane.', {
        column,
        remedy: 'narrower bounds or a smaller scale',
      });
    }
  }
}
