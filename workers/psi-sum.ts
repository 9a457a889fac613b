/**
 * Tasks of the sum over the join for other threads. A thread keeps one instance of the library for
 * what needs no secret key; a secret key gets an instance of its own that ends with its task.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import type { BgvEncryptor, BgvEvaluator } from '../protocols/common/bgv.ts';
import { checkPublicKey, checkSecretKey } from '../protocols/common/bgv-ciphertext.ts';
import { releaseBytes } from '../protocols/common/bytes.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import {
  SUM_PARAMETERS,
  chooseValues,
  encryptValues,
  foldMasked,
  maskSum,
} from '../protocols/psi/sum.ts';
import { nativePrimitives } from './native-primitives.ts';
import { loadSeal, type SealInstance } from './seal-instance.ts';

export interface EncryptValuesArgument {
  readonly publicKey: Uint8Array;
  readonly slots: BigUint64Array<ArrayBuffer>;
}
export interface ChooseValuesArgument {
  readonly ciphertext: Uint8Array;
  readonly chosen: BigUint64Array<ArrayBuffer>;
}
export interface MaskSumArgument {
  readonly publicKey: Uint8Array;
  readonly choices: Uint8Array | undefined;
  readonly secret: Uint8Array;
}
export interface FoldMaskedArgument {
  readonly secretKey: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** The thread's instance without secrets, its evaluator, and an encryptor for the key used last. */
class PublicSide {
  #instance: SealInstance | undefined;
  #evaluator: BgvEvaluator | undefined;
  #opened: { readonly key: Uint8Array; readonly encryptor: BgvEncryptor } | undefined;

  async evaluator(): Promise<BgvEvaluator> {
    const instance = await this.#usable();
    this.#evaluator ??= instance.evaluator(SUM_PARAMETERS);
    return this.#evaluator;
  }

  /** @throws ProtocolError `message-malformed` for an unusable key, before it is loaded. */
  async encryptor(publicKey: Uint8Array): Promise<BgvEncryptor> {
    const instance = await this.#usable();
    const known = this.#opened;
    if (known !== undefined && Buffer.compare(known.key, publicKey) === 0) return known.encryptor;
    known?.encryptor[Symbol.dispose]();
    this.#opened = undefined;
    // A copy of its own: the residues are read as words, so they must start on one.
    const key = checkPublicKey(SUM_PARAMETERS, new Uint8Array(publicKey));
    const encryptor = instance.encryptor(SUM_PARAMETERS, key);
    this.#opened = { key, encryptor };
    return encryptor;
  }

  /** After a throw the library's state is unknown: a new instance, and the old memory is freed. */
  async #usable(): Promise<SealInstance> {
    if (this.#instance !== undefined && !this.#instance.isBroken()) return this.#instance;
    this.#evaluator = undefined;
    this.#opened = undefined;
    this.#instance = await loadSeal();
    return this.#instance;
  }
}

const thread = new PublicSide();

/** A fresh key pair of the sender, for one run. */
export function sumKeysTask(): Promise<unknown> {
  return answered(async () => {
    const instance = await loadSeal();
    const secretKey = instance.generateSecretKey(SUM_PARAMETERS);
    return { publicKey: instance.generatePublicKey(SUM_PARAMETERS, secretKey), secretKey };
  });
}

/** @see encryptValues */
export function encryptValuesTask({ publicKey, slots }: EncryptValuesArgument): Promise<unknown> {
  return answered(async () => move(encryptValues(await thread.encryptor(publicKey), slots)));
}

/** @see chooseValues */
export function chooseValuesTask({ ciphertext, chosen }: ChooseValuesArgument): Promise<unknown> {
  return answered(async () => {
    // A copy of its own: the residues are read as words, so they must start on one.
    const aligned = new Uint8Array(ciphertext);
    const choice = chooseValues(await thread.evaluator(), aligned, chosen);
    releaseBytes(aligned);
    return move(choice);
  });
}

/** @see maskSum */
export function maskSumTask({ publicKey, choices, secret }: MaskSumArgument): Promise<unknown> {
  return answered(async () => {
    const encryptor = await thread.encryptor(publicKey);
    const evaluator = await thread.evaluator();
    try {
      return maskSum(nativePrimitives.stream, evaluator, encryptor, choices, secret);
    } finally {
      secret.fill(0);
    }
  });
}

/** @see foldMasked */
export function foldMaskedTask({ secretKey, ciphertext }: FoldMaskedArgument): Promise<unknown> {
  return answered(async () => {
    const instance = await loadSeal();
    const key = checkSecretKey(SUM_PARAMETERS, new Uint8Array(secretKey));
    try {
      using decryptor = instance.decryptor(SUM_PARAMETERS, key);
      return foldMasked(decryptor, new Uint8Array(ciphertext));
    } finally {
      key.fill(0);
      secretKey.fill(0);
    }
  });
}

async function answered(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  }
}
