/** Tasks of secret weights for other threads: each calls one protocol function. */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import {
  generateSealingKeys,
  type SealingKeys,
  WEIGHING_KEYS,
} from '../protocols/homomorphic/keys.ts';
import { weighCells, type WeighInput } from '../protocols/homomorphic/weighted-party.ts';
import {
  addWeighted,
  encryptWeights,
  openWeighted,
  type OpenWeightedInput,
} from '../protocols/homomorphic/weights.ts';
import {
  weightsParameters,
  weightsResidueCount,
  type WeightsPlace,
} from '../protocols/homomorphic/weights-params.ts';
import { nativePrimitives } from './native-primitives.ts';
import type { SealInstance } from './seal-instance.ts';
import {
  answered,
  movedAll,
  PublicSide,
  type TaskFailure,
  withDecryptors,
  withOwnInstance,
} from './seal-threads.ts';

/** Argument of `encryptWeightsTask`: the key of the place's residue. @see encryptWeights */
export interface EncryptWeightsArgument {
  readonly publicKey: Uint8Array;
  readonly place: WeightsPlace;
  /** Moved to the thread, which wipes them. */
  readonly weights: BigInt64Array<ArrayBuffer>;
}

/** Argument of `weighTask`: the key of the place's residue; cells as 64-bit lanes. @see weighCells */
export interface WeighArgument extends Omit<WeighInput, 'cells'> {
  readonly publicKey: Uint8Array;
  /** Moved to the thread, which wipes them. */
  readonly cells: BigInt64Array<ArrayBuffer>;
}

/** Argument of `addWeightedTask`. @see addWeighted */
export interface AddWeightedArgument {
  readonly place: WeightsPlace;
  readonly parts: readonly Uint8Array[];
}

/** Argument of `openWeightedTask`. @see openWeighted */
export interface OpenWeightedArgument extends OpenWeightedInput {
  /** A copy to be moved to the thread, which wipes it. */
  readonly secretKey: Uint8Array<ArrayBuffer>;
}

const thread = new PublicSide();

/** @see generateSealingKeys */
export function weighingKeysTask(task: { readonly residues: number }): Promise<unknown> {
  return answered(async () => {
    const make = (instance: SealInstance): SealingKeys =>
      generateSealingKeys(instance, task.residues, WEIGHING_KEYS);
    const keys = await withOwnInstance(make);
    return movedAll(keys, [...keys.publicKeys, keys.secretKey]);
  });
}

/** @see encryptWeights */
export function encryptWeightsTask(task: EncryptWeightsArgument): Promise<unknown> {
  const { publicKey, place, weights } = task;
  return answered(async () => {
    try {
      const parameters = weightsParameters(place.residue);
      const ciphertext = await thread.run((tools) =>
        encryptWeights(tools.encryptor(parameters, publicKey), place, [...weights]),
      );
      return move(ciphertext);
    } finally {
      weights.fill(0n);
    }
  });
}

/** @see weighCells */
export function weighTask(task: WeighArgument): Promise<unknown> {
  const { publicKey, cells, ...input } = task;
  return answered(async () => {
    try {
      const parameters = weightsParameters(input.place.residue);
      // After a fault shares and masks are the same, and the encryption is fresh.
      const product = await thread.run((tools) =>
        weighCells(
          nativePrimitives,
          tools.evaluator(parameters),
          tools.encryptor(parameters, publicKey),
          { ...input, cells: [...cells] },
        ),
      );
      return move(product);
    } finally {
      cells.fill(0n);
      input.ownSecret.fill(0);
    }
  });
}

/** @see addWeighted */
export function addWeightedTask(task: AddWeightedArgument): Promise<unknown> {
  return answered(async () => move(addWeighted(task.place, task.parts)));
}

/** Opens with an instance that lives for this task alone. @see openWeighted */
export function openWeightedTask(
  task: OpenWeightedArgument,
): Promise<readonly bigint[] | TaskFailure> {
  const { secretKey, ...input } = task;
  return answered(() => {
    const residues = weightsResidueCount(input.shape);
    const parameters = Array.from({ length: residues }, (_, at) => weightsParameters(at));
    return withDecryptors(secretKey, parameters, (decryptors) =>
      openWeighted(nativePrimitives, decryptors, input),
    );
  });
}
