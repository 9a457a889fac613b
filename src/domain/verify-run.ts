/**
 * Everything a domain checks by itself before it takes part in a run, at each of the three steps:
 * prepare (contract and request), agree (the descriptor), start (everyone's signature). It trusts
 * no gateway: whatever it is handed, it derives again or verifies by a key it has pinned.
 * Pure: the caller brings what was looked up.
 */
import { IdentityError, InputError, PolicyError, StateError } from '../errors.ts';
import { checkContract } from '../contracts/check-contract.ts';
import { partiesIn } from '../contracts/check-own-set.ts';
import type { Contract, SignedContract } from '../contracts/contract.ts';
import { describeRun } from '../contracts/describe-run.ts';
import type { DescriptorParty, RunShape } from '../contracts/describe-run.ts';
import type {
  Descriptor,
  DescriptorSignature,
  RunKey,
  SignedRunKey,
} from '../contracts/descriptor.ts';
import { isStrongEncryptionKey } from '../contracts/key-strength.ts';
import { checkArguments } from '../contracts/plan-fits.ts';
import type { RunRequest, SignedRequest } from '../contracts/request.ts';
import {
  checkRequestTime,
  checkValidity,
  descriptorHash,
  contractHash as hashOfContract,
  verifyAllSignatures,
  verifyDescriptor,
  verifyRequest,
  verifyRunKey,
} from '../contracts/signed-documents.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash, PartyId, RunId } from '../system/ids.ts';
import type { SpendCommand } from './spend-rules.ts';
import type { VerifiedContracts } from './verified-contracts.ts';
import type { Standing } from './standing.ts';

/** What the domain knows of its own dataset at this moment. */
export interface OwnDataset {
  readonly name: string;
  readonly fingerprint: Hash;
  readonly rowCount: number;
  /**
   * Grade, column usage, bounds and partition rules of the registration.
   * @throws PolicyError, InputError naming column, rule and party
   */
  readonly checkPlan: (contract: Contract) => void;
}

/** The domain's own view, none of it from the gateway. */
export interface DomainView {
  readonly self: PartyId;
  readonly publicKey: Uint8Array;
  /** The pinned signing key of another holder, raw. */
  readonly pinnedKey: (party: PartyId) => Uint8Array | undefined;
  readonly standing: Standing;
  /** The registered dataset that the contract names for this domain. */
  readonly dataset: OwnDataset | undefined;
  /** The holder's own floor under every contract's minimum of parties. */
  readonly minimumParties: number;
  readonly nowMs: number;
  /** What this process has verified before; without it everything is verified anew. */
  readonly verified?: VerifiedContracts;
}

export interface PrepareMessage {
  readonly contract: SignedContract;
  readonly request: SignedRequest;
  readonly runId: RunId;
  readonly attempt: number;
}

/** A run this domain is ready to take part in. */
export interface PreparedRun {
  readonly contract: Contract;
  readonly contractHash: Hash;
  readonly request: RunRequest;
  readonly requestHash: Hash;
  readonly runId: RunId;
  readonly attempt: number;
}

/** The dataset that a contract names for this holder. @throws IdentityError `party-not-in-contract` */
export function ownTerms(contract: Contract, self: PartyId): Contract['datasets'][number] {
  const found = contract.datasets.find((dataset) => dataset.holder === self);
  if (found === undefined) {
    throw new IdentityError(
      'party-not-in-contract',
      'The contract names no dataset of this domain.',
      {
        party: self,
        rule: 'datasets',
      },
    );
  }
  return found;
}

/**
 * Step 1. Contract: consistent, signed by all, in force, every holder pinned, not suspended or
 * revoked here. Dataset: registered, of the pinned version, no larger than promised, its grade and
 * columns allow the plan. Request: by this analyst, for this contract, not expired, arguments fit.
 * (That it was not counted before is asked of the counters.)
 * @throws InputError, IdentityError, StateError, PolicyError, each naming party, rule and remedy
 */
