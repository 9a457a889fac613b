/** Who signs what, document by document: contract, request, run key, descriptor. */
import { IdentityError, InputError, PolicyError, StateError } from '../errors.ts';
import { decodeBase64url } from '../system/base64url.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { checkAnalystKey } from './check-own-set.ts';
import { checkWeightsHash } from './check-weighted.ts';
import type { Contract, ContractSignature, Party, SignedContract } from './contract.ts';
import type { Descriptor, DescriptorSignature, RunKey, SignedRunKey } from './descriptor.ts';
import { REQUEST_LIFETIME_MAX_MS } from './request.ts';
import type { RunRequest, SignedRequest } from './request.ts';
import { payloadOf, signDocument, verifyDocument, verifyPayload } from './signing.ts';
import type { Payload } from './signing.ts';

/** What every other document names a contract by. */
export function contractHash(contract: Contract): Hash {
  return canonicalHash(contract);
}

/** The analyst, then the holders as listed: everyone who must sign. */
export function signatoriesOf(contract: Contract): readonly Party[] {
  return [contract.analyst, ...contract.holders];
}

/** @throws IdentityError `party-not-in-contract` */
export function signKeyOf(contract: Contract, party: PartyId): Uint8Array {
  const found = signatoriesOf(contract).find((candidate) => candidate.id === party);
  if (found === undefined) throw stranger(party);
  return decodeBase64url(found.signKey, 32);
}

export function signContract(contract: Contract, party: PartyId, keys: KeyPair): ContractSignature {
  return { party, jws: signDocument('weir/contract/v1', contract, keys) };
}

/** One signature, by a party of the contract. @throws IdentityError */
export function verifyContractSignature(contract: Contract, signature: ContractSignature): void {
  verifyOne(contract, payloadOf(contract), signature);
}

/**
 * A contract is in force only within its validity.
 * @param at - `nowMs` of the verifier's own clock.
 * @throws PolicyError `contract-expired`; StateError `contract-not-active` before it begins
 */
export function checkValidity(contract: Contract, at: { readonly nowMs: number }): void {
  const { notBefore, notAfter } = contract.validity;
  if (at.nowMs < Date.parse(notBefore)) {
    throw new StateError('contract-not-active', 'The contract is not in force yet.', {
      rule: 'validity',
      remedy: `It begins at ${notBefore}.`,
    });
  }
  if (at.nowMs >= Date.parse(notAfter)) {
    throw new PolicyError('contract-expired', 'The contract has ended.', {
      rule: 'validity',
      remedy: 'Propose a new contract; every party signs again.',
    });
  }
}

/**
 * A contract is in force only when the analyst and every holder have signed it, each exactly once,
 * and nobody else. The signatures alone, whatever the time.
 * @throws IdentityError `signature-missing`, `signature-invalid`, `party-not-in-contract`
 */
export function verifyAllSignatures(signed: SignedContract): void {
  const { contract, signatures } = signed;
  const payload = payloadOf(contract);
  const seen = new Set<PartyId>();
  for (const signature of signatures) {
    if (seen.has(signature.party)) {
      throw new IdentityError('signature-invalid', 'A party has signed more than once.', {
        party: signature.party,
        rule: 'one signature a party',
      });
    }
    seen.add(signature.party);
    verifyOne(contract, payload, signature);
  }
  const missing = signatoriesOf(contract).find((party) => !seen.has(party.id));
  if (missing !== undefined) {
    throw new IdentityError('signature-missing', 'A party has not signed the contract.', {
      party: missing.id,
      rule: 'every holder and the analyst sign',
      remedy: `${missing.id} signs the contract.`,
    });
  }
}

export function requestHash(request: RunRequest): Hash {
  return canonicalHash(request);
}

export function signRequest(request: RunRequest, analyst: KeyPair): SignedRequest {
  return { request, jws: signDocument('weir/request/v1', request, analyst) };
}

/**
 * The analyst of this very contract signed this request, and it has not expired.
 * @returns the request's hash.
 * @throws IdentityError `signature-invalid`; StateError `request-expired`, `descriptor-mismatch`;
 *   InputError `parameter-invalid` where it lives longer than `REQUEST_LIFETIME_MAX_MS`
 */
