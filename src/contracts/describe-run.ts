/**
 * The one way from contract, request and party entries to a run descriptor: the gateway proposes
 * what this gives, every domain compares with what it gives there.
 */
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash, RunId } from '../system/ids.ts';
import type { Contract } from './contract.ts';
import type { Descriptor, DescriptorPartySchema } from './descriptor.ts';
import { noiseOf } from './noise.ts';
import type { RunRequest } from './request.ts';
import { contractHash, requestHash } from './signed-documents.ts';
import type { z } from 'zod';

export type DescriptorParty = z.infer<typeof DescriptorPartySchema>;

/** What the computation's planner says of a run, from the contract and arguments alone. */
export interface RunShape {
  readonly engine: string;
  readonly cells: number;
  readonly lanes: number;
}

export interface RunFacts {
  readonly contract: Contract;
  readonly request: RunRequest;
  readonly runId: RunId;
  readonly attempt: number;
  readonly parties: readonly DescriptorParty[];
  readonly shape: RunShape;
}

/** Parties are put in the order of their ids. */
export function describeRun(facts: RunFacts): Descriptor {
  const { contract, request, runId, attempt, parties, shape } = facts;
  return {
    format: 'weir-descriptor/1',
    runId,
    attempt,
    contractHash: contractHash(contract),
    requestHash: requestHash(request),
    protocol: contract.protocol.name,
    arguments: request.arguments,
    parties: parties.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    dictionariesHash: dictionariesHash(contract),
    shape: { cells: shape.cells, lanes: shape.lanes },
    noise: noiseOf(contract),
    engine: shape.engine,
  };
}

/** Over the labels of all group columns, in the contract's order. */
export function dictionariesHash(contract: Contract): Hash {
  return canonicalHash(contract.dictionaries);
}
