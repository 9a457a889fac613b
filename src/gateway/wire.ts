/** What services answer as the bodies of the API: amounts as decimal strings, times in RFC 3339. */
import type {
  ContractBody,
  DatasetList,
  ExplainBody,
  MeteringRecordBody,
  PlanBody,
  QuotaLeftBody,
  RefusalBody,
  RunBody,
  RunEventBody,
  TokenBody,
  UsageBody,
} from '../contracts/api.ts';
import type { MeteringRecord } from '../ledger/ledger-store.ts';
import type { RunEvent } from '../runs/run-events.ts';
import type {
  ContractView,
  ExplainAnswer,
  JudgedPlan,
  PublishedDataset,
  QuotaLeft,
  RunView,
  UsageLine,
} from './services.ts';
import type { TokenRecord } from './tokens.ts';

/** Milliseconds since the epoch as RFC 3339 in UTC. */
export function instant(atMs: number): string {
  return new Date(atMs).toISOString();
}

export function runBody(run: RunView): RunBody {
  return {
    runId: run.runId,
    contractId: run.contractId,
    analyst: run.analyst,
    protocol: run.protocol,
    state: run.state,
    code: run.code,
    note: run.note,
    attempt: run.attempt,
    createdAt: instant(run.createdAtMs),
    updatedAt: instant(run.updatedAtMs),
    resultExpiresAt:
      run.resultExpiresAtMs === undefined ? undefined : instant(run.resultExpiresAtMs),
  };
}

export function runEventBody(event: RunEvent): RunEventBody {
  return {
    runId: event.runId,
    seq: event.seq,
    at: instant(event.atMs),
    state: event.state,
    progress: event.progress,
    code: event.code,
    note: event.note,
  };
}

export function contractBody(view: ContractView): ContractBody {
  return {
    contract: view.contract,
    signatures: [...view.signatures],
    hash: view.hash,
    state: view.state,
    proposedAt: instant(view.proposedAtMs),
  };
}

export function datasetBody(dataset: PublishedDataset): DatasetList['datasets'][number] {
  return {
    holder: dataset.holder,
    party: dataset.party,
    dataset: dataset.dataset,
    title: dataset.title,
    grade: dataset.grade,
    rowsMax: dataset.rowsMax,
    columns: [...dataset.columns],
    partitions: dataset.partitions.map((columns) => [...columns]),
    ...(dataset.dominance === undefined ? {} : { dominance: dataset.dominance }),
    dictionaries: [...dataset.dictionaries],
    bounds: [...dataset.bounds],
    fingerprint: dataset.fingerprint,
    publishedAt: instant(dataset.publishedAtMs),
  };
}

export function explainBody(answer: ExplainAnswer): ExplainBody {
  return {
    protocol: answer.protocol,
    engine: answer.engine,
    ...(answer.engines === undefined
      ? {}
      : {
          engines: answer.engines.map(({ engine, computeMilliUnits, bytes }) => ({
            engine,
            computeMilliUnits: computeMilliUnits.toString(),
            bytes: bytes.toString(),
          })),
        }),
    exact: answer.exact,
    ...(answer.noise === undefined
      ? {}
      : { noise: { ...answer.noise, deviations: [...answer.noise.deviations] } }),
    ...(answer.dominance === undefined ? {} : { dominance: answer.dominance }),
    ...(answer.rounding === undefined ? {} : { rounding: answer.rounding }),
    ...(answer.release === undefined ? {} : { release: answer.release }),
    cells: answer.cells,
    lanes: answer.lanes,
    units: amounts(answer.units),
    learns: [...answer.learns],
    quota: answer.quota.map(quotaBody),
    currency: answer.currency,
    priceMicros: answer.priceMicros.toString(),
  };
}

export function planBody({ draft, refusals, explanation }: JudgedPlan): PlanBody {
  return {
    refusals: refusals.map(({ code, message, facts }): RefusalBody => {
      const { path, column, rule, party, remedy } = facts;
      return { code, detail: message, path, column, rule, party, remedy };
    }),
    draft:
      draft === undefined
        ? undefined
        : {
            plan: draft.plan,
            parameters: draft.parameters,
            datasets: draft.datasets,
            disclosure: draft.disclosure,
            protocol: draft.protocol.name,
            purposeCode: draft.purposeCode,
          },
    explanation: explanation === undefined ? undefined : explainBody(explanation),
  };
}

export function recordBody(record: MeteringRecord): MeteringRecordBody {
  return {
    seq: record.seq.toString(),
    id: record.id,
    at: instant(record.atMs),
    analyst: record.analyst,
    holders: [...record.holders],
    contractId: record.contractId,
    runId: record.runId,
    protocol: record.protocol,
    datasets: [...record.datasets],
    outcome: record.outcome,
    code: record.code,
    units: amounts(record.units),
    chargeMicros: record.chargeMicros.toString(),
    currency: record.currency,
    quotaLeft: amounts(record.quotaLeft),
    receiptHash: record.receiptHash,
    supersedes: record.supersedes?.toString(),
  };
}

export function usageLineBody(line: UsageLine): UsageBody['lines'][number] {
  return {
    analyst: line.analyst,
    contractId: line.contractId,
    outcome: line.outcome,
    records: line.records.toString(),
    units: amounts(line.units),
    currency: line.currency,
    chargeMicros: line.chargeMicros.toString(),
  };
}

export function tokenBody(token: TokenRecord): TokenBody {
  return {
    id: token.id,
    role: token.role,
    party: token.party,
    label: token.label,
    createdAt: instant(token.createdAtMs),
    expiresAt: instant(token.expiresAtMs),
    revokedAt: token.revokedAtMs === undefined ? undefined : instant(token.revokedAtMs),
    lastUsedAt: token.lastUsedAtMs === undefined ? undefined : instant(token.lastUsedAtMs),
  };
}

function quotaBody(quota: QuotaLeft): QuotaLeftBody {
  return {
    dimension: quota.dimension,
    window: quota.window,
    limit: quota.limit.toString(),
    left: quota.left.toString(),
    resetsAt: quota.resetsAtMs === undefined ? undefined : instant(quota.resetsAtMs),
  };
}

function amounts(units: Readonly<Record<string, bigint | undefined>>): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, amount] of Object.entries(units)) {
    if (amount !== undefined) out[name] = amount.toString();
  }
  return out;
}
