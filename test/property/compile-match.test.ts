/** SQL over a join of two holders' datasets: to match plans, or refused with place and reason. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planText } from '../../src/cli/show-plan.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import type { Grade } from '../../src/catalog/dataset.ts';
import { planBody } from '../../src/gateway/wire.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { WeirError } from '../../src/errors.ts';
import { judgeQuery } from '../../src/query/compile-plan.ts';
import type { JudgedQuery } from '../../src/query/judged-query.ts';
import { sqlParserOver, type SqlParser } from '../../src/query/sql-parser.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';
import { makeCast } from '../fixtures/contract.ts';
import { EAST, MATCHERS, matchContract, WEST } from '../fixtures/match.ts';
import { publishFlights } from '../support/published-flights.ts';

let parser: SqlParser;
beforeAll(async () => {
  parser = sqlParserOver(await openSerializer());
});
afterAll(() => parser.close());

const BOUNDS = { minimum: '-60', maximum: '60', scale: 0 };
const columns = [
  { name: 'date', type: 'timestamp' as const, usage: ['join' as const, 'reveal' as const] },
  { name: 'origin', type: 'text' as const, usage: ['join' as const, 'reveal' as const] },
  { name: 'number', type: 'integer' as const, usage: ['join' as const] },
  { name: 'code', type: 'integer' as const, usage: ['join' as const] },
  { name: 'secret', type: 'integer' as const, usage: [] },
];
const DELAY = { name: 'delay', type: 'integer' as const, usage: ['sum' as const], bounds: BOUNDS };
const BAND = {
  name: 'band',
  type: 'text' as const,
  usage: ['group' as const],
  labels: ['near', 'far'],
};
/** East has delays and west bands; each has a table of its own and one of a name that both have. */
const published = (more: { grade?: Grade; privacyUnit?: string } = {}) => [
  publishFlights(
    EAST,
    { name: 'departures', columns: [...columns, DELAY], partitions: [], ...more },
    1000,
  ),
  publishFlights(
    WEST,
    { name: 'arrivals', columns: [...columns, BAND], partitions: [['band']], ...more },
    1000,
  ),
  publishFlights(EAST, { name: 'shared', columns, partitions: [] }, 1000),
  publishFlights(WEST, { name: 'shared', columns, partitions: [] }, 1000),
];
const judge = (text: string, catalog = published()): Promise<JudgedQuery> =>
  judgeQuery(parser, text, catalog);
async function planOf(text: string, catalog = published()): Promise<MatchPlan> {
  const { compiled, refusals } = await judge(text, catalog);
  expect(refusals.map(({ message }) => message)).toEqual([]);
  const plan = compiled?.draft.plan;
  if (plan?.kind !== 'match') throw new Error(`no match: ${text}`);
  return plan;
}
const both = (left: string, right = left) => [
  { holder: EAST, column: left },
  { holder: WEST, column: right },
];
const FROM = 'FROM east.departures AS d JOIN west.arrivals AS a';

