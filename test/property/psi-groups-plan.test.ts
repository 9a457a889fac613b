/** What a match by groups may ask, costs and shows, from its contract alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import {
  foldedCounts,
  foldedGroups,
  permittedCells,
} from '../../src/computations/psi/group-release.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { describeContract, plainText } from '../../src/contracts/plain-words.ts';
import { MATCH_LABELS_MAX } from '../../src/contracts/plan.ts';
import { questionOf } from '../../src/disclosure/question.ts';
import { DISCLOSURE_STAGES } from '../../src/disclosure/stages.ts';
import {
  BOUNDS,
  GROUP,
  KEY,
  LABELS,
  NEAR,
  SUMMED,
  cast,
  groupedContract,
  recipient,
  summedContract,
} from '../fixtures/groups.ts';
import { GROUP_CELLS_MAX } from '../../protocols/psi/params.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { publishFlights } from '../support/published-flights.ts';
import { describeMatch } from '../support/psi-run.ts';

describe('which groups are shown', () => {
  const RULES = { smallestCell: 5, smallestContributors: 2 };
  const folded = (counts: number[]): number[] => [
    ...foldedGroups(Float64Array.from(counts), DISCLOSURE_STAGES, RULES),
  ];

  it('never one that is small, nor one whose remainder the total gives back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 8 }),
        (counts) => {
          const into = folded(counts);
          const other = counts.length - 1;
          const hidden = counts.filter(
            (_, cell) =>
              into[cell] === other &&
              (cell !== other ||
                into.some((to, one) => to === other && one !== other && (counts[one] ?? 0) > 0)),
          );
          const small = hidden.filter((count) => count > 0);
          into.forEach((to, cell) => {
            expect(to === cell || to === other).toBe(true);
            if (to === cell && cell !== other) expect(counts[cell]).toBeGreaterThanOrEqual(5);
          });
          const shown = foldedCounts(Float64Array.from(counts), Uint8Array.from(into));
          const permitted = permittedCells(shown, DISCLOSURE_STAGES, RULES, false);
          expect([...shown].reduce((a, b) => a + b)).toBe(counts.reduce((a, b) => a + b));
          if (permitted[other] === 1 && small.length > 0)
            expect(small.length).toBeGreaterThanOrEqual(2);
          // All groups that are shown add up to the whole, less a remainder that is none or all of it.
          const seen = shown.reduce(
            (sum, count, cell) => sum + (permitted[cell] === 1 ? count : 0),
            0,
          );
          const total = counts.reduce((a, b) => a + b);
          expect(seen === total || seen === 0).toBe(true);
        },
      ),
    );
  });

  it('leaves what is large enough as it is', () => {
    expect(folded([5, 6, 7])).toEqual([0, 1, 2]);
    expect(folded([5, 6, 0])).toEqual([0, 1, 2]);
    expect(folded([0, 6, 7])).toEqual([2, 1, 2]);
    expect(folded([5, 4, 0])).toEqual([2, 2, 2]);
    expect(folded([9, 4, 1])).toEqual([0, 2, 2]);
    expect(folded([9, 8, 1])).toEqual([0, 2, 2]);
  });
});

describe('what a match by groups may be', () => {
  const codeOf = (work: () => unknown): string => {
    try {
      work();
      return 'accepted';
    } catch (error) {
      return String((error as { code?: unknown }).code);
    }
  };

  it('has the dictionary of its column and no other, and result columns told apart', () => {
    expect(codeOf(() => checkContract(groupedContract()))).toBe('accepted');
    expect(codeOf(() => checkContract(summedContract()))).toBe('accepted');
    const dictionary = (labels: string[], column = 'distance'): Partial<Contract> => ({
      dictionaries: [{ column, labels }],
    });
    const bad: Contract[] = [
      groupedContract({}, { dictionaries: [] }),
      groupedContract({}, dictionary([...LABELS], 'other')),
      groupedContract({}, dictionary(['a', 'a'])),
      groupedContract({}, dictionary(['(other)'])),
      groupedContract({}, dictionary(Array.from({ length: 64 }, (_, i) => String(i)))),
      groupedContract({ group: { as: 'shared', column: 'distance' } }),
      groupedContract({ ask: 'intersection' }),
      summedContract(3, { group: { as: 'total', column: 'distance' } }),
      summedContract(3, { sum: { as: 'shared', column: 'delay' } }),
      matchContract(
        { ask: 'sum', sum: { as: 'shared', column: 'delay' } },
        { bounds: summedContract().bounds },
        cast,
      ),
      matchContract({}, dictionary([...LABELS]), cast),
    ];
    for (const contract of bad) {
      expect(codeOf(() => checkContract(contract))).toBe('malformed-message');
    }
    expect(MATCH_LABELS_MAX + 1).toBe(GROUP_CELLS_MAX);
    const most = Array.from({ length: MATCH_LABELS_MAX }, (_, i) => String(i));
    expect(codeOf(() => checkContract(groupedContract({}, dictionary(most))))).toBe('accepted');
  });

  it('costs a product a ciphertext and group, and is refused beyond what can be hidden', () => {
    const units = (contract: Contract): bigint =>
      psi.estimate(contract, {}).units['compute-milli-units'] ?? 0n;
    const one = summedContract();
    const more = groupedContract(SUMMED, {
      bounds: BOUNDS,
      dictionaries: [{ column: 'distance', labels: [...LABELS, 'more'] }],
    });
    // A product and an answer, and 64 more items of the receiver's: 4 + 36 + 5.12 ms.
    expect(units(more) - units(one)).toBe(45n);
    expect(psi.estimate(one, {})).toMatchObject({ cells: 4, exact: true });
    const large = (labels: number): Contract =>
      groupedContract(SUMMED, {
        bounds: [{ column: 'delay', minimum: '0', maximum: '100', scale: 0 }],
        dictionaries: [
          { column: 'distance', labels: Array.from({ length: labels }, (_, i) => String(i)) },
        ],
        datasets: MATCHERS.map((holder) => ({
          holder,
          dataset: 'departures',
          version: 'any' as const,
          rowsMax: 2 ** 21,
        })),
      });
    expect(codeOf(() => psi.estimate(large(31), {}))).toBe('accepted');
    expect(codeOf(() => psi.estimate(large(32), {}))).toBe('set-too-large');
  });

  it('says in plain words and in the explanation who learns which numbers', () => {
    const words = plainText(describeContract(summedContract()), 'en');
    expect(words).toContain('band = by groups of west’s distance');
    expect(words).toContain('west learns the number of each group');
    const learns = psi
      .estimate(summedContract(), {})
      .learns.map(({ party, en }) => `${party}: ${en}`);
    expect(learns).toHaveLength(4);
    expect(learns.join('\n')).toContain('padded size of each of the other’s groups');
    expect(learns.join('\n')).toContain('added up in (other)');
  });

  it('asks for group and a listed partition at the receiver, with its published labels', () => {
    const published = (
      usage: ('join' | 'group')[],
      partitions: string[][],
      labels: readonly string[] = LABELS,
    ) =>
      MATCHERS.map((holder) =>
        publishFlights(
          holder,
          {
            columns: [
              { name: 'flight', type: 'text', usage: ['join'] },
              ...(holder === WEST
                ? [{ name: 'distance', type: 'text' as const, usage, labels: [...labels] }]
                : []),
            ],
            partitions: holder === WEST ? partitions : [],
          },
          100,
        ),
      );
    const codes = (...all: Parameters<typeof published>): unknown[] =>
      planRefusals(groupedContract(), published(...all)).map(({ code, facts }) => [
        code,
        facts.party,
      ]);
    expect(codes(['group'], [['distance']])).toEqual([]);
    expect(codes(['join'], [['distance']])).toEqual([['column-usage-forbids', WEST]]);
    expect(codes(['group'], [])).toEqual([['column-usage-forbids', WEST]]);
    expect(codes(['group'], [['distance']], [NEAR])).toEqual([['parameter-invalid', WEST]]);
  });

  it('is another question than without them, or by others', () => {
    const ask = (contract: Contract): string => questionOf(contract, describeMatch(contract));
    const parties = describeMatch(groupedContract()).parties;
    const asked = (contract: Contract): string =>
      questionOf(contract, { ...describeMatch(contract), parties });
    const base = asked(groupedContract());
    expect(asked(groupedContract({ group: { ...GROUP, as: 'zone' } }))).toBe(base);
    const others = [
      matchContract({ key: KEY, receiver: WEST }, { recipient }, cast),
      groupedContract({ receiver: EAST }),
      groupedContract({}, { dictionaries: [{ column: 'distance', labels: [NEAR] }] }),
    ];
    for (const other of others) expect(asked(other)).not.toBe(base);
    expect(ask(groupedContract())).toHaveLength(64);
  });
});