export function verifyPrepare(message: PrepareMessage, view: DomainView): PreparedRun {
  const { contract } = message.contract;
  const verify = (): void => {
    checkContract(contract);
    verifyAllSignatures(message.contract);
  };
  if (view.verified === undefined) verify();
  else view.verified.once(message.contract, verify);
  checkValidity(contract, view);
  const contractHash = hashOfContract(contract);
  checkPins(contract, view);
  checkStanding(contract, view);
  checkDataset(contract, view);
  const taking = partiesIn(contract, contract.holders.length);
  if (taking < view.minimumParties) throw tooFew(taking, view.minimumParties);
  const requestHash = verifyRequest(message.request, contract, view);
  const { request } = message.request;
  checkArguments(contract, request.arguments);
  const { runId, attempt } = message;
  return { contract, contractHash, request, requestHash, runId, attempt };
}

/** What this domain answers to prepare; signed with context `weir/run-key/v1`. */
export function makeRunKey(prepared: PreparedRun, entry: DescriptorParty): RunKey {
  const { runId, attempt, contractHash, requestHash } = prepared;
  return { format: 'weir-run-key/1', runId, attempt, contractHash, requestHash, party: entry };
}

/**
 * Before step 2: each party's key and dataset version stand in its own signed words for this run,
 * not in the gateway's alone.
 * @throws StateError `descriptor-mismatch`; IdentityError `signature-invalid`
 */
export function verifyRunKeys(
  descriptor: Descriptor,
  runKeys: readonly SignedRunKey[],
  prepared: PreparedRun,
): void {
  for (const party of descriptor.parties) {
    const own = runKeys.find((signed) => signed.runKey.party.id === party.id);
    const isItsWord =
      own !== undefined && canonicalHash(own.runKey) === canonicalHash(makeRunKey(prepared, party));
    if (!isItsWord) throw mismatch('every party entry is signed by that party', party.id);
    verifyRunKey(own, prepared.contract);
  }
}

/**
 * Step 2. The descriptor is, field by field, what this domain derives itself; its own entry is
 * unchanged; all parties are holders of the contract, enough of them, each with a sound key of its
 * own and the version that the contract pins.
 * @param ownEntry - as sent in answer to prepare.
 * @returns the descriptor's hash, to sign.
 * @throws StateError `descriptor-mismatch`; IdentityError `party-not-in-contract`;
 *   PolicyError `parties-below-minimum`, `dataset-drifted`
 */
export function verifyAgree(
  descriptor: Descriptor,
  prepared: PreparedRun,
  ownEntry: DescriptorParty,
  shape: RunShape,
  view: DomainView,
): Hash {
  const { contract, request, runId, attempt } = prepared;
  checkParties(descriptor, contract, view);
  const own = descriptor.parties.find((party) => party.id === view.self);
  if (own === undefined || canonicalHash(own) !== canonicalHash(ownEntry)) {
    throw mismatch('parties: own entry', view.self);
  }
  const { parties } = descriptor;
  const expected = describeRun({ contract, request, runId, attempt, parties, shape });
  for (const name of Object.keys(expected) as (keyof Descriptor)[]) {
    if (canonicalHash(descriptor[name]) !== canonicalHash(expected[name])) {
      throw mismatch(name, view.self);
    }
  }
  return descriptorHash(descriptor);
}

/**
 * Step 3. Every party of the agreed descriptor signed it; what time may have changed since prepare
 * still holds. The answer is what the counters are asked to spend.
 * @param agreed - the hash this domain signed at step 2.
 * @throws as `verifyDescriptor` and `verifyPrepare`
 */
export function verifyStart(
  descriptor: Descriptor,
  signatures: readonly DescriptorSignature[],
  agreed: Hash,
  prepared: PreparedRun,
  view: DomainView,
): SpendCommand {
  const { contract, contractHash, request, requestHash } = prepared;
  checkValidity(contract, view);
  checkRequestTime(request, contract, view);
  checkPins(contract, view);
  checkStanding(contract, view);
  checkDataset(contract, view);
  const hash = verifyDescriptor(descriptor, signatures, contract);
  if (hash !== agreed) throw mismatch('not the descriptor this domain signed', view.self);
  return {
    contract,
    contractHash,
    request,
    requestHash,
    descriptor,
    descriptorHash: hash,
    nowMs: view.nowMs,
  };
}

