/** Every native implementation of the curve that this machine has, so that each is held to the oracle. */
import type { CurvePrimitive } from '../../protocols/common/primitives.ts';
import { loadVectorCurve } from '../../workers/curve-vector.ts';
import { loadSodium, openCurve } from '../../workers/native-curve.ts';

const vector = loadVectorCurve();

/** By OpenSSL, by libsodium, and by the vector kernel where the build and the processor have it. */
export const curvesHere: readonly CurvePrimitive[] = [
  openCurve(),
  openCurve(loadSodium()),
  ...(vector === undefined ? [] : [openCurve(undefined, vector)]),
];
