/** From a release to what is stored: encrypted to the contract's recipient before it is written. */
import type { Release } from '../computations/computation.ts';
import type { Contract } from '../contracts/contract.ts';
import { sealResult } from '../contracts/sealed-result.ts';
import type { RunRow } from './run-rows.ts';

/** Compact JWE; the gateway keeps no other form of a result. */
export function sealRelease(run: RunRow, contract: Contract, release: Release): Promise<string> {
  const { runId, contractHash } = run;
  return sealResult({ runId, contractHash }, release, contract.recipient);
}