describe('a join', () => {
  it('compiles to a number, its key typed by what both publish; the first dataset’s holder matches', async () => {
    expect(await planOf(`SELECT COUNT(*) ${FROM} USING (date, origin)`)).toEqual({
      kind: 'match',
      ask: 'cardinality',
      receiver: EAST,
      key: [
        { as: 'date', type: 'date', columns: both('date') },
        { as: 'origin', type: 'text', columns: both('origin') },
      ],
      duplicates: 'multiplicity',
    });
    const plan = await planOf(
      `SELECT count(DISTINCT d.number) AS shared ${FROM} ON a.code = d.number`,
    );
    expect(plan.key).toEqual([{ as: 'number', type: 'integer', columns: both('number', 'code') }]);
    expect(plan.duplicates).toBe('distinct');
  });

  it('compiles to a sum of one side by groups of the other, which matches', async () => {
    const sql = `SELECT a.band AS zone, COUNT(*), SUM(delay) AS total ${FROM} USING (origin) GROUP BY a.band`;
    const plan = await planOf(sql);
    expect(plan).toMatchObject({
      ask: 'sum',
      receiver: WEST,
      sum: { as: 'total', column: 'delay' },
      group: { as: 'zone', column: 'band' },
    });
    const { compiled } = await judge(sql);
    expect(compiled?.draft).toMatchObject({
      dictionaries: [{ column: 'band', labels: ['near', 'far'] }],
      bounds: [{ column: 'delay', ...BOUNDS }],
      datasets: [
        { holder: EAST, dataset: 'departures' },
        { holder: WEST, dataset: 'arrivals' },
      ],
      disclosure: { smallestCell: 3, smallestContributors: 2 },
      protocol: { name: 'psi' },
    });
    // A contract can hold it, and the planner takes it.
    const { plan: _plan, ...draft } = compiled!.draft;
    const contract = matchContract(plan, draft, makeCast(MATCHERS));
    expect(() => checkContract(contract)).not.toThrow();
    expect(psi.estimate(contract, {})).toMatchObject({ cells: 3 });
  });

  it('compiles to the keys themselves where no aggregate is asked for', async () => {
    expect(await planOf(`SELECT origin, d.date ${FROM} USING (date, origin)`)).toMatchObject({
      ask: 'intersection',
      key: [{ as: 'date' }, { as: 'origin' }],
    });
  });

  it.each([
    `SELECT band, SUM(delay), COUNT(*) ${FROM} USING (origin) GROUP BY 1`,
    `SELECT band, SUM(d.delay), COUNT(*) ${FROM} ON (d.origin = a.origin) GROUP BY ALL`,
    'SELECT arrivals.band, SUM(departures.delay) FROM departures JOIN arrivals USING (origin) GROUP BY band',
    'SELECT west.band, SUM(east.delay) FROM east.departures JOIN west.arrivals USING (origin) GROUP BY west.band',
    'SELECT west.arrivals.band, SUM(east.departures.delay) FROM east.departures INNER JOIN west.arrivals ON east.departures.origin = west.origin GROUP BY 1',
  ])('compiles the paraphrase %s to the same plan', async (text) => {
    expect(await planOf(text)).toEqual(
      await planOf(`SELECT a.band, SUM(d.delay) ${FROM} USING (origin) GROUP BY a.band`),
    );
  });

  it('counts distinct keys of several columns', async () => {
    const plan = await planOf(
      `SELECT COUNT(DISTINCT (origin, a.date)) ${FROM} USING (date, origin)`,
    );
    expect(plan.duplicates).toBe('distinct');
  });
});

