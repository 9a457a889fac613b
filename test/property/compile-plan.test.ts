import { aggregatePlanOf } from '../../src/contracts/plan-fits.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { WeirError } from '../../src/errors.ts';
import { compileQuery, judgeQuery } from '../../src/query/compile-plan.ts';
import { sqlParserOver, type SqlParser } from '../../src/query/sql-parser.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';
import { flightsRegistration } from '../../src/cli/demo/flights-registration.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';
import { publishFlights } from '../support/published-flights.ts';

const published = HOLDERS.map((holder) => publishFlights(holder));
let parser: SqlParser;
beforeAll(async () => {
  parser = sqlParserOver(await openSerializer());
});
afterAll(() => parser.close());

const compile = (text: string) => compileQuery(parser, text, published);
const refusalOf = async (text: string): Promise<WeirError> => {
  const refusal = await compile(text).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (refusal instanceof WeirError) return refusal;
  throw new Error(`not refused: ${text}: ${String(refusal)}`);
};

describe('SQL to plan', () => {
  it('compiles groups, measures, labels and parameters to a draft that a contract can hold', async () => {
    const compiled = await compile(`
      SELECT month, "distanceBand", count(*) AS flights, avg(d.delay) AS mean_delay, var_samp(delay)
      FROM departures AS d
      WHERE month IN ('2001-01', '2001-02') AND "distanceBand" = $bands
      GROUP BY month, "distanceBand"`);
    expect(compiled.draft.plan).toEqual({
      kind: 'aggregate',
      table: 'departures',
      groups: [{ column: 'month' }, { column: 'distanceBand' }],
      measures: [
        { as: 'flights', fn: 'count' },
        { as: 'mean_delay', fn: 'avg', column: 'delay' },
        { as: 'var_delay', fn: 'var', column: 'delay' },
      ],
      select: [
        { column: 'month', in: { values: ['2001-01', '2001-02'] } },
        { column: 'distanceBand', in: { parameter: 'bands' } },
      ],
    });
    expect(compiled.parameters['bands']).toMatchObject({ column: 'distanceBand', most: 1 });
    expect(compiled.refusals).toEqual([]);
    expect(compiled.draft.datasets.map((entry) => entry.holder)).toEqual(HOLDERS);
    const contract = makeContract(makeCast(), {
      ...compiled.draft,
      parameters: compiled.parameters,
    });
    checkContract(contract);
  });

  it.each([
    [1, 1, 1],
    [2, 2, 1],
    [3, 3, 2],
  ])('shows the terms that a draft among %i has', async (among, smallestContributors, honest) => {
    const important = published
      .slice(0, among)
      .map((dataset) => ({ ...dataset, grade: 'important' as const, privacyUnit: 'origin' }));
    const sql = 'SELECT hour, count(*) FROM departures GROUP BY hour';
    const { draft } = await compileQuery(parser, sql, important);
    expect(draft.disclosure).toMatchObject({
      smallestCell: 10,
      smallestContributors,
      noise: { honestDomains: honest },
    });
  });

  it.each([
    'SELECT hour, count(*) FROM departures GROUP BY hour',
    'select hour, count(*) from departures group by 1',
    'FROM departures SELECT hour, count(*) GROUP BY ALL',
    'SELECT hour(date), count(*) FROM departures GROUP BY hour(date)',
    'SELECT departures.hour, COUNT() AS count FROM departures GROUP BY hour -- a comment',
  ])('compiles the paraphrase %s to the same plan', async (text) => {
    const { draft, refusals } = await compile(text);
    expect(draft.plan).toEqual(
      (await compile('SELECT hour, count(*) FROM departures GROUP BY hour')).draft.plan,
    );
    expect(refusals).toEqual([]);
  });

  it('finds derived columns by the expression they stand for', async () => {
    const { draft } = await compile(
      'SELECT strftime(date, \'%Y-%m\'), "distanceBand", count(*) FROM departures GROUP BY ALL',
    );
    expect(aggregatePlanOf(draft).groups).toEqual([
      { column: 'month' },
      { column: 'distanceBand' },
    ]);
  });

  it.each<[string, RegExp, RegExp?]>([
    ['SELECT', /valid SQL/],
    ['', /no statement/],
    ['SELECT hour FROM departures; SELECT 1', /more than one/],
    ['DROP TABLE departures', /only SELECT/],
    ["COPY departures TO '/tmp/x'", /only SELECT/],
    ["ATTACH '/etc/passwd'", /only SELECT/],
    ['SELECT * FROM departures', /neither a group column nor an aggregate/, /line 1, column 8/],
    ['SELECT hour, count(*) FROM departures GROUP BY hour ORDER BY 2', /ORDER BY/],
    ['SELECT hour, count(*) FROM departures GROUP BY hour LIMIT 1', /LIMIT/],
    ['SELECT DISTINCT hour FROM departures', /DISTINCT/],
    ['SELECT hour, count(*) FROM departures GROUP BY hour HAVING count(*) > 3', /HAVING/],
    ['SELECT hour, count(*) FROM departures GROUP BY ROLLUP (hour)', /grouping sets/],
    [
      'SELECT hour, count(*) FROM departures TABLESAMPLE 10% GROUP BY hour',
      /sampl|one dataset by its name/,
    ],
    [
      'SELECT hour, count(*) FROM departures GROUP BY hour QUALIFY row_number() OVER () = 1',
      /QUALIFY/,
    ],
    ['WITH d AS (SELECT 1) SELECT count(*) FROM d', /WITH/],
    ['SELECT count(*) FROM departures UNION SELECT 1', /UNION/],
    [
      'SELECT count(*) FROM departures a JOIN arrivals b ON a.hour = b.hour',
      /3 holders publish departures/,
    ],
    ["SELECT count(*) FROM read_csv('/etc/passwd')", /without subquery, function or path/],
    ['SELECT count(*) FROM west.departures', /one dataset by its name/],
    ['SELECT count(*) FROM (SELECT * FROM departures)', /subquery/],
    ['SELECT hour, count(delay) FROM departures GROUP BY hour', /not one of COUNT/],
    ['SELECT hour, count(DISTINCT delay) FROM departures GROUP BY hour', /neither/],
    ['SELECT hour, sum(delay) FILTER (WHERE delay > 0) FROM departures GROUP BY hour', /neither/],
    ['SELECT hour, sum(delay + 1) FROM departures GROUP BY hour', /neither/],
    ['SELECT hour, sum(delay) OVER () FROM departures GROUP BY hour', /neither/],
    ['SELECT hour, max(delay) FROM departures GROUP BY hour', /not one of COUNT/],
    ['SELECT hour, stddev(delay) FROM departures GROUP BY hour', /not one of COUNT/],
    ['SELECT hour(date, origin), count(*) FROM departures GROUP BY ALL', /not one of COUNT/],
    ["SELECT hour(date, 'x'), count(*) FROM departures GROUP BY ALL", /not one of COUNT/],
    ['SELECT hour, sum(origin) FROM departures GROUP BY hour', /no bounds/],
    ['SELECT hour AS h, count(*) FROM departures GROUP BY hour', /keeps its name/],
    ['SELECT hour, count(*) AS "a b" FROM departures GROUP BY hour', /plain name/],
    ['SELECT hour, count(*) AS hour FROM departures GROUP BY hour', /two result columns/],
    ['SELECT hour FROM departures GROUP BY hour', /no aggregate/],
    ['SELECT hour, count(*) FROM departures', /not grouped by/],
    ['SELECT count(*) FROM departures GROUP BY hour', /not selected/],
    ['SELECT origin, count(*) FROM departures GROUP BY origin', /no labels/, /line 1, column 8/],
    [
      'SELECT hour, count(*) FROM departures WHERE delay > 5 GROUP BY hour',
      /selects no whole cells/,
    ],
    [
      "SELECT hour, count(*) FROM departures WHERE hour NOT IN ('01') GROUP BY hour",
      /selects no whole cells/,
    ],
    [
      "SELECT hour, count(*) FROM departures WHERE hour = '01' OR hour = '02' GROUP BY hour",
      /selects no whole cells/,
    ],
    [
      "SELECT hour, count(*) FROM departures WHERE month = '2001-01' GROUP BY hour",
      /only a group column/,
    ],
    [
      "SELECT hour, count(*) FROM departures WHERE hour = '01' AND hour = '02' GROUP BY hour",
      /restricted twice/,
    ],
    ["SELECT hour, count(*) FROM departures WHERE hour IN ('01', $h) GROUP BY hour", /do not mix/],
    ['SELECT hour, count(*) FROM departures WHERE hour = ? GROUP BY hour', /a parameter is named/],
  ])('refuses %s', async (text, reason, place) => {
    const refusal = await refusalOf(text);
    expect(refusal.code).toBe('query-not-supported');
    expect(refusal.message).toMatch(reason);
    expect(refusal.facts.remedy).toBeTruthy();
    if (place !== undefined) expect(refusal.facts.path).toMatch(place);
  });

  it('names what is unknown and where', async () => {
    expect(await refusalOf('SELECT count(*) FROM secrets')).toMatchObject({
      code: 'dataset-unknown',
    });
    expect(
      await refusalOf('SELECT hour,\n  sum("延误") FROM departures GROUP BY hour'),
    ).toMatchObject({
      code: 'column-unknown',
      facts: { column: '延误', path: 'line 2, column 7' },
    });
    expect(
      await refusalOf('SELECT distanceband, count(*) FROM departures GROUP BY ALL'),
    ).toMatchObject({
      code: 'column-unknown',
      facts: { remedy: 'Written distanceBand.' },
    });
    expect(
      await refusalOf("SELECT hour, count(*) FROM departures WHERE hour = '24' GROUP BY hour"),
    ).toMatchObject({
      code: 'parameter-invalid',
      facts: { column: 'hour', path: 'line 1, column 52' },
    });
  });

  it('proposes the smallest grant where only policy stands in the way', async () => {
    const { refusals } = await compile('SELECT month, count(*) FROM departures GROUP BY month');
    expect(refusals.map((refusal) => refusal.facts.party)).toEqual(HOLDERS);
    expect(refusals[0]?.facts.remedy).toMatch(/or the holder adds the partition month/);
  });

  it('lists every refusal of a query, each with its place', async () => {
    const { compiled, refusals } = await judgeQuery(
      parser,
      `SELECT hour, max(delay), sum(origin)
       FROM departures WHERE delay > 5 AND nonsense = 'x' GROUP BY hour LIMIT 3`,
      published,
    );
    expect(compiled).toBeUndefined();
    expect(refusals.map(({ code, facts }) => [code, facts.path])).toEqual([
      ['query-not-supported', undefined],
      ['query-not-supported', 'line 1, column 14'],
      ['query-not-supported', 'line 1, column 30'],
      ['query-not-supported', 'line 2, column 36'],
      ['column-unknown', 'line 2, column 44'],
    ]);
  });

  it('points refusals of the plan at the column in the query they are about', async () => {
    const closed = publishFlights(HOLDERS[1]!, {
      columns: flightsRegistration('departures').columns.map((column) =>
        column.name === 'delay'
          ? { ...column, usage: column.usage.filter((use) => use !== 'avg') }
          : column,
      ),
    });
    const { compiled, refusals } = await judgeQuery(
      parser,
      'SELECT hour,\n avg(delay) FROM departures GROUP BY hour',
      published.with(1, closed),
    );
    expect(compiled).toBeDefined();
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatchObject({
      code: 'column-usage-forbids',
      facts: { column: 'delay', party: HOLDERS[1], path: 'line 2, column 6' },
    });
  });

  it('survives nesting and length that would exhaust a stack', async () => {
    for (const text of [
      `SELECT ${'('.repeat(4000)}1${')'.repeat(4000)}`,
      `SELECT ${'NOT '.repeat(2000)}1`,
      `SELECT ${'- '.repeat(4000)}1`,
      `SELECT ${'CASE WHEN 1 THEN '.repeat(400)}1${' END'.repeat(400)}`,
      `SELECT ${'1+'.repeat(4000)}1`,
      `SELECT count(*) FROM departures WHERE ${'hour IN (1) AND '.repeat(400)} hour IN (1)`,
      `SELECT ${'x'.repeat(9000)}`,
      'SELECT \0',
      'SELECT \ud800',
    ]) {
      await refusalOf(text);
    }
  });

  it('answers any text with a plan or a typed refusal, and never runs it', async () => {
    const word = fc.constantFrom(
      'SELECT',
      'FROM',
      'WHERE',
      'GROUP BY',
      'hour',
      'departures',
      'count(*)',
      ',',
      '(',
      ')',
      "'",
      '"',
      ';',
      '--',
      '/*',
      '$p',
      'IN',
      '=',
      "'01'",
      '*',
      'read_text(',
      'PRAGMA',
      'SET',
      'ATTACH',
      '😀',
      '\n',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 30 }), async (words) => {
        try {
          await compile(words.join(' '));
        } catch (error) {
          expect(error).toBeInstanceOf(WeirError);
        }
      }),
      { numRuns: 300 },
    );
    expect((await compile('SELECT hour, count(*) FROM departures GROUP BY hour')).refusals).toEqual(
      [],
    );
  });
});
