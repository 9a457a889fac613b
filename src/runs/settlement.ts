/**
 * How a run ends in the ledger: one settlement with its record, audit entry, run row and sealed
 * result in one transaction. Whatever the caller tries after that, the first end stays.
 */
import type { AuditEntry } from '../audit/audit-sink.ts';
import type { Contract } from '../contracts/contract.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import { sealedResultHash } from '../contracts/sealed-result.ts';
import type { WeirError } from '../errors.ts';
import type { RecordDraft, SettleCommand } from '../ledger/ledger-store.ts';
import { chargeMicros } from '../ledger/price.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import type { Hash } from '../system/ids.ts';
import { endRun, type RunRow } from './run-rows.ts';
import type { RunState } from './run-events.ts';

export type UnitsByDimension = Readonly<Partial<Record<Dimension, Units>>>;

/** How a run ended, before it is written down. */
export type RunEnd =
  | { readonly kind: 'posted'; readonly sealedResult: string; readonly note: string }
  /** The refusal depended on rows: it is charged in full, or repeating it would probe for free. */
  | { readonly kind: 'refused'; readonly error: WeirError }
  | { readonly kind: 'voided'; readonly error: WeirError }
  | { readonly kind: 'expired' };

export interface SettlementInput {
  readonly run: RunRow;
  readonly contract: Contract;
  readonly descriptor: Descriptor | undefined;
  readonly descriptorHash: Hash | undefined;
  readonly units: UnitsByDimension;
  readonly end: RunEnd;
  /** Runs of the reservation's month, this one included: they decide the price tier. */
  readonly monthRuns: bigint;
  readonly recordId: string;
  readonly nowMs: number;
}

const STATE_OF: Readonly<Record<RunEnd['kind'], RunState>> = {
  posted: 'posted',
  refused: 'refused',
  voided: 'voided',
  expired: 'expired',
};

/** The one command that ends the run. */
export function settlementOf(input: SettlementInput): SettleCommand {
  const { run, end, nowMs } = input;
  const charged = end.kind === 'posted' || end.kind === 'refused';
  const units = charged ? input.units : {};
  const code = codeOf(end);
  const resultExpiresMs =
    end.kind === 'posted' ? nowMs + input.contract.resultRetentionS * 1000 : undefined;
  return {
    runId: run.runId,
    nowMs,
    outcome: end.kind === 'refused' ? 'posted' : end.kind,
    units,
    record: recordOf(input, units, code),
    audit: auditOf(input, units, code),
    alongside: [
      endRun({
        runId: run.runId,
        state: STATE_OF[end.kind],
        code,
        note: noteOf(end),
        nowMs,
        ...(end.kind === 'posted' ? { sealedResult: end.sealedResult } : {}),
        ...(resultExpiresMs === undefined ? {} : { resultExpiresMs }),
      }),
    ],
  };
}

export function noteOf(end: RunEnd): string {
  switch (end.kind) {
    case 'posted':
      return end.note;
    case 'refused':
    case 'voided':
      return end.error.message;
    case 'expired':
      return 'The reservation expired before the run ended; nothing was charged.';
  }
}

function codeOf(end: RunEnd): string | undefined {
  return end.kind === 'refused' || end.kind === 'voided' ? end.error.code : undefined;
}

function recordOf(
  input: SettlementInput,
  units: UnitsByDimension,
  code: string | undefined,
): RecordDraft {
  const { run, contract, descriptor } = input;
  const fingerprints = new Map(
    descriptor?.parties.map((party) => [party.id, party.datasetFingerprint]),
  );
  return {
    id: input.recordId,
    atMs: input.nowMs,
    analyst: run.analyst,
    holders: descriptor?.parties.map((party) => party.id) ?? contract.holders.map((h) => h.id),
    contractId: run.contractId,
    runId: run.runId,
    protocol: contract.protocol.name,
    datasets: contract.datasets.map((dataset) => ({
      name: `${dataset.holder}/${dataset.dataset}`,
      fingerprint: fingerprints.get(dataset.holder),
    })),
    outcome: input.end.kind === 'refused' ? 'posted' : input.end.kind,
    code,
    units,
    chargeMicros: chargeMicros(contract.price, units, input.monthRuns),
    currency: contract.price.currency,
    receiptHash: undefined,
  };
}

function auditOf(
  input: SettlementInput,
  units: UnitsByDimension,
  code: string | undefined,
): AuditEntry {
  const { run, end } = input;
  return {
    kind: `run.${end.kind}`,
    atMs: input.nowMs,
    facts: {
      runId: run.runId,
      recordId: input.recordId,
      analyst: run.analyst,
      contractHash: run.contractHash,
      requestHash: run.requestHash,
      descriptorHash: input.descriptorHash ?? null,
      code: code ?? null,
      units: Object.fromEntries(Object.entries(units).map(([key, value]) => [key, String(value)])),
      chargeMicros: String(chargeMicros(input.contract.price, units, input.monthRuns)),
      resultHash: end.kind === 'posted' ? sealedResultHash(end.sealedResult) : null,
    },
  };
}
