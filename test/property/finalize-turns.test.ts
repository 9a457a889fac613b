import { expect, it } from 'vitest';
import { CELLS_A_TURN, finalize } from '../../src/computations/secure-sum/finalize.ts';
import { shapeOf } from '../../src/computations/secure-sum/shape.ts';
import { laneBytes } from '../../protocols/common/rings.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';

it('leaves the event loop to others while it labels a large table', async () => {
  const labels = (name: string): string[] => Array.from({ length: 299 }, (_, at) => `${name}${at}`);
  const contract = makeContract(makeCast(), {
    plan: {
      kind: 'aggregate',
      table: 'flights',
      groups: [{ column: 'hour' }, { column: 'carrier' }],
      measures: [{ as: 'flights', fn: 'count' }],
      select: [],
    },
    parameters: {},
    bounds: [],
    dictionaries: [
      { column: 'hour', labels: labels('h') },
      { column: 'carrier', labels: labels('c') },
    ],
  });
  const shape = shapeOf(contract, {});
  const totals = shape.measures.vectors.map((ring) =>
    new Uint8Array(shape.cells * laneBytes(ring)).map((_, at) => (at % 8 === 0 ? 5 : 0)),
  );
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns += 1;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const release = await finalize(contract, shape, totals);
  isOver = true;
  expect(release.releasedCells).toBe(300 * 300);
  expect(release.rows.at(-1)).toEqual(['(other)', '(other)', 5]);
  expect(turns).toBeGreaterThanOrEqual(Math.floor((300 * 300) / CELLS_A_TURN));
});
