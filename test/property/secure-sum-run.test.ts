import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Release } from '../../src/computations/computation.ts';
import { SECURE_SUM_STEPS } from '../../src/computations/secure-sum/domain.ts';
import { suppressComplements } from '../../src/disclosure/complementary.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';
import { FIXED_CASE, prepare, runAll, testPool, type RunCase } from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());

/** Straight sums over all rows, with the disclosure rules applied by the book. */
function naive(run: RunCase, cells: number, isComplementary = false): Release['rows'] {
  const radices = run.groups.map((labels) => labels.length + 1);
  const out: (string | number | null)[][] = [];
  const enough = (rows: readonly { party: number }[]): boolean =>
    rows.length >= run.smallestCell &&
    new Set(rows.map(({ party }) => party)).size >= run.smallestContributors;
  const rowsOf = (cell: number): { party: number; values: readonly (bigint | undefined)[] }[] =>
    run.parts.flatMap((part, party) =>
      part.filter((row) => row.cell === cell).map((row) => ({ party, values: row.values })),
    );
  /** Threshold, contributors and lines, over the rows that `counts` picks, within `before`. */
  const mapOf = (counts: (row: { values: readonly unknown[] }) => boolean, before?: Uint8Array) => {
    const picked = Array.from({ length: cells }, (_, cell) => rowsOf(cell).filter(counts));
    const map = Uint8Array.from(picked, (rows, cell) =>
      enough(rows) && before?.[cell] !== 0 ? 1 : 0,
    );
    const selected = new Uint8Array(cells).fill(1);
    const table = { radices, counts: Float64Array.from(picked, (rows) => rows.length), selected };
    if (isComplementary) suppressComplements(table, run.smallestCell, map);
    return map;
  };
  const shownRows = mapOf(() => true);
  const shownColumns = run.columns.map((_, index) =>
    mapOf((row) => row.values[index] !== undefined, shownRows),
  );
  for (let cell = 0; cell < cells; cell++) {
    const rows = rowsOf(cell);
    if (shownRows[cell] !== 1) continue;
    const labels: string[] = [];
    let rest = cell;
    for (let group = radices.length - 1; group >= 0; group--) {
      labels.unshift(run.groups[group]![rest % radices[group]!] ?? OTHER_LABEL);
      rest = Math.floor(rest / radices[group]!);
    }
    const values: (string | number | null)[] = [rows.length];
    for (const [index, { scale, squares }] of run.columns.entries()) {
      const present = rows.filter((row) => row.values[index] !== undefined);
      const numbers = present.map((row) => row.values[index]!);
      const isShown = shownColumns[index]![cell] === 1;
      const sum = numbers.reduce((total, value) => total + value, 0n);
      const n = BigInt(numbers.length);
      const unit = 10n ** BigInt(scale);
      values.push(isShown ? decimal(sum, scale) : null, isShown ? quotient(sum, n * unit) : null);
      if (!squares) continue;
      const spread = n * numbers.reduce((total, value) => total + value * value, 0n) - sum * sum;
      values.push(isShown ? quotient(spread, n * (n - 1n) * unit * unit) : null);
    }
    out.push([...labels, ...values]);
  }
  return out;
}

function decimal(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
  const point = digits.length - scale;
  const text = scale === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
  return value < 0n ? `-${text}` : text;
}

/** The nearest double, by search: no double is nearer to the exact rational. */
function quotient(numerator: bigint, denominator: bigint): number {
  let best = Number(numerator) / Number(denominator);
  const view = new DataView(new ArrayBuffer(8));
  const next = (value: number, by: bigint): number => {
    view.setFloat64(0, value);
    view.setBigInt64(0, view.getBigInt64(0) + by);
    return view.getFloat64(0);
  };
  /** |value − numerator / denominator| · denominator · 2^1100, exactly. */
  const distance = (value: number): bigint => {
    if (value === 0) return (numerator < 0n ? -numerator : numerator) << 1100n;
    view.setFloat64(0, value);
    const bits = view.getBigUint64(0);
    const exponent = (bits >> 52n) & 0x7ffn;
    const mantissa = (bits & ((1n << 52n) - 1n)) | (exponent === 0n ? 0n : 1n << 52n);
    const scaled = mantissa << ((exponent === 0n ? 1n : exponent) - 1075n + 1100n);
    const difference = (value < 0 ? -scaled : scaled) * denominator - (numerator << 1100n);
    return difference < 0n ? -difference : difference;
  };
  if (best === 0) return 0;
  for (let moved = true; moved; ) {
    moved = false;
    for (const candidate of [next(best, 1n), next(best, -1n)]) {
      if (distance(candidate) < distance(best)) {
        best = candidate;
        moved = true;
      }
    }
  }
  return best;
}

const columnArbitrary = fc
  .record({
    bound: fc.bigInt({ min: 1n, max: 10n ** 15n }),
    scale: fc.integer({ min: 0, max: 4 }),
    squares: fc.boolean(),
  })
  .map(({ bound, scale, squares }) => ({ minimum: -bound, maximum: bound, scale, squares }));

