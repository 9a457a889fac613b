/**
 * How a thread uses the native library. What needs no secret is done on an instance that is kept
 * and replaced after a native fault; each task with a secret key has an instance of its own, whose
 * memory is wiped at its end. Either way a task that met a fault of the library, such as memory that
 * ran out, is tried once more on a new instance: nothing had left the thread, and no state is kept.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move, transferableSymbol, valueSymbol } from 'piscina';
import type {
  BgvDecryptor,
  BgvEncryptor,
  BgvEvaluator,
  BgvParameters,
  BgvSecretKey,
} from '../protocols/common/bgv.ts';
import {
  checkPublicKey,
  checkSecretKey,
  parametersId,
} from '../protocols/common/bgv-ciphertext.ts';
import { ProtocolError, type ProtocolErrorCode } from '../protocols/common/protocol-error.ts';
import { loadSeal, type SealInstance } from './seal-instance.ts';

/** Another one than the usual is for tests, which let it fail. */
type SealLoader = () => Promise<SealInstance>;

/** An answer of a task that a protocol check ended. */
export interface TaskFailure {
  readonly protocolError: { readonly code: ProtocolErrorCode; readonly message: string };
}

/** What a task without secrets of the library's works with. */
export interface PublicTools {
  /** Kept while the same key is asked for. @throws ProtocolError `message-malformed`, before load */
  encryptor(parameters: BgvParameters, publicKey: Uint8Array): BgvEncryptor;
  evaluator(parameters: BgvParameters): BgvEvaluator;
}

/** A thread's instance without secret keys. */
export class PublicSide {
  readonly #load: SealLoader;
  #kept: { readonly instance: SealInstance; readonly tools: PublicTools } | undefined;

  constructor(load: SealLoader = loadSeal) {
    this.#load = load;
  }

  /** @throws ProtocolError `encoding-failed` where the library failed twice; else as `work`. */
  async run<Answer>(work: (tools: PublicTools) => Answer): Promise<Answer> {
    return tryTwice(async () => work(await this.#usable()));
  }

  /** After a throw the library's state is unknown: a new instance, and the old memory is freed. */
  async #usable(): Promise<PublicTools> {
    if (this.#kept === undefined || this.#kept.instance.isBroken()) {
      this.#kept = undefined;
      const instance = await this.#load();
      this.#kept = { instance, tools: toolsOf(instance) };
    }
    return this.#kept.tools;
  }
}

/**
 * Runs work with a secret key on an instance that lives for it alone.
 * @throws as `PublicSide.run`
 */
export function withOwnInstance<Answer>(
  work: (instance: SealInstance) => Answer,
  load: SealLoader = loadSeal,
): Promise<Answer> {
  return tryTwice(async () => {
    const instance = await load();
    try {
      return work(instance);
    } finally {
      instance.wipe();
    }
  });
}

/**
 * Opens with a secret key, one decryptor a parameter set.
 * @param secretKey - this thread's copy: wiped in the end, whatever happens.
 */
export async function withDecryptors<Answer>(
  secretKey: Uint8Array,
  parameters: readonly BgvParameters[],
  work: (decryptors: readonly BgvDecryptor[]) => Answer,
  load: SealLoader = loadSeal,
): Promise<Answer> {
  const [first] = parameters;
  // A copy of its own: the residues are read as words, so they must start on one.
  const own = new Uint8Array(secretKey);
  secretKey.fill(0);
  try {
    if (first === undefined) throw new ProtocolError('parameter-invalid', 'nothing to open');
    const key: BgvSecretKey = checkSecretKey(first, own);
    return await withOwnInstance((instance) => {
      const decryptors = parameters.map((each) => instance.decryptor(each, key));
      try {
        return work(decryptors);
      } finally {
        for (const decryptor of decryptors) decryptor[Symbol.dispose]();
      }
    }, load);
  } finally {
    own.fill(0);
  }
}

/** An answer whose arrays are moved, not copied: no secret of it stays behind in this thread. */
export function movedAll<Answer>(answer: Answer, arrays: readonly Uint8Array[]): unknown {
  return move({
    [transferableSymbol]: arrays.map(({ buffer }) => buffer),
    [valueSymbol]: answer,
  } as unknown as Parameters<typeof move>[0]);
}

/** A ProtocolError is answered as data, since its code would not survive the way between threads. */
export async function answered<Answer>(work: () => Promise<Answer>): Promise<Answer | TaskFailure> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  }
}

async function tryTwice<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  try {
    return await attempt();
  } catch (error) {
    const isNative = error instanceof ProtocolError && error.code === 'encoding-failed';
    if (!isNative) throw error;
    return attempt();
  }
}

function toolsOf(instance: SealInstance): PublicTools {
  let opened:
    | { readonly id: string; readonly key: Uint8Array; encryptor: BgvEncryptor }
    | undefined;
  const evaluators = new Map<string, BgvEvaluator>();
  return {
    encryptor(parameters, publicKey) {
      const id = parametersId(parameters, 'key').join();
      const known = opened;
      if (known?.id === id && Buffer.compare(known.key, publicKey) === 0) return known.encryptor;
      const key = checkPublicKey(parameters, new Uint8Array(publicKey));
      known?.encryptor[Symbol.dispose]();
      opened = undefined;
      const encryptor = instance.encryptor(parameters, key);
      opened = { id, key, encryptor };
      return encryptor;
    },
    evaluator(parameters) {
      const id = parametersId(parameters, 'key').join();
      const known = evaluators.get(id) ?? instance.evaluator(parameters);
      evaluators.set(id, known);
      return known;
    },
  };
}
