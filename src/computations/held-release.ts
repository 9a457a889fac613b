/** Which computations can wait for officers between their last messages and the release. */
import type { Contract } from '../contracts/contract.ts';
import { InputError } from '../errors.ts';
import type { Computation, HeldComputation } from './computation.ts';

/**
 * How the computation is held under this contract; undefined where results leave by themselves.
 * @throws InputError `query-not-supported` where the contract asks for officers and it cannot wait.
 */
export function heldOf(
  { held, name }: Computation,
  { release }: Pick<Contract, 'release'>,
): HeldComputation | undefined {
  if (release === undefined) return undefined;
  if (held !== undefined) return held;
  throw new InputError('query-not-supported', `A result of ${name} cannot wait for an officer.`, {
    rule: 'release',
    remedy: 'A contract without release, or another protocol.',
  });
}
