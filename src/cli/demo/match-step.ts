/** Two authorities count the flights both handled by distance, sum their delays, and show not a single one. */
import type { MatchPlan } from '../../contracts/plan.ts';
import { InvariantError } from '../../errors.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { openedRun } from '../sealing.ts';
import { DISTANCE_BAND } from './flights-registration.ts';
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
  ask: 'sum',
  receiver: EAST,
  key: [
    sameColumn('date', 'date'),
    sameColumn('origin', 'text'),
    sameColumn('destination', 'text'),
  ],
  duplicates: 'multiplicity',
  sum: { as: 'summed_delay', column: 'delay' },
  // West has the delays and east the bands: neither could make this table alone.
  group: { as: 'distance_band', column: DISTANCE_BAND.name },
};

/** By day, origin and destination; several flights a day on a route count as often as both have them. */
export const sharedFlights: DemoStep = {
  name: 'shared-flights',
  title: {
    zh: '隐私求交：两家管理机构共同经手了多少航班、合计延误多少分钟，按航程分段，一条记录也不出示',
    en: 'Private set intersection: how many flights two authorities both handled, and their summed delay in minutes, by distance band; not one is shown',
  },
  run: async (context) => {
    const { analyst } = context;
    const tables = new Map([
      [WEST, WEEK_TABLES.west],
      [EAST, WEEK_TABLES.east],
    ]);
    const drafted = await analyst.draftMatch(PLAN, tables, { title: sharedFlights.title });
    return showRun(context, sharedFlights, drafted, {
      opened: (contract, run) => openedRun(analyst, contract, run, noSealingKey),
    });
  },
};

function noSealingKey(): never {
  throw new InvariantError('internal', 'a match is opened without a sealing key');
}
