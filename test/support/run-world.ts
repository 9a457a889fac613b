/**
 * A gateway's run service over a real store, ledger and contract book; the three domains are played:
 * they sign what real ones sign, and a test bends an answer. The computation gives a fixed result.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Computation, Release } from '../../src/computations/computation.ts';
import { secureSum } from '../../src/computations/secure-sum/secure-sum.ts';
import { ContractBook } from '../../src/contracts/contract-book.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { DeliverSchema } from '../../src/contracts/officer-release.ts';
import { countersignReceipt } from '../../src/contracts/receipt.ts';
import {
  AgreeSchema,
  CountersignSchema,
  type Prepare,
  PrepareSchema,
  RUN_METHODS,
  StartSchema,
} from '../../src/contracts/run-messages.ts';
import {
  contractHash,
  descriptorHash,
  requestHash,
  signDescriptor,
  signRequest,
  signRunKey,
} from '../../src/contracts/signed-documents.ts';
import { openSpendWitness, type SpendWitness } from '../../src/contracts/spend-witness.ts';
import {
  SPEND_GENESIS,
  signSpend,
  type SignedSpend,
  SignedSpendSchema,
  spendHash,
} from '../../src/contracts/spend.ts';
import { type GatewayState, openGatewayState } from '../../src/gateway/gateway-state.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { EventLog } from '../../src/runs/event-log.ts';
import type { ActiveContracts } from '../../src/runs/active-contracts.ts';
import { ReceiptIssuer } from '../../src/runs/receipt-issuer.ts';
import type { RunDependencies } from '../../src/runs/run-machine.ts';
import type { OperatorQuota } from '../../src/runs/operator-quotas.ts';
import { RunService, type StartCommand } from '../../src/runs/run-service.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemClock } from '../../src/system/clock.ts';
import { createExchangeKeys } from '../../src/system/exchange-keys.ts';
import { HashSchema, type PartyId } from '../../src/system/ids.ts';
import { createLog } from '../../src/system/log.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import {
  ANALYST,
  type Cast,
  makeCast,
  makeContract,
  makeRequest,
  NOW_MS,
  signByAll,
} from '../fixtures/contract.ts';

const RELEASE: Release = {
  columns: ['hour', 'flights'],
  rows: [['7', 12]],
  suppressedCells: 0,
  releasedCells: 1,
};

/** What a test puts in place of a domain's honest answer. */
export type Bend = (party: PartyId, method: string, honest: () => unknown) => unknown;

export interface RunWorld {
  readonly cast: Cast;
  readonly contract: Contract;
  readonly state: GatewayState;
  readonly book: ContractBook;
  readonly witness: SpendWitness;
  readonly deps: RunDependencies;
  readonly active: ActiveContracts;
  readonly receipts: ReceiptIssuer;
  readonly runs: RunService;
  bend: Bend;
  /** How far the clock is ahead of the fixture's. */
  aheadMs: number;
  /** Called at each step of a run. */
  onStep: (name: string) => Promise<void>;
  command(): StartCommand;
  close(): Promise<void>;
}

