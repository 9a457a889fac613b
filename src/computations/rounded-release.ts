/** What opens a result rounds it: a gateway, or where it is sealed the recipient on its own machine. */
import type { Contract } from '../contracts/contract.ts';
import { roundedTable } from '../disclosure/rounding.ts';
import type { Release } from './computation.ts';

/** The release with its figures rounded as the contract says, and saying so. */
export function roundedRelease(release: Release, { disclosure }: Contract): Release {
  return roundedTable(release, disclosure.rounding);
}