describe('what does not compile is refused', () => {
  const KEY = 'USING (origin)';
  const AT: RegExp = /line 1, column \d+/;
  it.each<[string, RegExp, RegExp?]>([
    [`SELECT COUNT(*) FROM departures LEFT JOIN arrivals ${KEY}`, /plain JOIN/, AT],
    ['SELECT COUNT(*) FROM departures NATURAL JOIN arrivals', /plain JOIN/, AT],
    ['SELECT COUNT(*) FROM departures, arrivals', /plain JOIN/],
    [`SELECT COUNT(*) FROM departures SEMI JOIN arrivals ${KEY}`, /plain JOIN/, AT],
    [`SELECT COUNT(*) ${FROM} ${KEY} JOIN shared ${KEY}`, /plain JOIN/, AT],
    [`SELECT COUNT(*) FROM (SELECT 1) x JOIN arrivals ${KEY}`, /plain JOIN/, AT],
    [`SELECT COUNT(*) FROM read_csv('/etc/passwd') x JOIN arrivals ${KEY}`, /plain JOIN/, AT],
    [`SELECT COUNT(*) FROM shared JOIN arrivals ${KEY}`, /2 holders publish shared/, AT],
    [`SELECT COUNT(*) FROM east.departures JOIN east.shared ${KEY}`, /one holder’s/, AT],
    [`SELECT COUNT(*) FROM nobody.departures JOIN arrivals ${KEY}`, /No holder publishes/, AT],
    ['SELECT COUNT(*) FROM departures JOIN arrivals USING (nothing)', /no such column/, AT],
    [`SELECT COUNT(*) ${FROM} ON d.origin > a.origin`, /column = column/, AT],
    [`SELECT COUNT(*) ${FROM} ON d.origin = 'JFK'`, /column = column/, AT],
    [`SELECT COUNT(*) ${FROM} ON d.origin = a.origin OR d.date = a.date`, /column = column/, AT],
    [`SELECT COUNT(*) ${FROM} ON lower(d.origin) = a.origin`, /column = column/, AT],
    [`SELECT COUNT(*) ${FROM} ON d.origin = d.date`, /one dataset with one of the other/, AT],
    [`SELECT COUNT(*) ${FROM} ON d.origin = a.origin AND d.origin = a.date`, /joined on twice/, AT],
    [`SELECT COUNT(*) ${FROM} ${KEY} WHERE d.origin = 'JFK'`, /without WHERE/, AT],
    [`SELECT COUNT(*) ${FROM} ${KEY} LIMIT 3`, /LIMIT/],
    [`SELECT COUNT(*) ${FROM} ${KEY} HAVING COUNT(*) > 3`, /HAVING/, AT],
    [`SELECT AVG(delay) ${FROM} ${KEY}`, /not one of COUNT/, AT],
    [`SELECT SUM(delay + 1) ${FROM} ${KEY}`, /counts and sums/, AT],
    [`SELECT SUM(DISTINCT delay) ${FROM} ${KEY}`, /counts and sums/, AT],
    [`SELECT SUM(number) ${FROM} ${KEY}`, /both datasets have a column number/, AT],
    [`SELECT SUM(d.number) ${FROM} ${KEY}`, /no bounds/, AT],
    [`SELECT SUM(d.delay), SUM(delay) ${FROM} ${KEY}`, /sums one column/, AT],
    [`SELECT COUNT(*), COUNT(DISTINCT origin) ${FROM} ${KEY}`, /counts once/, AT],
    [`SELECT COUNT(*) AS flights ${FROM} ${KEY}`, /called shared/, AT],
    [`SELECT COUNT(*), SUM(d.delay) AS shared ${FROM} ${KEY}`, /two result columns/, AT],
    [`SELECT a.band AS shared, COUNT(*) ${FROM} ${KEY} GROUP BY 1`, /two result columns/, AT],
    [`SELECT COUNT(DISTINCT d.date) ${FROM} ${KEY}`, /only whole keys/, AT],
    [`SELECT COUNT(DISTINCT origin) ${FROM} USING (origin, date)`, /only whole keys/, AT],
    [`SELECT COUNT(band) ${FROM} ${KEY}`, /not one of COUNT/, AT],
    [`SELECT d.delay ${FROM} ${KEY}`, /without COUNT or SUM/, AT],
    [`SELECT origin ${FROM} USING (origin, date)`, /without COUNT or SUM/, AT],
    [`SELECT * ${FROM} ${KEY}`, /counts and sums/, AT],
    [`SELECT band, COUNT(*) ${FROM} ${KEY}`, /not grouped by/, AT],
    [`SELECT COUNT(*) ${FROM} ${KEY} GROUP BY band`, /not selected/, AT],
    [`SELECT d.date, COUNT(*) ${FROM} ${KEY} GROUP BY d.date`, /no labels/, AT],
    [`SELECT x.band, COUNT(*) ${FROM} ${KEY} GROUP BY 1`, /of neither dataset/, AT],
    [`SELECT nothing, COUNT(*) ${FROM} ${KEY} GROUP BY 1`, /no dataset has this/, AT],
    [`SELECT COUNT(*) FROM west.departures JOIN arrivals ${KEY}`, /No holder publishes/, AT],
  ])('%s', async (text, message, path) => {
    const { compiled, refusals } = await judge(text);
    expect(compiled).toBeUndefined();
    const matching = refusals.filter((refusal) => message.test(refusal.message));
    expect(matching.length, refusals.map((one) => one.message).join('; ')).toBeGreaterThan(0);
    if (path !== undefined) expect(matching[0]?.facts.path).toMatch(path);
    for (const { facts } of refusals) expect(facts.remedy).toBeTruthy();
  });

  it('or compiles to a plan that a contract takes: any text of such parts, and none throws', async () => {
    const cast = makeCast(MATCHERS);
    const text = fc
      .tuple(
        fc.array(
          fc.constantFrom(
            'COUNT(*)',
            'COUNT(DISTINCT origin)',
            'SUM(delay)',
            'SUM(d.number) AS n',
            'band',
            'a.band AS zone',
            'd.origin',
            'month(d.date)',
            '1',
            '"délai"',
          ),
          { minLength: 1, maxLength: 4 },
        ),
        fc.constantFrom('JOIN', 'JOIN', 'JOIN', 'LEFT JOIN', 'CROSS JOIN', ','),
        fc.constantFrom(
          'USING (origin)',
          'USING (origin)',
          'USING (origin, date)',
          'ON d.origin = a.origin',
          'ON true',
          '',
        ),
        fc.constantFrom('', 'GROUP BY band', 'GROUP BY 1', 'GROUP BY ALL', 'WHERE band = $x'),
      )
      .map(
        ([items, join, on, rest]) =>
          `SELECT ${items.join(', ')} FROM east.departures d ${join} arrivals a ${on} ${rest}`,
      );
    let compiledCount = 0;
    await fc.assert(
      fc.asyncProperty(text, async (sql) => {
        const { compiled, refusals } = await judge(sql);
        for (const refusal of refusals) expect(refusal).toBeInstanceOf(WeirError);
        if (compiled === undefined) expect(refusals.length).toBeGreaterThan(0);
        if (compiled === undefined || refusals.length > 0) return;
        compiledCount += 1;
        const { plan, ...draft } = compiled.draft;
        if (plan.kind !== 'match') throw new Error('not a match');
        const contract = matchContract(plan, draft, cast);
        checkContract(contract);
        psi.estimate(contract, {});
      }),
      { numRuns: 400 },
    );
    expect(compiledCount).toBeGreaterThan(0);
  });

  it('groups and values of one side, since who groups sees which rows match', async () => {
    const catalog = published();
    const [departures] = catalog;
    const grouped = publishFlights(
      EAST,
      { name: 'departures', columns: [...columns, DELAY, BAND], partitions: [['band']] },
      1000,
    );
    const { refusals } = await judge(
      `SELECT d.band, SUM(delay) ${FROM} ${KEY} GROUP BY d.band`,
      catalog.map((one) => (one === departures ? grouped : one)),
    );
    expect(refusals[0]?.message).toContain('groups and values are of one side');
  });

  it('what the holders’ rules forbid, at the place of the column', async () => {
    const { compiled, refusals } = await judge(`SELECT COUNT(*) ${FROM} ON d.secret = a.number`);
    expect(compiled).toBeDefined();
    expect(refusals).toMatchObject(
      [
        { code: 'column-usage-forbids', facts: { column: 'secret', party: EAST, path: /line 1/ } },
      ].map(({ code, facts }) => ({
        code,
        facts: { ...facts, path: expect.stringMatching(facts.path) },
      })),
    );
  });
});

