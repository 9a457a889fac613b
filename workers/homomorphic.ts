/** Tasks of the sealed sum for other threads: each calls one protocol function. */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import { addFrames } from '../protocols/homomorphic/aggregator.ts';
import { residueCount } from '../protocols/homomorphic/headroom.ts';
import { generateSealingKeys, type SealingKeys } from '../protocols/homomorphic/keys.ts';
import type { MaskPeer } from '../protocols/homomorphic/masks.ts';
import type { FramePlace } from '../protocols/homomorphic/messages.ts';
import { openFrame, type OpenInput } from '../protocols/homomorphic/opener.ts';
import { sealedSumParameters } from '../protocols/homomorphic/params.ts';
import { sealFrame, type SealInput } from '../protocols/homomorphic/party.ts';
import { pairSecrets, type SessionSecrets } from '../protocols/secure-sum/keys.ts';
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

/** Argument of `sealFrameTask`: the key of the place's residue. @see sealFrame */
export interface SealFrameArgument extends SealInput {
  readonly publicKey: Uint8Array;
}

/** Argument of `maskPeersTask`. @see pairSecrets */
export type MaskPeersArgument = Omit<SessionSecrets, 'seed'>;

/** Argument of `addFramesTask`. @see addFrames */
export interface AddFramesArgument {
  readonly place: FramePlace;
  readonly frames: readonly Uint8Array[];
}

/** Argument of `openFramesTask`: frames of one run, each opened on its own. @see openFrame */
export interface OpenFramesArgument {
  /** A copy to be moved to the thread, which wipes it. */
  readonly secretKey: Uint8Array<ArrayBuffer>;
  readonly frames: readonly OpenInput[];
}

/** @see generateSealingKeys */
export interface GenerateKeysArgument {
  readonly residues: number;
}

const thread = new PublicSide();

/** What this party shares with each other one of the run. @see pairSecrets */
export function maskPeersTask(task: MaskPeersArgument): Promise<readonly MaskPeer[] | TaskFailure> {
  return answered(async () => pairSecrets(nativePrimitives, task));
}

/** @see sealFrame */
export function sealFrameTask(task: SealFrameArgument): Promise<unknown> {
  return answered(async () => {
    try {
      const parameters = sealedSumParameters(task.place.residue);
      // After a fault the masks are the same and the encryption is fresh.
      const frame = await thread.run((tools) =>
        sealFrame(nativePrimitives, tools.encryptor(parameters, task.publicKey), task),
      );
      return move(frame);
    } finally {
      task.lanes.fill(0);
    }
  });
}

/** @see addFrames */
export function addFramesTask(task: AddFramesArgument): Promise<unknown> {
  return answered(async () => move(addFrames(task.place, task.frames)));
}

/** Opens frames with an instance that lives for this task alone. @see openFrame */
export function openFramesTask(
  task: OpenFramesArgument,
): Promise<readonly Uint8Array[] | TaskFailure> {
  return answered(() => {
    const residues = Math.max(...task.frames.map(({ vector }) => residueCount(vector)));
    const parameters = Array.from({ length: residues }, (_, at) => sealedSumParameters(at));
    return withDecryptors(task.secretKey, parameters, (decryptors) =>
      task.frames.map((frame) => openFrame(nativePrimitives, decryptors, frame)),
    );
  });
}

/** @see generateSealingKeys */
export function generateKeysTask(task: GenerateKeysArgument): Promise<unknown> {
  return answered(async () => {
    const make = (instance: SealInstance): SealingKeys =>
      generateSealingKeys(instance, task.residues);
    const keys = await withOwnInstance(make);
    return movedAll(keys, [...keys.publicKeys, keys.secretKey]);
  });
}
