/**
 * Receipts: issued after the settlement, from what is stored, so that a crash in between loses
 * nothing; countersigned by the domains as far as they can be reached, and again when somebody
 * asks for a receipt that lacks some.
 */
import type { Contract } from '../contracts/contract.ts';
import {
  type Countersignature,
  CountersignatureSchema,
  type SignedReceipt,
  SignedReceiptSchema,
  signReceipt,
  verifyCountersignature,
} from '../contracts/receipt.ts';
import { sealedResultHash } from '../contracts/sealed-result.ts';
import { type Countersign, encodeCountersign, RUN_METHODS } from '../contracts/run-messages.ts';
import { spendHash } from '../contracts/spend.ts';
import { assertInvariant, StateError, WeirError } from '../errors.ts';
import { readRecordOfRun } from '../ledger/ledger-reads.ts';
import type { MeteringRecord } from '../ledger/ledger-store.ts';
import { encodeRecord, recordHash } from '../ledger/record.ts';
import { StoreConflict } from '../store/store.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { PartyId, RunId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { RunDependencies } from './run-machine.ts';
import {
  attachReceipt,
  readRun,
  readSealedResult,
  replaceReceipt,
  type RunRow,
} from './run-rows.ts';
import type { ActiveContracts } from './active-contracts.ts';

const COUNTERSIGN_TIMEOUT_MS = 5000;

export interface IssuerParts {
  readonly deps: RunDependencies;
  readonly identity: KeyPair;
  readonly contracts: ActiveContracts;
}

/** Owns which receipts are being made; every made one is in its run's row. */
export class ReceiptIssuer {
  readonly #parts: IssuerParts;
  readonly #making = new Map<RunId, Promise<SignedReceipt>>();

  constructor(parts: IssuerParts) {
    this.#parts = parts;
  }

