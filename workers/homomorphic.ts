/**
 * Tasks of the sealed sum for other threads: each calls one protocol function. A thread keeps one
 * instance of the library for sealing; opening and key generation load an instance of their own and
 * drop it with the secret key that was in it, so no instance ever serves both.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import type { BgvEncryptor, BgvPublicKey, BgvSecretKey } from '../protocols/common/bgv.ts';
import { checkPublicKey, checkSecretKey } from '../protocols/common/bgv-ciphertext.ts';
import { ProtocolError, type ProtocolErrorCode } from '../protocols/common/protocol-error.ts';
import { addFrames } from '../protocols/homomorphic/aggregator.ts';
import { residueCount } from '../protocols/homomorphic/headroom.ts';
import { generateSealingKeys } from '../protocols/homomorphic/keys.ts';
import type { MaskPeer } from '../protocols/homomorphic/masks.ts';
import type { FramePlace } from '../protocols/homomorphic/messages.ts';
import { openFrame, type OpenInput } from '../protocols/homomorphic/opener.ts';
import { sealedSumParameters } from '../protocols/homomorphic/params.ts';
import { sealFrame, type SealInput } from '../protocols/homomorphic/party.ts';
import { pairSecrets, type SessionSecrets } from '../protocols/secure-sum/keys.ts';
import { nativePrimitives } from './native-primitives.ts';
import { loadSeal, type SealInstance } from './seal-instance.ts';

/** An answer of a task that a protocol check ended. */
export interface TaskFailure {
  readonly protocolError: { readonly code: ProtocolErrorCode; readonly message: string };
}

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
  readonly secretKey: Uint8Array;
  readonly frames: readonly OpenInput[];
}

/** @see generateSealingKeys */
export interface GenerateKeysArgument {
  readonly residues: number;
}

/** The thread's sealing instance, and an encryptor for the key used last. */
export class SealingThread {
  #instance: SealInstance | undefined;
  #opened: { key: BgvPublicKey; residue: number; encryptor: BgvEncryptor } | undefined;

  /** @throws ProtocolError `message-malformed` for an unusable key, before it is loaded. */
  async encryptor(residue: number, publicKey: Uint8Array): Promise<BgvEncryptor> {
    const known = this.#opened;
    if (known?.residue === residue && isSame(known.key, publicKey) && !this.isBroken())
      return known.encryptor;
    const parameters = sealedSumParameters(residue);
    const key = checkPublicKey(parameters, new Uint8Array(publicKey));
    // After a throw the library's state is unknown: a new instance, and the old memory is freed.
    if (this.#instance === undefined || this.isBroken()) this.#instance = await loadSeal();
    else known?.encryptor[Symbol.dispose]();
    this.#opened = undefined;
    const encryptor = this.#instance.encryptor(parameters, key);
    this.#opened = { key, residue, encryptor };
    return encryptor;
  }

  /**
   * A native fault, such as memory that ran out, takes the instance with it; the frame is tried
   * once more on a new one. The masks are the same, the encryption fresh, and nothing had left.
   */
  async seal(task: SealFrameArgument): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await this.#sealOnce(task);
    } catch (error) {
      if (!this.isBroken()) throw error;
      return this.#sealOnce(task);
    }
  }

  async #sealOnce(task: SealFrameArgument): Promise<Uint8Array<ArrayBuffer>> {
    const encryptor = await this.encryptor(task.place.residue, task.publicKey);
    return sealFrame(nativePrimitives, encryptor, task);
  }

  isBroken(): boolean {
    return this.#instance?.isBroken() ?? false;
  }
}

const thread = new SealingThread();

/** What this party shares with each other one of the run. @see pairSecrets */
export function maskPeersTask(task: MaskPeersArgument): Promise<readonly MaskPeer[] | TaskFailure> {
  return answered(async () => pairSecrets(nativePrimitives, task));
}

/** @see sealFrame */
export function sealFrameTask(task: SealFrameArgument): Promise<unknown> {
  return answered(async () => move(await thread.seal(task)));
}

/** @see addFrames */
export function addFramesTask(task: AddFramesArgument): Promise<unknown> {
  return answered(async () => move(addFrames(task.place, task.frames)));
}

/** Opens frames with an instance that lives for this task alone. @see openFrame */
export function openFramesTask(
  task: OpenFramesArgument,
): Promise<readonly Uint8Array[] | TaskFailure> {
  return answered(async () => {
    const residues = Math.max(...task.frames.map(({ vector }) => residueCount(vector)));
    const secretKey = checkSecretKey(sealedSumParameters(0), task.secretKey);
    using opening = await openDecryptors(secretKey, residues);
    return task.frames.map((frame) => openFrame(nativePrimitives, opening.decryptors, frame));
  });
}

/** @see generateSealingKeys */
export function generateKeysTask(
  task: GenerateKeysArgument,
): Promise<ReturnType<typeof generateSealingKeys> | TaskFailure> {
  return answered(async () => generateSealingKeys(await loadSeal(), task.residues));
}

/** Decryptors for the first `residues` moduli on one fresh instance. */
export async function openDecryptors(
  secretKey: BgvSecretKey,
  residues: number,
): Promise<{ readonly decryptors: ReturnType<SealInstance['decryptor']>[] } & Disposable> {
  const instance = await loadSeal();
  const decryptors = Array.from({ length: residues }, (_, residue) =>
    instance.decryptor(sealedSumParameters(residue), secretKey),
  );
  return {
    decryptors,
    [Symbol.dispose]: () => {
      for (const decryptor of decryptors) decryptor[Symbol.dispose]();
    },
  };
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

async function answered<Answer>(work: () => Promise<Answer>): Promise<Answer | TaskFailure> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  }
}
