/** Two authorities count the flights that both of them handled, without showing a single one. */
import type { MatchPlan } from '../../contracts/plan.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { showRun } from './delay-steps.ts';
import type { DemoStep } from './demo-step.ts';
import { WEEK_TABLES } from './week-registration.ts';

const WEST = PartyIdSchema.parse('west');
const EAST = PartyIdSchema.parse('east');

const sameColumn = (name: string, type: 'date' | 'text'): MatchPlan['key'][number] => ({
  as: name,
  type,
  columns: [WEST, EAST].map((holder) => ({ holder, column: name })),
});

const PLAN: MatchPlan = {
  kind: 'match',
  ask: 'cardinality',
  receiver: EAST,
  key: [
    sameColumn('date', 'date'),
    sameColumn('origin', 'text'),
    sameColumn('destination', 'text'),
  ],
  duplicates: 'multiplicity',
};

/** By day, origin and destination; several flights a day on a route count as often as both have them. */
export const sharedFlights: DemoStep = {
  name: 'shared-flights',
  title: {
    zh: '隐私求交：两家管理机构共同经手了多少航班，一条记录也不出示',
    en: 'Private set intersection: how many flights two authorities both handled, none of them shown',
  },
  run: async (context) => {
    const { analyst } = context;
    const tables = new Map([
      [WEST, WEEK_TABLES.west],
      [EAST, WEEK_TABLES.east],
    ]);
    const drafted = await analyst.draftMatch(PLAN, tables, { title: sharedFlights.title });
    return showRun(context, sharedFlights, drafted);
  },
};
