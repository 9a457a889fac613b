/** Every computation an analyst can ask for. A new one is a folder here and a line below. */
import type { Computation } from './computation.ts';
import { ownSet } from './own-set/own-set.ts';
import { psi } from './psi/psi.ts';
import { secretWeights } from './secret-weights/secret-weights.ts';
import { sealedSum } from './sealed-sum/sealed-sum.ts';
import { secureSum } from './secure-sum/secure-sum.ts';

export const COMPUTATIONS: readonly Computation[] = [
  secureSum,
  sealedSum,
  secretWeights,
  psi,
  ownSet,
];
