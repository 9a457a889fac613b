/** The routes' services over the gateway's parts. */
import { checkPlan } from '../catalog/check-plan.ts';
import type { CatalogBook } from '../catalog/catalog-book.ts';
import { boundsOf, dictionariesOf } from '../catalog/published.ts';
import type { ContractBook, FiledContract } from '../contracts/contract-book.ts';
import type { Contract, Party } from '../contracts/contract.ts';
import { assertInvariant, errorOfCode, IdentityError, StateError } from '../errors.ts';
import type { LinkServer } from '../link/link-server.ts';
import { explain } from '../runs/explain.ts';
import type { RunDependencies } from '../runs/run-machine.ts';
import type { RunRow } from '../runs/run-rows.ts';
import type { RunService as Runs } from '../runs/run-service.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { DomainBook } from './domains.ts';
import type {
  CatalogService,
  ContractService,
  ContractView,
  ExplainAnswer,
  ExplainService,
  GuestService,
  PlanCommand,
  PlanService,
  PublishedDataset,
  RunService,
  RunView,
} from './services.ts';

export function runService(runs: Runs): RunService {
  return {
    start: (command) => runs.start(command),
    get: async (runId, analyst) => viewOf(await runs.get(runId, analyst)),
    cancel: async (runId, analyst) => viewOf(await runs.cancel(runId, analyst)),
    result: (runId, analyst) => runs.result(runId, analyst),
    follow: (runId, analyst, afterSeq, signal) => runs.follow(runId, analyst, afterSeq, signal),
  };
}

export function guestService(runs: Pick<Runs, 'guestOf'>): GuestService {
  return {
    read: async (runId, analyst, after, signal) =>
      (await runs.guestOf(runId, analyst))?.read(after, signal),
    accept: async (runId, analyst, first, frames, signal) => {
      const guest = await runs.guestOf(runId, analyst);
      if (guest !== undefined) return guest.accept(first, frames, signal);
      throw new StateError('round-mismatch', 'The run takes no frames of its analyst now.', {
        remedy: 'Look at the run: it has ended, or its contract brings no set of the analyst’s.',
      });
    },
  };
}

function viewOf(row: RunRow): RunView {
  const { runId, contractId, analyst, protocol, state, note, attempt } = row;
  return {
    runId,
    contractId,
    analyst,
    protocol,
    state,
    code: row.code === undefined ? undefined : errorOfCode(row.code, '')?.code,
    note,
    attempt,
    createdAtMs: row.createdMs,
    updatedAtMs: row.updatedMs,
    resultExpiresAtMs: row.resultExpiresMs,
  };
}

export function contractService(
  book: ContractBook,
  runs: Pick<Runs, 'abortContract'>,
  clock: Clock,
): ContractService {
  return {
    propose: async (proposer, signed) => {
      if (signed.contract.analyst.id !== proposer) {
        throw new IdentityError('party-not-in-contract', 'The contract names another analyst.', {
          party: proposer,
          rule: 'analyst.id',
          remedy: 'Propose contracts in which you are the analyst.',
        });
      }
      return filedView(await book.propose(signed, clock.now()));
    },
    get: async (id, viewer) => filedView(await book.get(id, viewer, clock.now())),
    list: async (viewer, after, most) =>
      (await book.list(viewer, after, most, clock.now())).map(filedView),
    sign: async (id, signer, signature) => {
      await book.get(id, signer, clock.now());
      if (signature.party !== signer) {
        throw new IdentityError('party-not-in-contract', 'A token signs for its own party only.', {
          party: signer,
        });
      }
      return filedView(await book.addSignature(id, signature, clock.now()));
    },
    suspend: async (id, reason) => {
      const filed = await book.suspend(id, GATEWAY, reason, clock.now());
      const why = new StateError(
        'contract-not-active',
        'The operator has suspended the contract.',
        {
          party: GATEWAY,
          remedy: 'The operator lifts the suspension.',
        },
      );
      await runs.abortContract(id, why);
      return filedView(filed);
    },
    resume: async (id) => filedView(await book.resume(id, GATEWAY, clock.now())),
  };
}

function filedView(filed: FiledContract): ContractView {
  return filed;
}

/** What enrolled holders publish; a dataset whose holder is not enrolled any more is left out. */
export function catalogService(catalog: CatalogBook, domains: DomainBook): CatalogService {
  return {
    publications: async () => {
      const enrolled = new Set((await domains.list()).map(({ party }) => party));
      return (await catalog.documents()).filter(({ dataset }) => enrolled.has(dataset.holder));
    },
    datasets: async () => {
      const parties = new Map<PartyId, Party>(
        (await domains.list()).map((domain) => [
          domain.party,
          { id: domain.party, name: domain.name, signKey: encodeBase64url(domain.signKey) },
        ]),
      );
      return (await catalog.list()).flatMap((dataset): PublishedDataset[] => {
        const party = parties.get(dataset.holder);
        if (party === undefined) return [];
        return [
          {
            holder: dataset.holder,
            party,
            dataset: dataset.name,
            title: dataset.title,
            grade: dataset.grade,
            rowsMax: dataset.rowsMax,
            columns: dataset.columns.map(({ name, type, usage }) => ({ name, type, usage })),
            partitions: dataset.partitions,
            dominance: dataset.dominance,
            dictionaries: dictionariesOf(dataset),
            bounds: boundsOf(dataset),
            fingerprint: dataset.fingerprint,
            publishedAtMs: Date.parse(dataset.publishedAt),
          },
        ];
      });
    },
  };
}

export function explainService(
  deps: Pick<RunDependencies, 'computations' | 'ledger' | 'clock'>,
  runs: Runs,
  contracts: ContractBook,
  catalog: CatalogBook,
  plans: PlanService,
): ExplainService {
  const checkPublished = async (contract: Contract): Promise<void> =>
    checkPlan(contract, await catalog.list());
  return {
    explain: async ({ analyst, subject, arguments: stated }) => {
      if (subject.kind === 'sql') {
        return explainQuery(plans, { ...subject, analyst, arguments: stated });
      }
      const args = stated ?? {};
      const contract =
        subject.kind === 'draft'
          ? subject.contract
          : (await contracts.get(subject.contractId, analyst, deps.clock.now())).contract;
      return explain(deps, runs, contract, args, checkPublished);
    },
  };
}

/** @throws the first of the refusals, where there is one. */
async function explainQuery(plans: PlanService, command: PlanCommand): Promise<ExplainAnswer> {
  const { refusals, explanation } = await plans.judge(command);
  const [first] = refusals;
  if (first !== undefined) throw first;
  assertInvariant(explanation !== undefined, 'a query without refusals is explained');
  return explanation;
}

/** Since when each domain's link has been up, kept from the link's own events. */
export class LinkTimes {
  readonly #links: Pick<LinkServer, 'linkOf'>;
  readonly #since = new Map<PartyId, number>();

  constructor(links: Pick<LinkServer, 'linkOf'>) {
    this.#links = links;
  }

  connected(party: PartyId, atMs: number): void {
    this.#since.set(party, atMs);
  }

  connectedSinceMs(party: PartyId): number | undefined {
    return this.#links.linkOf(party) === undefined ? undefined : this.#since.get(party);
  }
}
