/** The computation `sealed-sum`: aggregates by group that only the recipient can open. */
import type { Computation } from '../computation.ts';
import { runSealedSumDomain } from './domain.ts';
import { estimateSealedSum } from './estimate.ts';
import { runSealedSumGateway, SEALED_SUM_HELD } from './gateway.ts';

/** @see protocols/homomorphic/README.md */
export const sealedSum: Computation = {
  name: 'sealed-sum',
  estimate: estimateSealedSum,
  runGateway: runSealedSumGateway,
  runDomain: runSealedSumDomain,
  held: SEALED_SUM_HELD,
};