describe('a join of persons or important data', () => {
  const persons = { grade: 'important', privacyUnit: 'origin' } as const;

  it('is noised, and then counts distinct keys', async () => {
    const sql = `SELECT a.band, COUNT(DISTINCT origin), SUM(delay) ${FROM} USING (origin) GROUP BY 1`;
    const { compiled, refusals } = await judge(sql, published(persons));
    expect(refusals).toEqual([]);
    expect(compiled?.draft.disclosure).toMatchObject({
      smallestCell: 10,
      noise: { cellsPerUnit: 1, rowsPerCell: 1, honestDomains: 1 },
    });
    const general = await judge(sql, published({ privacyUnit: 'origin' }));
    expect(general.refusals).toEqual([]);
    expect(general.compiled?.draft.disclosure.noise).toBeDefined();
  });

  it('is refused otherwise, with what to write instead', async () => {
    const messages = async (text: string): Promise<readonly WeirError[]> =>
      (await judge(text, published(persons))).refusals;
    const [counted] = await messages(`SELECT COUNT(*) ${FROM} USING (origin)`);
    expect(counted).toMatchObject({
      facts: {
        remedy: expect.stringContaining('COUNT(DISTINCT origin)'),
        path: 'line 1, column 8',
      },
    });
    const [other] = await messages(`SELECT COUNT(DISTINCT number) ${FROM} USING (number)`);
    expect(other).toMatchObject({ code: 'noise-required', facts: { rule: 'privacyUnit' } });
  });
});

describe('the explanation of a join', () => {
  it('says how keys are read and counted, where SQL would say otherwise', async () => {
    const { compiled, refusals } = await judge(`SELECT COUNT(*) ${FROM} USING (date)`);
    const draft = compiled === undefined ? undefined : { ...compiled.draft, parameters: {} };
    const text = planText(planBody({ draft, refusals, explanation: undefined }));
    expect(text).toContain('what is matched');
    expect(text).toContain('A repeated key counts as often as it occurs on both sides');
    expect(text).toContain('east matches, and learns the exact number');
    expect(text).toContain('Key date (date): east.date = west.date');
  });
});