/** @param changes - top-level fields of the contract that all have signed. */
export async function openRunWorld(
  changes: Partial<Contract> = {},
  quotas: readonly OperatorQuota[] = [],
): Promise<RunWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-runs-'));
  mkdirSync(join(directory, 'state'));
  const cast = makeCast();
  const contract = makeContract(cast, changes);
  const identity = eddsaSuite.generate(systemRandom);
  const state = await openGatewayState(directory);
  const book = new ContractBook(state.store, state.audit);
  await book.propose(signByAll(contract, cast), NOW_MS);
  const witness = openSpendWitness(state.store);
  const clock = { ...systemClock, now: () => NOW_MS + world.aheadMs };
  const domains = new Map(contract.holders.map(({ id }) => [id, playedDomain(cast, id)]));
  const deps: RunDependencies = {
    store: state.store,
    ledger: state.ledger,
    events: new EventLog(),
    transport: {
      isConnected: () => true,
      request: async (party, method, body) =>
        world.bend(party, method, () => domains.get(party)?.(method, body)),
      openChannel: () => ({
        self: ANALYST,
        signal: new AbortController().signal,
        send: async () => undefined,
        receive: async () => new Uint8Array(),
        abort: () => undefined,
        close: () => undefined,
      }),
    },
    pool: {} as Pool,
    computations: new Map([['secure-sum', fixedComputation]]),
    clock,
    random: systemRandom,
    instance: 'gateway-1',
    log: createLog({ level: 'silent', name: 'test' }),
    step: (name) => world.onStep(name),
    witnessSpend: async (party, answer) => {
      const signed = SignedSpendSchema.parse(answer);
      await witness.witness(signed, cast.keyOf(party).publicKey);
      return signed;
    },
  };
  const active = {
    forRun: book.forRun.bind(book),
    stopOf: book.stopOf.bind(book),
    find: async (id: Contract['id'], nowMs: number) => {
      const { contract: found, signatures } = await book.get(id, undefined, nowMs);
      return { contract: found, signatures: [...signatures] };
    },
    complete: async (id: Contract['id'], nowMs: number) => {
      await book.complete(id, nowMs);
    },
  };
  const receipts = new ReceiptIssuer({ deps, identity, contracts: active });
  const runs = new RunService(deps, active, receipts, {
    concurrentMax: 4,
    timeoutMs: 60_000,
    analystSilenceMs: 1_000,
    quotas,
    quotaTimeZone: 'Asia/Shanghai',
  });
  const world: RunWorld = {
    cast,
    contract,
    state,
    book,
    witness,
    deps,
    active,
    receipts,
    runs,
    bend: (_party, _method, honest) => honest(),
    aheadMs: 0,
    onStep: async () => undefined,
    command: () => ({
      analyst: ANALYST,
      idempotencyKey: uuidV7(systemClock, systemRandom),
      request: signRequest(makeRequest(contract), cast.keyOf(ANALYST)),
    }),
    close: async () => {
      await state.store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return world;
}

const fixedComputation: Computation = {
  ...secureSum,
  runGateway: async () => RELEASE,
  held: { kinds: [], relay: async () => undefined, finish: async () => RELEASE },
};

/** Answers as a domain does, without data: run keys, signatures, chained spends, countersignatures. */
function playedDomain(cast: Cast, party: PartyId): (method: string, body: unknown) => unknown {
  const keys = cast.keyOf(party);
  const prepared = new Map<string, Prepare>();
  const agreed = new Map<string, ReturnType<typeof AgreeSchema.parse>['descriptor']>();
  const spends: SignedSpend[] = [];
  return (method, body) => {
    switch (method) {
      case RUN_METHODS.prepare: {
        const message = PrepareSchema.parse(body);
        prepared.set(message.runId, message);
        const runKey = {
          format: 'weir-run-key/1' as const,
          runId: message.runId,
          attempt: message.attempt,
          contractHash: contractHash(message.contract.contract),
          requestHash: requestHash(message.request.request),
          party: {
            id: party,
            ephemeralKey: encodeBase64url(createExchangeKeys(systemRandom).publicKey),
            datasetFingerprint: HashSchema.parse('c'.repeat(64)),
          },
        };
        return signRunKey(runKey, keys);
      }
      case RUN_METHODS.agree: {
        const { descriptor } = AgreeSchema.parse(body);
        agreed.set(descriptor.runId, descriptor);
        return signDescriptor(descriptor, party, keys);
      }
      case RUN_METHODS.start: {
        const { runId } = StartSchema.parse(body);
        const descriptor = agreed.get(runId);
        const message = prepared.get(runId);
        if (descriptor === undefined || message === undefined) throw new Error('not agreed');
        const last = spends.at(-1);
        const total = spends.length + 1;
        const signed = signSpend(
          {
            format: 'weir-spend/1',
            party,
            seq: total,
            previous: last === undefined ? SPEND_GENESIS : spendHash(last.spend),
            contractHash: descriptor.contractHash,
            requestHash: descriptor.requestHash,
            nonce: message.request.request.nonce,
            runId,
            attempt: descriptor.attempt,
            descriptorHash: descriptorHash(descriptor),
            parties: descriptor.parties.map(({ id }) => id),
            runs: 1,
            counted: {
              total,
              day: { key: '2026-06-15', runs: total },
              month: { key: '2026-06', runs: total },
            },
            at: new Date(NOW_MS).toISOString(),
          },
          keys,
        );
        spends.push(signed);
        return signed;
      }
      case RUN_METHODS.deliver:
        DeliverSchema.parse(body);
        return null;
      case RUN_METHODS.countersign: {
        const { receipt } = CountersignSchema.parse(body);
        const { runId } = receipt.receipt;
        const own = spends.find(({ spend }) => spend.runId === runId)?.spend;
        if (own === undefined) throw new Error('not counted');
        const known = { ...own, spend: { seq: own.seq, hash: spendHash(own) } };
        return countersignReceipt(receipt, known, party, keys, () => true);
      }
      default:
        throw new Error(`no method ${method}`);
    }
  };
}
