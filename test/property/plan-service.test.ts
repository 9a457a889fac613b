import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PublishedDataset } from '../../src/catalog/published.ts';
import { COMPUTATIONS } from '../../src/computations/registry.ts';
import { planService } from '../../src/gateway/plan-service.ts';
import type { JudgedPlan } from '../../src/gateway/services.ts';
import { PlanBodySchema } from '../../src/contracts/api.ts';
import { planBody } from '../../src/gateway/wire.ts';
import { sqlParserOver, type SqlParser } from '../../src/query/sql-parser.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';
import { Calendars, quotaAccounts } from '../../src/runs/quota.ts';
import { systemClock } from '../../src/system/clock.ts';
import { systemRandom } from '../../src/system/random.ts';
import { planText } from '../../src/cli/show-plan.ts';
import { ANALYST, HOLDERS, makeCast, NOW_MS } from '../fixtures/contract.ts';

import { publishFlights } from '../support/published-flights.ts';

const cast = makeCast();
const calendars = new Calendars();
let parser: SqlParser;
beforeAll(async () => {
  parser = sqlParserOver(await openSerializer());
});
afterAll(() => parser.close());

/** Everything but the catalog as in a gateway; of the ledger only reading is there to be called. */
function judge(
  sql: string,
  published: readonly PublishedDataset[] = HOLDERS.map((holder) => publishFlights(holder)),
  args?: Record<string, string[]>,
  purposeCode?: string,
): Promise<JudgedPlan> {
  const refused = (): never => {
    throw new Error('explaining wrote to the ledger');
  };
  const service = planService({
    deps: {
      computations: new Map(COMPUTATIONS.map((one) => [one.name, one])),
      clock: { ...systemClock, now: () => NOW_MS },
      ledger: {
        usage: async (accounts: readonly unknown[]) => accounts.map(() => 0n as never),
        reserve: refused,
        post: refused,
        void: refused,
      } as never,
    },
    runs: {
      accounts: (contract, nowMs) =>
        quotaAccounts(contract, nowMs, calendars.of(contract.timeZone)),
    },
    catalog: { list: async () => published },
    domains: {
      list: async () =>
        HOLDERS.map((party) => ({
          party,
          name: { zh: party, en: party },
          signKey: cast.keyOf(party).publicKey,
          enrolledAtMs: NOW_MS,
        })),
    },
    parser,
    random: systemRandom,
  });
  return service.judge({ analyst: ANALYST, sql, arguments: args, purposeCode });
}

const QUERY =
  'SELECT hour, count(*), avg(delay) FROM departures WHERE hour IN ($hours) GROUP BY hour';

describe('a query judged by the gateway', () => {
  it('is explained at default terms, without a reservation', async () => {
    const { draft, refusals, explanation } = await judge(QUERY);
    expect(refusals).toEqual([]);
    expect(draft?.parameters['hours']?.labels).toHaveLength(24);
    expect(explanation).toMatchObject({ protocol: 'secure-sum', exact: true, currency: 'CNY' });
    expect(explanation?.units.rows).toBe(3n * 2n ** 20n);
    expect(explanation?.quota.every(({ limit, left }) => limit === left)).toBe(true);
    expect(explanation?.learns.map(({ party }) => party)).toEqual(
      expect.arrayContaining(['gateway', ...HOLDERS, ANALYST]),
    );
  });

  it('takes arguments, and refuses labels that the plan does not offer', async () => {
    const narrow = await judge(QUERY, undefined, { hours: ['07'] });
    expect(narrow.refusals).toEqual([]);
    // The whole partition is summed whichever labels are asked for: 24 hours and `other`.
    expect(narrow.explanation?.cells).toBe(25);
    const outside = await judge(QUERY, undefined, { hours: ['99'] });
    expect(outside.explanation).toBeUndefined();
    expect(outside.refusals.map(({ code }) => code)).toEqual(['plan-outside-contract']);
  });

  it('is explained as well where only policy refuses it, and says what stands in the way', async () => {
    const { refusals, explanation } = await judge(QUERY, [
      publishFlights(HOLDERS[0]!, { grade: 'core' }),
      publishFlights(HOLDERS[1]!),
      publishFlights(HOLDERS[2]!),
    ]);
    expect(refusals.map(({ code, facts }) => [code, facts.party])).toEqual([
      ['grade-forbids-protocol', HOLDERS[0]],
    ]);
    expect(explanation).toBeDefined();
  });

  it('asks for a purpose where consent is per purpose, and drafts with the one stated', async () => {
    const consent = { column: 'origin', granted: ['all'], purposes: { research: ['r'] } };
    const published = HOLDERS.map((holder) => publishFlights(holder, { consent }));
    const unstated = await judge(QUERY, published);
    expect(unstated.refusals.map(({ facts }) => facts.rule)).toEqual(
      HOLDERS.map(() => 'consent per purpose'),
    );
    const stated = await judge(QUERY, published, undefined, 'research');
    expect([stated.refusals, stated.draft?.purposeCode]).toEqual([[], 'research']);
  });

  it('shows what noise costs and how far off answers are', async () => {
    const published = HOLDERS.map((holder) =>
      publishFlights(holder, { grade: 'important', privacyUnit: 'origin' }),
    );
    const { refusals, explanation, draft } = await judge(QUERY, published);
    expect([refusals, explanation?.exact]).toEqual([[], false]);
    const body = PlanBodySchema.parse(planBody({ draft, refusals, explanation }));
    expect(planText(body)).toMatch(/noise +噪声 +discrete-gaussian[^]*error +标准差 +.*: ± \d/);
  });

  it('needs two holders', async () => {
    const { refusals } = await judge(QUERY, [publishFlights(HOLDERS[0]!)]);
    expect(refusals.map(({ code }) => code)).toEqual(['parties-below-minimum']);
  });

  it('reads as text with every refusal, party and price', async () => {
    const explained = PlanBodySchema.parse(
      JSON.parse(JSON.stringify(planBody(await judge(QUERY)))),
    );
    const text = planText(explained);
    for (const part of [
      'secure-sum',
      'exact · 精确',
      'CNY a run',
      'runs, day: 1 of 100 left',
      '网关获知',
    ]) {
      expect(text).toContain(part);
    }
    const refused = PlanBodySchema.parse(
      planBody(await judge('SELECT max(delay) FROM departures')),
    );
    expect(planText(refused)).toMatch(/1 refusal · 拒绝[^]*line 1, column 8/);
  });
});
