/** The computation `psi`: how many join keys two holders share, or which ones. */
import type { Computation } from '../computation.ts';
import { runPsiDomain } from './domain.ts';
import { estimatePsi } from './estimate.ts';
import { PSI_HELD, runPsiGateway } from './gateway.ts';

/** @see protocols/psi/README.md */
export const psi: Computation = {
  name: 'psi',
  estimate: estimatePsi,
  runGateway: runPsiGateway,
  runDomain: runPsiDomain,
  held: PSI_HELD,
};