export function verifyRequest(
  signed: SignedRequest,
  contract: Contract,
  at: { readonly nowMs: number },
): Hash {
  const { request, jws } = signed;
  if (request.contractId !== contract.id || request.contractHash !== contractHash(contract)) {
    throw new StateError('descriptor-mismatch', 'The request names another contract.', {
      party: contract.analyst.id,
      rule: 'request.contractHash',
      remedy: 'Sign a request that names the hash of this contract.',
    });
  }
  const key = signKeyOf(contract, contract.analyst.id);
  verifyDocument('weir/request/v1', request, jws, key, contract.analyst.id);
  checkAnalystKey(contract, request);
  checkWeightsHash(contract, request);
  checkRequestTime(request, contract, at);
  return requestHash(request);
}

/**
 * @throws StateError `request-expired`; InputError `parameter-invalid` where it lives longer than
 *   `REQUEST_LIFETIME_MAX_MS`
 */
export function checkRequestTime(
  request: RunRequest,
  contract: Contract,
  at: { readonly nowMs: number },
): void {
  if (at.nowMs >= Date.parse(request.expiresAt)) {
    throw new StateError('request-expired', 'The request has expired.', {
      party: contract.analyst.id,
      rule: 'request.expiresAt',
      remedy: 'Sign a new request with a new nonce.',
    });
  }
  if (Date.parse(request.expiresAt) > at.nowMs + REQUEST_LIFETIME_MAX_MS) {
    throw new InputError('parameter-invalid', 'The request is valid for too long.', {
      party: contract.analyst.id,
      rule: 'request.expiresAt',
      remedy: `A request expires within ${REQUEST_LIFETIME_MAX_MS / 3_600_000} hours.`,
    });
  }
}

export function signRunKey(runKey: RunKey, keys: KeyPair): SignedRunKey {
  return { runKey, jws: signDocument('weir/run-key/v1', runKey, keys) };
}

/** @throws IdentityError */
export function verifyRunKey(signed: SignedRunKey, contract: Contract): void {
  const party = signed.runKey.party.id;
  verifyDocument('weir/run-key/v1', signed.runKey, signed.jws, holderKeyOf(contract, party), party);
}

export function descriptorHash(descriptor: Descriptor): Hash {
  return canonicalHash(descriptor);
}

export function signDescriptor(
  descriptor: Descriptor,
  party: PartyId,
  keys: KeyPair,
): DescriptorSignature {
  return { party, jws: signDocument('weir/descriptor/v1', descriptor, keys) };
}

/**
 * Every party of the descriptor signed it, each exactly once, nobody else, all of them holders of
 * the contract.
 * @returns the descriptor's hash.
 * @throws IdentityError `signature-missing`, `signature-invalid`, `party-not-in-contract`
 */
export function verifyDescriptor(
  descriptor: Descriptor,
  signatures: readonly DescriptorSignature[],
  contract: Contract,
): Hash {
  const payload = payloadOf(descriptor);
  const waiting = new Set(descriptor.parties.map((party) => party.id));
  for (const { party, jws } of signatures) {
    if (!waiting.delete(party)) throw stranger(party);
    verifyPayload('weir/descriptor/v1', payload, jws, holderKeyOf(contract, party), party);
  }
  for (const party of waiting) {
    throw new IdentityError('signature-missing', 'A party has not signed the run descriptor.', {
      party,
      rule: 'every party of the run signs its descriptor',
    });
  }
  return descriptorHash(descriptor);
}

/** Of a holder alone: the analyst signs for no domain. @throws IdentityError `party-not-in-contract` */
export function holderKeyOf(contract: Contract, party: PartyId): Uint8Array {
  const holder = contract.holders.find((candidate) => candidate.id === party);
  if (holder === undefined) throw stranger(party);
  return decodeBase64url(holder.signKey, 32);
}

function verifyOne(contract: Contract, payload: Payload, signature: ContractSignature): void {
  const key = signKeyOf(contract, signature.party);
  verifyPayload('weir/contract/v1', payload, signature.jws, key, signature.party);
}

function stranger(party: string): IdentityError {
  return new IdentityError('party-not-in-contract', 'A signature is by nobody expected here.', {
    party,
    rule: 'only the named parties sign, each once',
  });
}
