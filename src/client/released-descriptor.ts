/** The descriptor that comes with a result which only its recipient opens, and what it is held to. */
import type { Contract } from '../contracts/contract.ts';
import { DescriptorSchema, type Descriptor } from '../contracts/descriptor.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import { StateError } from '../errors.ts';
import type { Hash } from '../system/ids.ts';

/**
 * A gateway may hand over any run's result: it must be of this contract, request and its parties.
 * @param requestHash - of the request that asked for the run; absent where another party asked.
 * @throws StateError `descriptor-mismatch`
 */
export function verifiedDescriptor(
  text: string,
  contract: Contract,
  requestHash: Hash | undefined,
): Descriptor {
  const descriptor = parseDescriptor(text);
  const holders = new Set(contract.holders.map(({ id }) => id));
  const parties = new Set(descriptor.parties.map(({ id }) => id));
  if (descriptor.contractHash !== contractHash(contract)) throw otherThan('contractHash');
  if (requestHash !== undefined && descriptor.requestHash !== requestHash) {
    throw otherThan('requestHash');
  }
  const isComplete =
    parties.size === descriptor.parties.length &&
    parties.size >= contract.minimumParties &&
    [...parties].every((party) => holders.has(party));
  if (!isComplete) throw otherThan('parties');
  return descriptor;
}

/** What is handed over is not what was asked for. */
export function otherThan(rule: string): StateError {
  return new StateError('descriptor-mismatch', 'The result is not of the run it was asked for.', {
    rule,
    remedy: 'Ask the gateway for the result of this very run.',
  });
}

function parseDescriptor(text: string): Descriptor {
  try {
    return DescriptorSchema.parse(JSON.parse(text));
  } catch {
    throw otherThan('descriptor');
  }
}
