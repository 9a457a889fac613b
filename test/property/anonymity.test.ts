import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnonymityQuestionSchema, meetsDemand } from '../../src/catalog/anonymity.ts';
import {
  regradeHash,
  RegradeDecisionSchema,
  signRegrade,
  verifyRegrade,
} from '../../src/catalog/regrade.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { publishFlights } from '../support/published-flights.ts';
import {
  inTemporaryDirectory,
  registrationOf,
  writeTable,
  type Row,
} from '../support/source-tables.ts';

interface Question {
  readonly quasiIdentifiers: string[];
  readonly sensitive: string[];
  readonly privacyUnit?: string;
}

async function examine(rows: readonly Row[], question: Question) {
  return inTemporaryDirectory(async (directory) => {
    await writeTable(directory, 'json', rows);
    const source = await openDuckDbSource({
      registration: registrationOf('json', ['a']),
      directory,
      spillDirectory: join(directory, 'spill'),
      limits: { ...DEFAULT_ENGINE_LIMITS, threads: 1, memoryMiB: 256 },
    });
    try {
      return await source.examine(question);
    } finally {
      await source.close();
    }
  });
}

/** Every pair of rows compared, class by class. */
function naiveFigures(rows: readonly Row[], question: Question) {
  const value = (row: Row, column: string): string | null =>
    column === 'kind' ? row.kind : column === 'whole' ? row.whole : row.exact;
  const classes = new Map<string, Row[]>();
  for (const row of rows) {
    const key = JSON.stringify(question.quasiIdentifiers.map((column) => value(row, column)));
    classes.set(key, [...(classes.get(key) ?? []), row]);
  }
  const unit = question.privacyUnit;
  const sizes = [...classes.values()].map((members) => {
    if (unit === undefined) return members.length;
    const named = members.map((row) => value(row, unit)).filter((name) => name !== null);
    return new Set(named).size + (members.length - named.length);
  });
  const below = (size: number) => sizes.filter((n) => n < size).reduce((all, n) => all + n, 0);
  return {
    rows: rows.length,
    units: sizes.reduce((all, n) => all + n, 0),
    classes: sizes.length,
    k: sizes.length === 0 ? 0 : Math.min(...sizes),
    unique: below(2),
    below5: below(5),
    below10: below(10),
    l: question.sensitive.map((column) => ({
      column,
      distinct:
        classes.size === 0
          ? 0
          : Math.min(
              ...[...classes.values()].map(
                (members) => new Set(members.map((row) => value(row, column))).size,
              ),
            ),
    })),
  };
}

describe('anonymity examination', () => {
  it('equals the naive reference, over rows and over people', async () => {
    const few = fc.option(fc.constantFrom('a', 'b', 'c'));
    const number = fc.option(fc.constantFrom('1', '2', '3', '4'));
    const row: fc.Arbitrary<Row> = fc.record({
      at: fc.constant(null),
      kind: few,
      whole: number,
      exact: fc.option(fc.constantFrom('1.5', '2.5')),
      real: fc.constant(null),
    });
    const question: fc.Arbitrary<Question> = fc.constantFrom<Question>(
      { quasiIdentifiers: ['kind'], sensitive: ['exact'] },
      { quasiIdentifiers: ['kind', 'whole'], sensitive: [] },
      { quasiIdentifiers: ['kind'], sensitive: ['exact'], privacyUnit: 'whole' },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 60 }), question, async (rows, asked) => {
        expect(await examine(rows, asked)).toEqual(naiveFigures(rows, asked));
      }),
      { numRuns: 40 },
    );
  });

  it('refuses a column with two roles and an unknown one', async () => {
    const roles = { quasiIdentifiers: ['a'], sensitive: ['a'] };
    expect(AnonymityQuestionSchema.safeParse(roles).success).toBe(false);
    const unknown = examine([], { quasiIdentifiers: ['nobody'], sensitive: [] });
    await expect(unknown).rejects.toMatchObject({ code: 'column-unknown' });
  });
});

describe('regrade decision', () => {
  const [holder] = HOLDERS;
  if (holder === undefined) throw new Error('no holder');
  const dataset = publishFlights(holder);
  const keys = eddsaSuite.generate(systemRandom);
  const decision = RegradeDecisionSchema.parse({
    format: 'weir-regrade/1',
    holder,
    dataset: dataset.name,
    fingerprint: dataset.fingerprint,
    from: 'important',
    to: 'general',
    question: { quasiIdentifiers: ['origin'], sensitive: ['delay'] },
    demand: { k: 5, l: 2 },
    figures: {
      rows: 100,
      units: 100,
      classes: 10,
      k: 5,
      unique: 0,
      below5: 0,
      below10: 20,
      l: [{ column: 'delay', distinct: 2 }],
    },
    reason: 'Aggregated by airport.',
    decidedBy: 'the officer',
    decidedAt: '2026-01-01T00:00:00Z',
  });

  it('stands for the version that was examined, signed by its holder, and no other', () => {
    const signed = signRegrade(decision, keys);
    expect(verifyRegrade(signed, dataset, keys.publicKey)).toEqual(decision);
    const drifted = publishFlights(holder, { name: 'arrivals' });
    expect(() => verifyRegrade(signed, drifted, keys.publicKey)).toThrow(/another version/);
    const stranger = eddsaSuite.generate(systemRandom).publicKey;
    expect(() => verifyRegrade(signed, dataset, stranger)).toThrow(/does not verify/);
    const raised = { ...signed, decision: { ...decision, demand: { k: 3, l: 1 } } };
    expect(() => verifyRegrade(raised, dataset, keys.publicKey)).toThrow(/does not verify/);
    expect(regradeHash(raised.decision)).not.toBe(regradeHash(decision));
  });

  it('cannot be made from figures that miss its own demand, nor about core data', () => {
    const poor = { ...decision, figures: { ...decision.figures, k: 4 } };
    expect(() => signRegrade(poor, keys)).toThrow(
      expect.objectContaining({ code: 'refused-by-officer' }),
    );
    const uniform = {
      ...decision,
      figures: { ...decision.figures, l: [{ column: 'delay', distinct: 1 }] },
    };
    expect(() => signRegrade(uniform, keys)).toThrow(/not as anonymous/);
    const partial = { ...decision, figures: { ...decision.figures, l: [] } };
    expect(() => signRegrade(partial, keys)).toThrow(/not as anonymous/);
    expect(meetsDemand({ ...decision.figures, k: 0, l: [] }, { k: 2, l: 1 })).toBe(false);
    expect(RegradeDecisionSchema.safeParse({ ...decision, from: 'core' }).success).toBe(false);
  });
});
