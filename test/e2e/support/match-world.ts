/** Two holders with small tables of plain keys and a Weir over them, for tests of matches. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ContractBody } from '../../../src/contracts/api.ts';
import type { Contract } from '../../../src/contracts/contract.ts';
import type { MatchPlan } from '../../../src/contracts/plan.ts';
import { contractHash } from '../../../src/contracts/signed-documents.ts';
import type { StatedTerms } from '../../../src/cli/analyst.ts';
import { type PartyId, PartyIdSchema } from '../../../src/system/ids.ts';
import type { Holder, TestWeir } from './weir.ts';

export const EAST: PartyId = PartyIdSchema.parse('east');
export const WEST: PartyId = PartyIdSchema.parse('west');
export const TABLES: ReadonlyMap<PartyId, string> = new Map([
  [EAST, 'guests'],
  [WEST, 'guests'],
]);

/** Keys `from` to `to`, one a row. */
export const keysOf = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, at) => `guest-${from + at}`);

/** A table `guests` of one key column. `more` goes into its registration. */
export function guestsOf(party: PartyId, keys: readonly string[], more: object = {}): Holder {
  return {
    party,
    tables: [
      {
        registration: {
          format: 'weir-dataset/1',
          name: 'guests',
          title: { zh: '住客', en: 'Guests' },
          grade: 'general',
          personalInformation: 'none',
          legalBasis: 'Test data',
          partitions: [],
          columns: [{ name: 'guest', type: 'text', usage: ['join', 'reveal'] }],
          ...more,
        },
        format: 'csv',
        csv: ['guest', ...keys].join('\n'),
      },
    ],
  } as unknown as Holder;
}

export const guestPlan = (changes: Partial<MatchPlan> = {}): MatchPlan => ({
  kind: 'match',
  ask: 'cardinality',
  receiver: WEST,
  key: [
    {
      as: 'guest',
      type: 'text',
      columns: [EAST, WEST].map((holder) => ({ holder, column: 'guest' })),
    },
  ],
  duplicates: 'distinct',
  ...changes,
});

/** A contract for the plan that everybody has signed; over the guests unless other tables are named. */
export async function agreeOn(
  weir: TestWeir,
  plan: MatchPlan,
  stated: Partial<StatedTerms> = {},
  change: (drafted: Contract) => Contract = (drafted) => drafted,
  tables: ReadonlyMap<PartyId, string> = TABLES,
): Promise<ContractBody> {
  const title = { zh: '测试', en: 'Test' };
  const drafted = change(await weir.analyst.draftMatch(plan, tables, { title, ...stated }));
  await weir.analyst.propose(drafted);
  const hash = contractHash(drafted);
  await Promise.all(weir.parties.map((party) => weir.officer(party).sign(drafted.id, { hash })));
  return weir.analyst.untilActive(drafted.id, () => undefined);
}

/** What is left of a protocol in any domain's directory: nothing, once a run is over. */
export function leftovers(weir: TestWeir): string[] {
  return weir.parties.flatMap((party) => {
    const spill = join(weir.directory, party, 'state', 'spill');
    if (!existsSync(spill)) return [];
    return readdirSync(spill, { recursive: true })
      .map(String)
      .filter((name) => name.includes('protocol-') || name.includes('.spill'));
  });
}