/** A gateway that invents holders gets nothing: every holder's key is the one pinned out of band. */
export function checkPins(
  contract: Contract,
  view: Pick<DomainView, 'self' | 'publicKey' | 'pinnedKey'>,
): void {
  for (const holder of contract.holders) {
    const own = holder.id === view.self;
    const known = own ? view.publicKey : view.pinnedKey(holder.id);
    if (known !== undefined && encodeBase64url(known) === holder.signKey) continue;
    throw new IdentityError(
      'party-not-pinned',
      own
        ? 'The contract names another key for this domain.'
        : 'A holder of the contract is not pinned here with this key.',
      {
        party: holder.id,
        rule: 'every holder’s key is pinned out of band',
        remedy: `Compare fingerprints with ${holder.id}, then pin its key (weir domain trust).`,
      },
    );
  }
}

function checkStanding(contract: Contract, view: DomainView): void {
  switch (view.standing) {
    case 'in-force':
      return;
    case 'suspended':
      throw new StateError('contract-not-active', 'The contract is suspended.', {
        party: view.self,
        rule: 'suspension',
        remedy: 'The officer of the holder that suspended it lifts the suspension.',
      });
    case 'revoked':
      throw new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
        party: view.self,
        rule: `revocation of ${contract.id}`,
        remedy: 'Agree on a new contract.',
      });
    default:
      view.standing satisfies never;
  }
}

function checkDataset(contract: Contract, view: DomainView): void {
  const terms = ownTerms(contract, view.self);
  const { dataset } = view;
  if (dataset === undefined || dataset.name !== terms.dataset) {
    throw new InputError('dataset-unknown', 'The contract’s dataset is not registered here.', {
      party: view.self,
      rule: 'datasets',
      remedy: `The officer of ${view.self} registers ${terms.dataset}.`,
    });
  }
  if (terms.version !== 'any' && terms.version !== dataset.fingerprint) throw drifted(view.self);
  if (dataset.rowCount > terms.rowsMax) {
    throw new PolicyError(
      'dataset-drifted',
      'The dataset has more rows than the contract allows.',
      {
        party: view.self,
        rule: `at most ${terms.rowsMax} rows`,
        remedy: 'Agree on a new contract with a higher bound.',
      },
    );
  }
  dataset.checkPlan(contract);
}

function checkParties(descriptor: Descriptor, contract: Contract, view: DomainView): void {
  const { parties } = descriptor;
  const keys = new Set<string>();
  let before = '';
  for (const party of parties) {
    if (party.id <= before)
      throw mismatch('parties: in the order of their ids, each once', party.id);
    before = party.id;
    const terms = ownTerms(contract, party.id);
    if (terms.version !== 'any' && terms.version !== party.datasetFingerprint) {
      throw drifted(party.id);
    }
    if (keys.has(party.ephemeralKey) || !isStrongEncryptionKey(party.ephemeralKey)) {
      throw mismatch('parties: a sound run key each, of its own', party.id);
    }
    keys.add(party.ephemeralKey);
  }
  const minimum = Math.max(contract.minimumParties, view.minimumParties);
  const taking = partiesIn(contract, parties.length);
  if (taking < minimum) throw tooFew(taking, minimum);
}

function tooFew(count: number, minimum: number): PolicyError {
  return new PolicyError('parties-below-minimum', 'Too few holders take part.', {
    rule: `at least ${minimum} pinned, contributing holders`,
    left: String(count),
    remedy: 'Run again when more holders are connected.',
  });
}

function drifted(party: PartyId): PolicyError {
  return new PolicyError('dataset-drifted', 'The dataset is not of the version that was signed.', {
    party,
    rule: 'datasets: pinned version',
    remedy: 'Agree on a new contract for the new version.',
  });
}

function mismatch(rule: string, party: PartyId): StateError {
  return new StateError('descriptor-mismatch', 'The run descriptor is not what was agreed.', {
    party,
    rule,
    remedy: 'The gateway proposes the run again from the parties’ own entries.',
  });
}
