/** Queries judged over what holders publish: compiled, explained, refused. No row is touched. */
import type { CatalogBook } from '../catalog/catalog-book.ts';
import type { Party } from '../contracts/contract.ts';
import type { Arguments } from '../contracts/plan.ts';
import {
  provisionalContract,
  widestArguments,
  type ProvisionalPlan,
} from '../contracts/provisional.ts';
import { PolicyError, WeirError } from '../errors.ts';
import { judgeQuery } from '../query/compile-plan.ts';
import type { SqlParser } from '../query/sql-parser.ts';
import { explainPlanned, type ExplainDependencies, type Explanation } from '../runs/explain.ts';
import type { RunService } from '../runs/run-service.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { ContractIdSchema, type PartyId } from '../system/ids.ts';
import { uuidV7, type Random } from '../system/random.ts';
import type { DomainBook } from './domains.ts';
import type { PlanService } from './services.ts';

export interface PlanParts {
  readonly deps: ExplainDependencies;
  readonly runs: Pick<RunService, 'accounts'>;
  readonly catalog: Pick<CatalogBook, 'list'>;
  readonly domains: Pick<DomainBook, 'list'>;
  readonly parser: SqlParser;
  readonly random: Random;
}

/** One holder's own totals are masked by nobody. */
const PARTIES_MIN = 2;

/** Over datasets of enrolled holders: what the catalog shows, a query can name. */
export function planService(parts: PlanParts): PlanService {
  return {
    judge: async ({ analyst, sql, arguments: args, purposeCode }) => {
      const parties = await enrolled(parts.domains);
      const published = (await parts.catalog.list()).filter(({ holder }) => parties.has(holder));
      const judged = await judgeQuery(parts.parser, sql, published, purposeCode);
      if (judged.compiled === undefined) {
        return { draft: undefined, refusals: judged.refusals, explanation: undefined };
      }
      const { draft, parameters } = judged.compiled;
      const planned: ProvisionalPlan = { ...draft, parameters };
      const holders = draft.datasets.flatMap(({ holder }) => parties.get(holder) ?? []);
      if (holders.length < PARTIES_MIN) {
        return {
          draft: planned,
          refusals: [...judged.refusals, alone(draft)],
          explanation: undefined,
        };
      }
      try {
        const explanation = await explained(parts, planned, holders, analyst, args);
        return { draft: planned, refusals: judged.refusals, explanation };
      } catch (error) {
        if (!(error instanceof WeirError) || error.family === 'invariant') throw error;
        return { draft: planned, refusals: [...judged.refusals, error], explanation: undefined };
      }
    },
  };
}

function alone(draft: Pick<ProvisionalPlan, 'datasets'>): PolicyError {
  const [only] = draft.datasets;
  return new PolicyError('parties-below-minimum', 'Only one holder publishes this dataset.', {
    rule: `at least ${PARTIES_MIN} holders`,
    ...(only === undefined ? {} : { party: only.holder }),
    remedy: 'Another holder publishes a dataset of the same name and columns.',
  });
}

function explained(
  { deps, runs, random }: PlanParts,
  planned: ProvisionalPlan,
  holders: readonly Party[],
  analyst: PartyId,
  args: Arguments | undefined,
): Promise<Explanation> {
  const id = ContractIdSchema.parse(uuidV7(deps.clock, random));
  const contract = provisionalContract(planned, holders, analyst, id, deps.clock.now());
  return explainPlanned(deps, runs, contract, args ?? widestArguments(planned.parameters));
}

async function enrolled(domains: Pick<DomainBook, 'list'>): Promise<ReadonlyMap<PartyId, Party>> {
  const all = await domains.list();
  return new Map(
    all.map(({ party, name, signKey }) => [
      party,
      { id: party, name, signKey: encodeBase64url(signKey) },
    ]),
  );
}
