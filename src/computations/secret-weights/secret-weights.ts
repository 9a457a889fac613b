/** The computation `secret-weights`: cells added up with weights that only the recipient knows. */
import type { Computation } from '../computation.ts';
import { runSecretWeightsDomain } from './domain.ts';
import { estimateSecretWeights } from './estimate.ts';
import { runSecretWeightsGateway, SECRET_WEIGHTS_HELD } from './gateway.ts';
import { weightedShapeOf } from './shape.ts';

/** @see protocols/homomorphic/README.md */
export const secretWeights: Computation = {
  name: 'secret-weights',
  estimate: estimateSecretWeights,
  attachmentSizeBytes: (contract, args) => weightedShapeOf(contract, args).attachmentSizeBytes,
  runGateway: runSecretWeightsGateway,
  runDomain: runSecretWeightsDomain,
  held: SECRET_WEIGHTS_HELD,
};