  /** After a settlement: signs, stores, then gathers countersignatures. */
  async issue(runId: RunId): Promise<void> {
    const run = await readRun(this.#parts.deps.store, runId);
    if (run !== undefined) await this.receiptOf(run);
  }

  /** The run's receipt, made now where a crash left none; callers at one time share the work. */
  receiptOf(run: RunRow): Promise<SignedReceipt> {
    const making = this.#making.get(run.runId);
    if (making !== undefined) return making;
    const fresh = this.#madeOrStored(run).finally(() => this.#making.delete(run.runId));
    this.#making.set(run.runId, fresh);
    return fresh;
  }

  async #madeOrStored(run: RunRow): Promise<SignedReceipt> {
    if (run.receiptJson !== undefined) return this.#gather(run, parse(run.receiptJson));
    const { signed, attached } = await this.#make(run);
    // Another process may make one as well, and a run has one receipt: the first that is on disk.
    if (this.#parts.deps.others !== undefined) {
      return this.#gather(run, await this.#attached(run, signed, attached));
    }
    // The domains are asked meanwhile; nobody else sees the receipt before it is on disk.
    const [fuller] = await Promise.all([this.#gather(run, signed), attached]);
    return fuller;
  }

  /** The receipt that was attached: `signed`, or that of a process which was faster. */
  async #attached(
    run: RunRow,
    signed: SignedReceipt,
    attached: Promise<void>,
  ): Promise<SignedReceipt> {
    try {
      await attached;
      return signed;
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
    }
    const stored = await readRun(this.#parts.deps.store, run.runId);
    // Gone again where the run was posted after its expiry: the next call makes that end's.
    if (stored?.receiptJson !== undefined) return parse(stored.receiptJson);
    throw new StateError('result-not-ready', 'The receipt is being made.', { retryAfterS: 1 });
  }

  async #make(
    run: RunRow,
  ): Promise<{ readonly signed: SignedReceipt; readonly attached: Promise<void> }> {
    const { deps, identity, contracts } = this.#parts;
    const { store, ledger, clock } = deps;
    const record = await readRecordOfRun(store, run.runId);
    assertInvariant(record !== undefined, 'a settled run has its record');
    const { contract } = await contracts.find(run.contractId, clock.now());
    const head = await ledger.auditHead();
    const sealed = await readSealedResult(store, run.runId);
    const signed = signReceipt(
      {
        format: 'weir-receipt/1',
        gatewayKey: encodeBase64url(identity.publicKey),
        runId: run.runId,
        attempt: run.attempt,
        contractId: run.contractId,
        contractHash: run.contractHash,
        requestHash: run.requestHash,
        descriptorHash: run.descriptorHash ?? null,
        parties: [...run.parties],
        spends: run.spends.map(({ spend }) => ({
          party: spend.party,
          seq: spend.seq,
          hash: spendHash(spend),
        })),
        outcome: outcomeOf(run),
        code: run.code ?? null,
        units: amounts(record.units),
        chargeMicros: String(record.chargeMicros),
        currency: contract.price.currency,
        record: { seq: String(record.seq), hash: recordHash(encodeRecord(record)) },
        audit: { size: String(head.size), hash: head.hash },
        resultHash: sealed === undefined ? null : sealedResultHash(sealed),
        at: new Date(run.updatedMs).toISOString(),
      },
      identity,
    );
    const attached = store.execute([attachReceipt(run.runId, JSON.stringify(signed), record.seq)]);
    attached.catch(() => undefined);
    return { signed, attached };
  }

  /** Asks the parties that have not countersigned; what cannot be had now is left for later. */
  async #gather(run: RunRow, signed: SignedReceipt): Promise<SignedReceipt> {
    const { deps, contracts } = this.#parts;
    const has = new Set(signed.countersignatures.map((one) => one.party));
    const missing = signed.receipt.spends
      .map((spend) => spend.party)
      .filter((party) => !has.has(party) && deps.transport.isConnected(party));
    if (missing.length === 0) return signed;
    const { contract } = await contracts.find(run.contractId, deps.clock.now());
    const body = encodeCountersign(signed, run.spends);
    const answers = await Promise.all(missing.map((party) => this.#ask(party, body, contract)));
    const fresh = answers.filter((answer) => answer !== undefined);
    if (fresh.length === 0) return signed;
    const fuller = { ...signed, countersignatures: [...signed.countersignatures, ...fresh] };
    const recordSeq = BigInt(signed.receipt.record.seq);
    // Not awaited: what a crash loses here is gathered again when somebody asks.
    deps.store
      .execute([replaceReceipt(run.runId, JSON.stringify(fuller), recordSeq)])
      .catch((error: unknown) =>
        deps.log.warn({ runId: run.runId, err: error }, 'countersignatures were not kept'),
      );
    return fuller;
  }

  /** A domain that answers with a wrong signature must not keep the result from its recipient. */
  async #ask(
    party: PartyId,
    body: Countersign,
    contract: Contract,
  ): Promise<Countersignature | undefined> {
    const { transport, log } = this.#parts.deps;
    try {
      const answer = await transport.request(party, RUN_METHODS.countersign, body, {
        timeoutMs: COUNTERSIGN_TIMEOUT_MS,
      });
      const parsed = CountersignatureSchema.parse(answer);
      if (parsed.party !== party) return undefined;
      verifyCountersignature(body.receipt.receipt, parsed, contract);
      return parsed;
    } catch (error) {
      const code = error instanceof WeirError ? error.code : 'internal';
      log.warn(
        { party, runId: body.receipt.receipt.runId, code },
        'a receipt was not countersigned',
      );
      return undefined;
    }
  }
}

function amounts(units: MeteringRecord['units']): Record<string, string> {
  return Object.fromEntries(Object.entries(units).map(([name, value]) => [name, String(value)]));
}

function outcomeOf(run: RunRow): 'posted' | 'refused' | 'voided' | 'expired' {
  switch (run.state) {
    case 'posted':
    case 'refused':
    case 'voided':
    case 'expired':
      return run.state;
    default:
      throw new StateError('result-not-ready', 'The run has not ended yet.', { retryAfterS: 1 });
  }
}

function parse(json: string): SignedReceipt {
  return SignedReceiptSchema.parse(JSON.parse(json));
}
