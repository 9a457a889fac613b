/**
 * An analyst's side of a run: keys, a fresh signed request, the wait, and then the checks that make
 * the answer trustworthy (the receipt, offline, before the result is opened).
 */
import { createHash, randomUUID } from 'node:crypto';
import type { RunEventBody } from '../contracts/api.ts';
import type { Contract, SignedContract } from '../contracts/contract.ts';
import type { Arguments } from '../contracts/plan.ts';
import { verifyReceipt, type SignedReceipt, type VerifiedReceipt } from '../contracts/receipt.ts';
import type { RunRequest, SignedRequest } from '../contracts/request.ts';
import { openResult, sealedResultHash, type Result } from '../contracts/sealed-result.ts';
import {
  contractHash,
  requestHash,
  signRequest,
  verifyContractSignature,
} from '../contracts/signed-documents.ts';
import { IdentityError, StateError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { createExchangeKeys } from '../system/exchange-keys.ts';
import { type Hash, HashSchema, type RunId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import { eddsaSuite, type KeyPair } from '../system/signature-suite.ts';
import type { WeirClient } from './weir-client.ts';

/** How long a request may be started after it was signed. */
const REQUEST_TTL_MS = 10 * 60_000;
/** How long to wait for the domains' countersignatures, which come after the result. */
const COUNTERSIGN_WAIT_MS = 10_000;
const COUNTERSIGN_POLL_MS = 100;
/** The whole result comes along each time, so a late countersignature is asked for less and less often. */
const COUNTERSIGN_POLL_MAX_MS = 2_000;

export interface AnalystKeys {
  /** Ed25519: signs contracts and requests. */
  readonly signing: KeyPair;
  /** X25519: opens results. */
  readonly encryption: KeyPair;
}

/** Fresh keys. Secret: both `secretKey`s stay with the analyst; whoever has them reads the results. */
export function generateAnalystKeys(random: Random): AnalystKeys {
  return { signing: eddsaSuite.generate(random), encryption: createExchangeKeys(random) };
}

/** A signed request with its key: kept by a caller that must not run twice, whatever crashes. */
export interface PreparedRun {
  readonly request: SignedRequest;
  readonly idempotencyKey: string;
  /** The encrypted weights that the request names. */
  readonly weights?: Uint8Array;
}

export interface RunCommand {
  /** With all signatures, as the analyst itself knows it; its hash is computed here. */
  readonly contract: SignedContract;
  readonly arguments: Arguments;
  readonly keys: AnalystKeys;
  /** Made before and kept; a fresh one otherwise. */
  readonly prepared?: PreparedRun;
  /** The gateway's identity key, where it is pinned; else a holder must vouch for it. */
  readonly gatewayKey?: Uint8Array;
  /** Told before anything is waited for, so that the result can be fetched again. */
  readonly onStarted?: (runId: RunId, request: SignedRequest) => void;
  readonly onEvent?: (event: RunEventBody) => void;
  readonly signal?: AbortSignal;
}

export interface FinishedRun {
  readonly runId: RunId;
  readonly result: Result;
  readonly receipt: SignedReceipt;
  readonly verified: VerifiedReceipt;
}

/**
 * A request for one run of the contract, with a fresh nonce, signed; good for ten minutes.
 * @param own - the analyst's key of the run, where it takes part in it; its encrypted weights, where
 *   the contract has them.
 */
export function prepareRun(
  contract: Contract,
  args: Arguments,
  keys: AnalystKeys,
  at: { readonly nowMs: number },
  random: Random,
  own: Pick<RunRequest, 'analystKey'> & { readonly weights?: Uint8Array } = {},
): PreparedRun {
  const { weights, ...members } = own;
  const weightsHash = weights === undefined ? {} : { weightsHash: sha256Of(weights) };
  const request = signRequest(
    {
      format: 'weir-request/1',
      contractId: contract.id,
      contractHash: contractHash(contract),
      arguments: args,
      ...weightsHash,
      nonce: encodeBase64url(random.bytes(32)),
      expiresAt: new Date(at.nowMs + REQUEST_TTL_MS).toISOString(),
      ...members,
    },
    keys.signing,
  );
  const prepared = { request, idempotencyKey: randomUUID() };
  return weights === undefined ? prepared : { ...prepared, weights };
}

/**
 * The analyst signed this very contract, the holders' keys in it: a gateway can hand over any other
 * under an id, made of keys of its own, and answer for its holders.
 * @throws IdentityError `signature-missing`, `signature-invalid`
 */
export function requireOwnContract(
  { contract, signatures }: SignedContract,
  { signing }: Pick<AnalystKeys, 'signing'>,
): void {
  const { id, signKey } = contract.analyst;
  const own = signatures.find(({ party }) => party === id);
  if (own === undefined || signKey !== encodeBase64url(signing.publicKey)) {
    throw new IdentityError(
      own === undefined ? 'signature-missing' : 'signature-invalid',
      'The contract is not one that this analyst has signed.',
      {
        party: id,
        rule: 'own signature on the contract',
        remedy: 'If you proposed it with this directory’s keys, do not trust this gateway.',
      },
    );
  }
  verifyContractSignature(contract, own);
}

/**
 * Runs a contract once and waits: signs the request, starts, follows, fetches, verifies the receipt
 * against the contract, this request and the sealed result, then opens the result.
 * @throws WeirProblem with the code the run was refused or voided with; IdentityError where the
 *   contract is none of the analyst's own, before anything is signed; IdentityError or StateError
 *   where the receipt does not verify; AbortError `decryption-failed`.
 */
export async function runToEnd(client: WeirClient, command: RunCommand): Promise<FinishedRun> {
  const { contract, keys, signal } = command;
  requireOwnContract(contract, keys);
  const at = { nowMs: client.clock.now() };
  const prepared =
    command.prepared ?? prepareRun(contract.contract, command.arguments, keys, at, client.random);
  const { request, idempotencyKey, weights } = prepared;
  const { runId } = await client.startRun(request, idempotencyKey, weights);
  command.onStarted?.(runId, request);
  for await (const event of client.follow(runId, 0, signal)) command.onEvent?.(event);
  signal?.throwIfAborted();
  return fetchResult(client, runId, request, command);
}

/** Fetches, verifies and opens the result of a run that has ended. @throws as `runToEnd` */
export async function fetchResult(
  client: WeirClient,
  runId: RunId,
  request: SignedRequest,
  command: Pick<RunCommand, 'contract' | 'keys' | 'gatewayKey' | 'signal'>,
): Promise<FinishedRun> {
  const { contract, keys, gatewayKey, signal } = command;
  requireOwnContract(contract, keys);
  if (request.request.contractHash !== contractHash(contract.contract)) {
    throw new StateError('descriptor-mismatch', 'The contract is not the one that was run.', {
      rule: 'request.contractHash',
      remedy: 'Ask the gateway for the contract that the request names.',
    });
  }
  const { sealed, receipt } = await countersigned(client, runId, signal);
  const verified = verifyReceipt(receipt, {
    contract,
    resultHash: sealedResultHash(sealed),
    ...(gatewayKey === undefined ? {} : { gatewayKey }),
  });
  const isOwn =
    receipt.receipt.runId === runId &&
    receipt.receipt.requestHash === requestHash(request.request) &&
    receipt.receipt.outcome === 'posted';
  if (!isOwn) {
    throw new StateError(
      'descriptor-mismatch',
      'The receipt is of another run than the one asked for.',
      {
        rule: 'runId, requestHash and outcome',
      },
    );
  }
  const place = { runId, contractHash: receipt.receipt.contractHash };
  return { runId, result: await openResult(sealed, place, keys.encryption), receipt, verified };
}

/** The result with its receipt, once all parties countersigned or the wait is over. */
async function countersigned(
  client: WeirClient,
  runId: RunId,
  signal: AbortSignal | undefined,
): Promise<Awaited<ReturnType<WeirClient['result']>>> {
  const untilMs = client.clock.monotonic() + COUNTERSIGN_WAIT_MS;
  for (let pauseMs = COUNTERSIGN_POLL_MS; ; pauseMs *= 2) {
    const answer = await client.result(runId);
    const { receipt, countersignatures } = answer.receipt;
    const isWhole = countersignatures.length >= receipt.parties.length;
    if (isWhole || signal?.aborted || client.clock.monotonic() >= untilMs) return answer;
    await client.clock.sleep(Math.min(pauseMs, COUNTERSIGN_POLL_MAX_MS), signal);
  }
}

function sha256Of(bytes: Uint8Array): Hash {
  return HashSchema.parse(createHash('sha256').update(bytes).digest('hex'));
}
