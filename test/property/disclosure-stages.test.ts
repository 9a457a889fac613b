import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import type { DisclosureStage } from '../../src/disclosure/stage.ts';
import { suppressionMaps } from '../../src/computations/secure-sum/suppression.ts';
import { shapeOf } from '../../src/computations/secure-sum/shape.ts';
import { FIXED_CASE, prepare } from '../support/secure-sum-run.ts';

const rules = { smallestCell: 3, smallestContributors: 2 };
const cellsArbitrary = fc.array(fc.tuple(fc.nat({ max: 6 }), fc.nat({ max: 4 })), {
  maxLength: 30,
});

describe('disclosure stages', () => {
  it('keep exactly the cells at or over both thresholds, and never set an entry', () => {
    fc.assert(
      fc.property(cellsArbitrary, fc.infiniteStream(fc.boolean()), (cells, bits) => {
        const before = Uint8Array.from([...bits.take(cells.length)], Number);
        const permitted = before.slice();
        const counted = {
          counts: Float64Array.from(cells, ([count]) => count),
          contributors: Uint16Array.from(cells, ([, contributors]) => contributors),
        };
        for (const stage of DISCLOSURE_STAGES) stage.apply(counted, rules, permitted);
        const expected = cells.map(([count, contributors], cell) =>
          count >= 3 && contributors >= 2 ? before[cell] : 0,
        );
        expect([...permitted]).toEqual(expected);
      }),
    );
  });

  const shape = shapeOf(prepare(FIXED_CASE).contract, {});
  const counted = (count: number) => ({
    counts: new Float64Array(shape.cells).fill(count),
    contributors: new Uint16Array(shape.cells).fill(3),
  });

  it('a column with too few values of its own is withheld in a cell that may be released', () => {
    const opened = [counted(10), counted(2), counted(10)];
    const maps = suppressionMaps(shape, opened, DISCLOSURE_STAGES, rules);
    expect(maps.map((map) => map[0])).toEqual([1, 0, 1]);
  });

  it('a suppressed cell stays suppressed in every column, even past a stage that sets entries', () => {
    const sets: DisclosureStage = { name: 'sets', apply: (_, __, permitted) => permitted.fill(1) };
    const opened = [counted(2), counted(10), counted(10)];
    const maps = suppressionMaps(shape, opened, [...DISCLOSURE_STAGES], rules);
    expect(maps.map((map) => map[0])).toEqual([0, 0, 0]);
    const withSetter = suppressionMaps(shape, opened, [sets], rules);
    // A later stage cannot bring back what the request did not choose or the rows' map withheld.
    expect(withSetter.map((map) => map[0])).toEqual([1, 1, 1]);
    const chosenNone = { ...shape, chosen: [['west'], undefined] };
    const other = suppressionMaps(chosenNone, opened, [sets], rules);
    expect(other.map((map) => map[11])).toEqual([0, 0, 0]);
  });
});
