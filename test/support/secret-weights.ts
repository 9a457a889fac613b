/** Secret weights in one process: recipient, holders and gateway as plain function calls. */
import { createHash } from 'node:crypto';
import type {
  BgvDecryptor,
  BgvEncryptor,
  BgvEvaluator,
  BgvSecretKey,
} from '../../protocols/common/bgv.ts';
import { addWeighted, encryptWeights, openWeighted } from '../../protocols/homomorphic/weights.ts';
import { weighCells } from '../../protocols/homomorphic/weighted-party.ts';
import {
  weightsParameters,
  weightsPlaces,
  type WeightsPlace,
  type WeightsShape,
} from '../../protocols/homomorphic/weights-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import type { SealedRun } from './sealed-sum.ts';

const RESIDUES = 2;

/** One key, with what works under it, for two residues. */
export interface WeightsWorld {
  readonly secretKey: BgvSecretKey;
  readonly encryptors: readonly BgvEncryptor[];
  readonly evaluators: readonly BgvEvaluator[];
  readonly decryptors: readonly BgvDecryptor[];
}

export async function weightsWorld(): Promise<WeightsWorld> {
  const [making, public_, opening] = [await loadSeal(), await loadSeal(), await loadSeal()];
  const secretKey = making.generateSecretKey(weightsParameters(0));
  const residues = Array.from({ length: RESIDUES }, (_, residue) => weightsParameters(residue));
  return {
    secretKey,
    encryptors: residues.map((each) =>
      public_.encryptor(each, making.generatePublicKey(each, secretKey)),
    ),
    evaluators: residues.map((each) => public_.evaluator(each)),
    decryptors: residues.map((each) => opening.decryptor(each, secretKey)),
  };
}

/** One holder's ciphertext for a place. */
export function weigh(
  world: WeightsWorld,
  run: SealedRun,
  place: WeightsPlace,
  holder: number,
  weights: Uint8Array,
  cells: readonly bigint[],
  evaluator: BgvEvaluator = world.evaluators[place.residue]!,
): Uint8Array {
  return weighCells(nativePrimitives, evaluator, world.encryptors[place.residue]!, {
    place,
    weights,
    cells,
    peers: run.peers[holder]!,
    tagKey: run.tagKey,
    ownSecret: new Uint8Array(createHash('sha256').update(run.tagKey).update(`${holder}`).digest()),
    isFirst: holder === 0,
    descriptorHash: run.descriptorHash,
  });
}

/** What stands in for the gateway's addition. */
export type WeightsGateway = typeof addWeighted;

/** The whole protocol; `gateway` and `keys` may be an attacker's. */
export function weightedSums(
  world: WeightsWorld,
  run: SealedRun,
  shape: WeightsShape,
  weights: readonly bigint[],
  parts: readonly (readonly bigint[])[],
  gateway: WeightsGateway = addWeighted,
  keys: readonly BgvDecryptor[] = world.decryptors,
): readonly bigint[] {
  const sums = weightsPlaces(shape).map((place) => {
    const sealed = encryptWeights(world.encryptors[place.residue]!, place, weights);
    const made = parts.map((cells, holder) => weigh(world, run, place, holder, sealed, cells));
    return gateway(place, made);
  });
  const { tagKey, descriptorHash } = run;
  return openWeighted(nativePrimitives, keys, { shape, sums, tagKey, descriptorHash });
}

export function weightsShape(parts: Partial<WeightsShape> = {}): WeightsShape {
  return { outputs: 3, perOutput: 5, weightMax: 1000n, cellMax: 10_000n, holders: 3, ...parts };
}