const caseArbitrary: fc.Arbitrary<RunCase> = fc
  .record({
    groups: fc.array(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
      { maxLength: 2 },
    ),
    columns: fc.array(columnArbitrary, { maxLength: 2 }),
    parties: fc.integer({ min: 3, max: 5 }),
    smallestCell: fc.integer({ min: 3, max: 5 }),
    smallestContributors: fc.integer({ min: 1, max: 3 }),
    seed: fc.nat(),
  })
  .chain(({ parties, ...rest }) => {
    const cells = rest.groups.reduce((product, labels) => product * (labels.length + 1), 1);
    const row = fc.record({
      cell: fc.nat({ max: cells - 1 }),
      values: fc.tuple(
        ...rest.columns.map(({ minimum, maximum }) =>
          fc.option(
            fc.oneof(fc.bigInt({ min: minimum, max: maximum }), fc.constantFrom(minimum, maximum)),
            { nil: undefined, freq: 4 },
          ),
        ),
      ),
    });
    const part = fc.array(row, { maxLength: 30 });
    return fc
      .array(part, { minLength: parties, maxLength: parties })
      .map((parts) => ({ ...rest, parts }));
  });

describe('a secure sum', () => {
  it('equals the naive sum for random shapes, and shows nothing under the thresholds', async () => {
    await fc.assert(
      fc.asyncProperty(caseArbitrary, fc.boolean(), async (run, isComplementary) => {
        const { smallestCell, smallestContributors } = run;
        const rules = { smallestCell, smallestContributors };
        const disclosure = isComplementary ? { ...rules, complementary: true as const } : rules;
        const prepared = prepare(run, {}, { disclosure });
        const { release, domains, steps } = await runAll(run, prepared, pool);
        for (const domain of domains)
          expect(domain).toEqual({ status: 'fulfilled', value: undefined });
        if (release.status !== 'fulfilled') throw release.reason;
        const expected = naive(run, prepared.cells, isComplementary);
        expect(release.value.rows).toEqual(expected);
        expect(release.value.releasedCells).toBe(expected.length);
        expect(release.value.suppressedCells).toBe(prepared.cells - expected.length);
        expect(steps.length).toBe(run.parts.length * SECURE_SUM_STEPS.length);
      }),
      { numRuns: 60 },
    );
  });

  it('releases only chosen labels, and counts only chosen cells as suppressed', async () => {
    const { contract } = prepare(FIXED_CASE);
    const change = {
      plan: { ...contract.plan, select: [{ column: 'g1', in: { parameter: 'which' } }] },
      parameters: {
        which: { kind: 'labels' as const, column: 'g1', labels: ['1', '3'], most: 2 },
      },
    };
    const prepared = prepare(FIXED_CASE, { which: ['3'] }, change);
    const { release } = await runAll(FIXED_CASE, prepared, pool);
    if (release.status !== 'fulfilled') throw release.reason;
    const { rows, suppressedCells, releasedCells } = release.value;
    expect(rows).toEqual(naive(FIXED_CASE, prepared.cells).filter(([, label]) => label === '3'));
    expect(rows.length).toBeGreaterThan(0);
    // Cells of label 3: west, east and the rest of the other group.
    expect(releasedCells + suppressedCells).toBe(3);
  });

  it('with every cell under the threshold releases an empty table', async () => {
    const run = { ...FIXED_CASE, smallestCell: 1000 };
    const prepared = prepare(run);
    const { release } = await runAll(run, prepared, pool);
    expect(release).toMatchObject({
      status: 'fulfilled',
      value: { rows: [], releasedCells: 0, suppressedCells: prepared.cells },
    });
  });

  it('refuses before anything leaves when the dataset has outgrown its row cap', async () => {
    const part = Array.from({ length: 1025 }, () => ({ cell: 0, values: [] }));
    const run = { ...FIXED_CASE, groups: [['a']], columns: [], parts: [part, [], []] };
    const { domains, network } = await runAll(run, prepare(run), pool);
    expect(domains[0]).toMatchObject({ status: 'rejected', reason: { code: 'dataset-drifted' } });
    expect(network.transcript.filter(({ from }) => from === 'holder-a')).toEqual([]);
    const allowed = { ...run, parts: [part.slice(1), [], []] };
    const control = await runAll(allowed, prepare(allowed), pool);
    expect(control.release.status).toBe('fulfilled');
  });

  it('refuses a descriptor of another shape, engine or party list', async () => {
    const prepared = prepare(FIXED_CASE);
    const { descriptor } = prepared;
    for (const change of [
      { shape: { ...descriptor.shape, cells: 13 } },
      { shape: { ...descriptor.shape, lanes: 1 } },
      { engine: 'secure-sum/0' },
    ]) {
      const changed = { ...prepared, descriptor: { ...descriptor, ...change } };
      const { domains, network } = await runAll(FIXED_CASE, changed, pool);
      for (const domain of domains) {
        expect(domain).toMatchObject({ reason: { code: 'descriptor-mismatch' } });
      }
      expect(network.transcript).toEqual([]);
    }
  });
});
