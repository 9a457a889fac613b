/** The computation `secure-sum`: aggregates by group over every holder's part of one table. */
import type { Computation } from '../computation.ts';
import { runSecureSumDomain } from './domain.ts';
import { estimateSecureSum } from './estimate.ts';
import { runSecureSumGateway, SECURE_SUM_HELD } from './gateway.ts';

/** @see protocols/secure-sum/README.md */
export const secureSum: Computation = {
  name: 'secure-sum',
  estimate: estimateSecureSum,
  runGateway: runSecureSumGateway,
  runDomain: runSecureSumDomain,
  held: SECURE_SUM_HELD,
};
