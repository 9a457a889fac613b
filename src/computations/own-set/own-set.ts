/** The computation `psi-own-set`: how many ids of a set that the analyst brings one holder has. */
import type { Computation } from '../computation.ts';
import { runOwnSetDomain } from './domain.ts';
import { estimateOwnSet } from './estimate.ts';
import { OWN_SET_HELD, runOwnSetGateway } from './gateway.ts';

/** @see protocols/psi/README.md */
export const ownSet: Computation = {
  name: 'psi-own-set',
  hasGuest: true,
  estimate: estimateOwnSet,
  runGateway: runOwnSetGateway,
  runDomain: runOwnSetDomain,
  held: OWN_SET_HELD,
};
