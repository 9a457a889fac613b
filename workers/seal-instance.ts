/**
 * The BGV primitive on node-seal. Every object of the library is deleted in `finally`; after any
 * throw the instance refuses further work, since the library's state is then unknown, and whoever
 * holds it drops it for a new one.
 */
import initializeSeal, {
  type InitializeOptions,
  type MainModule,
  type SEALContext,
} from 'node-seal';
import type {
  BgvDecryptor,
  BgvEncryptor,
  BgvEvaluator,
  BgvParameters,
  BgvPublicKey,
  BgvSecretKey,
  HePrimitive,
} from '../protocols/common/bgv.ts';
import {
  checkPublicKey,
  checkSecretKey,
  ciphertextSizeBytes,
  parametersId,
} from '../protocols/common/bgv-ciphertext.ts';
import { verifySecurity } from '../protocols/common/bgv-security.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { ciphertextPrefix, secretKeyPrefix } from './seal-format.ts';
import { wipeableMemory } from './seal-memory.ts';

const CONTEXTS_MAX = 8;
const SIGN_BIT = -0x8000_0000;

/**
 * Loads one instance of the library, 1.3 MB of WASM with a memory of its own.
 * @param options - the loader's own; tests watch the instance's memory through them.
 * @throws ProtocolError `encoding-failed` where there is no memory for it, say.
 */
export async function loadSeal(options: InitializeOptions = {}): Promise<SealInstance> {
  const memory = wipeableMemory();
  try {
    const seal = await initializeSeal({ ...memory.options, ...options });
    return new SealInstance(seal, () => memory.wipe());
  } catch {
    // What the loader throws is no Error of ours, and of no use to anybody.
    throw new ProtocolError('encoding-failed', 'the native library cannot be loaded');
  }
}

/**
 * One instance. Its first use makes it one that holds secret keys or one that loads other parties'
 * public keys, never both.
 */
export class SealInstance implements HePrimitive {
  readonly #seal: MainModule;
  readonly #wipeMemory: () => void;
  readonly #contexts = new Map<string, SEALContext>();
  #broken = false;
  #side: 'secret' | 'public' | undefined;

  /** @param wipeMemory - overwrites the instance's linear memory. */
  constructor(seal: MainModule, wipeMemory: () => void) {
    this.#seal = seal;
    this.#wipeMemory = wipeMemory;
  }

  /** True after a throw: drop the instance, its WASM memory goes with it. */
  isBroken(): boolean {
    return this.#broken;
  }

  /** Ends the instance and overwrites its memory, where the library left what it freed. */
  wipe(): void {
    this.#broken = true;
    this.#contexts.clear();
    this.#wipeMemory();
  }

  generateSecretKey(parameters: BgvParameters): BgvSecretKey {
    return this.#guarded('key generation', 'secret', () =>
      generateSecretKey(this.#seal, this.#contextOf(parameters), parameters),
    );
  }

  generatePublicKey(parameters: BgvParameters, secretKey: BgvSecretKey): BgvPublicKey {
    return this.#guarded('key generation', 'secret', () =>
      generatePublicKey(this.#seal, this.#contextOf(parameters), parameters, secretKey),
    );
  }

  encryptor(parameters: BgvParameters, publicKey: BgvPublicKey): BgvEncryptor {
    const encryptor = this.#guarded('loading a public key', 'public', () =>
      openEncryptor(this.#seal, this.#contextOf(parameters), parameters, publicKey),
    );
    return {
      encrypt: (slots, target) => {
        checkSlots(parameters, slots, target);
        this.#guarded('encryption', 'public', () => encryptor.encrypt(slots, target));
      },
      [Symbol.dispose]: () => encryptor[Symbol.dispose](),
    };
  }

  evaluator(parameters: BgvParameters): BgvEvaluator {
    const evaluator = this.#guarded('opening an evaluator', 'public', () =>
      openEvaluator(this.#seal, this.#contextOf(parameters), parameters),
    );
    return {
      multiplyPlain: (ciphertext, slots, target) => {
        checkSlots(parameters, slots, target);
        this.#guarded('multiplication', 'public', () =>
          evaluator.multiplyPlain(ciphertext, slots, target),
        );
      },
      plainResidues: (slots) => {
        checkSlots(parameters, slots);
        return this.#guarded('encoding', 'public', () => evaluator.plainResidues(slots));
      },
      [Symbol.dispose]: () => evaluator[Symbol.dispose](),
    };
  }

  decryptor(parameters: BgvParameters, secretKey: BgvSecretKey): BgvDecryptor {
    const decryptor = this.#guarded('loading a secret key', 'secret', () =>
      openDecryptor(this.#seal, this.#contextOf(parameters), parameters, secretKey),
    );
    return {
      decrypt: (ciphertext) =>
        this.#guarded('decryption', 'secret', () => decryptor.decrypt(ciphertext)),
      [Symbol.dispose]: () => decryptor[Symbol.dispose](),
    };
  }

  /** Native faults are WebAssembly exceptions, not Errors, and may carry values: none leaves. */
  #guarded<Answer>(what: string, side: 'secret' | 'public', action: () => Answer): Answer {
    if (this.#broken) throw new ProtocolError('encoding-failed', 'this instance failed before');
    this.#side ??= side;
    if (this.#side !== side)
      throw new ProtocolError(
        'parameter-invalid',
        'an instance that holds a secret key loads nothing of peers, nor the other way round',
      );
    try {
      return action();
    } catch (cause) {
      this.#broken = true;
      if (cause instanceof ProtocolError) throw cause;
      throw new ProtocolError('encoding-failed', `${what} failed in the native library`);
    }
  }

  #contextOf(parameters: BgvParameters): SEALContext {
    const id = parametersId(parameters, 'key').join();
    const known = this.#contexts.get(id);
    if (known !== undefined) return known;
    if (this.#contexts.size === CONTEXTS_MAX)
      throw new ProtocolError('parameter-invalid', `more than ${CONTEXTS_MAX} parameter sets`);
    const context = createContext(this.#seal, parameters);
    this.#contexts.set(id, context);
    return context;
  }
}

function createContext(seal: MainModule, parameters: BgvParameters): SEALContext {
  verifySecurity(parameters);
  using scope = new Scope();
  const settings = scope.own(new seal.EncryptionParameters(seal.SchemeType.bgv));
  settings.setPolyModulusDegree(parameters.degree);
  const moduli = scope.own(new seal.VectorModulus());
  for (const prime of parameters.moduli) moduli.push_back(scope.own(new seal.Modulus(prime)));
  settings.setCoeffModulus(moduli);
  settings.setPlainModulus(scope.own(new seal.Modulus(parameters.plainModulus)));
  const level = parameters.securityBits === 192 ? seal.SecLevelType.tc192 : seal.SecLevelType.tc128;
  const context = new seal.SEALContext(settings, true, level);
  if (!context.parametersSet() || !usesBatching(context)) {
    context.delete();
    throw new ProtocolError('parameter-invalid', 'the library refuses these parameters');
  }
  return context;
}

function usesBatching(context: SEALContext): boolean {
  using scope = new Scope();
  const level = scope.own(context.firstContextData());
  return scope.own(level.qualifiers()).usingBatching;
}

function generateSecretKey(
  seal: MainModule,
  context: SEALContext,
  parameters: BgvParameters,
): BgvSecretKey {
  using scope = new Scope();
  const generator = scope.own(new seal.KeyGenerator(context));
  const secret = scope.own(generator.secretKey());
  const bytes: Uint8Array = secret.saveToArray(seal.ComprModeType.none);
  const residues = bytes.slice(secretKeyPrefix(parameters).length);
  bytes.fill(0);
  return checkSecretKey(parameters, residues);
}

function generatePublicKey(
  seal: MainModule,
  context: SEALContext,
  parameters: BgvParameters,
  secretKey: BgvSecretKey,
): BgvPublicKey {
  using scope = new Scope();
  const secret = scope.own(new seal.SecretKey());
  loadSecretKey(context, parameters, secretKey, secret);
  const generator = scope.own(new seal.KeyGenerator(context, secret));
  const key = scope.own(generator.createPublicKey());
  const bytes: Uint8Array = key.saveToArray(seal.ComprModeType.none);
  return checkPublicKey(parameters, bytes.slice(ciphertextPrefix(parameters, 'key').length));
}

function openEncryptor(
  seal: MainModule,
  context: SEALContext,
  parameters: BgvParameters,
  publicKey: BgvPublicKey,
): BgvEncryptor {
  const scope = new Scope();
  try {
    const key = scope.own(new seal.PublicKey());
    key.loadFromArray(context, joined(ciphertextPrefix(parameters, 'key'), publicKey));
    const encoder = scope.own(new seal.BatchEncoder(context));
    const encryptor = scope.own(new seal.Encryptor(context, key));
    const plaintext = scope.own(new seal.Plaintext());
    const ciphertext = scope.own(new seal.Ciphertext());
    const prefixBytes = ciphertextPrefix(parameters, 'data').length;
    return {
      encrypt: (slots, target) => {
        encoder.encode(slots, plaintext);
        encryptor.encrypt(plaintext, ciphertext);
        const bytes: Uint8Array = ciphertext.saveToArray(seal.ComprModeType.none);
        target.set(bytes.subarray(prefixBytes));
      },
      [Symbol.dispose]: () => scope[Symbol.dispose](),
    };
  } catch (cause) {
    scope[Symbol.dispose]();
    throw cause;
  }
}

function openEvaluator(
  seal: MainModule,
  context: SEALContext,
  parameters: BgvParameters,
): BgvEvaluator {
  const scope = new Scope();
  try {
    const encoder = scope.own(new seal.BatchEncoder(context));
    const evaluator = scope.own(new seal.Evaluator(context));
    const plaintext = scope.own(new seal.Plaintext());
    const transformed = scope.own(new seal.Plaintext());
    const ciphertext = scope.own(new seal.Ciphertext());
    const level = scope.own(context.firstParmsId());
    const prefix = ciphertextPrefix(parameters, 'data');
    return {
      multiplyPlain: (residues, slots, target) => {
        // The library throws on a product that is all zeros; its residues are plain to see.
        if (slots.every((slot) => slot === 0n)) return void target.fill(0);
        encoder.encode(slots, plaintext);
        ciphertext.loadFromArray(context, joined(prefix, residues));
        evaluator.multiplyPlainInplace(ciphertext, plaintext);
        const bytes: Uint8Array = ciphertext.saveToArray(seal.ComprModeType.none);
        target.set(bytes.subarray(prefix.length));
      },
      plainResidues: (slots) => {
        encoder.encode(slots, plaintext);
        evaluator.plainTransformToNtt(plaintext, level, transformed);
        const bytes: Uint8Array = transformed.saveToArray(seal.ComprModeType.none);
        return bytes.slice(bytes.length - ciphertextSizeBytes(parameters) / 2);
      },
      [Symbol.dispose]: () => scope[Symbol.dispose](),
    };
  } catch (cause) {
    scope[Symbol.dispose]();
    throw cause;
  }
}

function openDecryptor(
  seal: MainModule,
  context: SEALContext,
  parameters: BgvParameters,
  secretKey: BgvSecretKey,
): BgvDecryptor {
  const scope = new Scope();
  try {
    const secret = scope.own(new seal.SecretKey());
    loadSecretKey(context, parameters, secretKey, secret);
    const encoder = scope.own(new seal.BatchEncoder(context));
    const decryptor = scope.own(new seal.Decryptor(context, secret));
    const plaintext = scope.own(new seal.Plaintext());
    const ciphertext = scope.own(new seal.Ciphertext());
    // The header is ours; the residues were checked. Nothing else ever reaches the loader.
    const prefix = ciphertextPrefix(parameters, 'data');
    const bytes = new Uint8Array(prefix.length + ciphertextSizeBytes(parameters));
    bytes.set(prefix);
    return {
      decrypt: (residues) => {
        bytes.set(residues, prefix.length);
        ciphertext.loadFromArray(context, bytes);
        decryptor.decrypt(ciphertext, plaintext);
        const slots: BigUint64Array<ArrayBuffer> = encoder.decodeBigUint64(plaintext);
        return slots;
      },
      [Symbol.dispose]: () => scope[Symbol.dispose](),
    };
  } catch (cause) {
    scope[Symbol.dispose]();
    throw cause;
  }
}

function loadSecretKey(
  context: SEALContext,
  parameters: BgvParameters,
  residues: BgvSecretKey,
  target: { loadFromArray(context: SEALContext, bytes: Uint8Array): void },
): void {
  const bytes = joined(secretKeyPrefix(parameters), residues);
  try {
    target.loadFromArray(context, bytes);
  } finally {
    bytes.fill(0);
  }
}

/** The library encodes a value ≥ t as its remainder, in silence: so refused here, before it. */
function checkSlots(
  parameters: BgvParameters,
  slots: BigUint64Array<ArrayBuffer>,
  target?: Uint8Array,
): void {
  const sizeBytes = ciphertextSizeBytes(parameters);
  if (slots.length !== parameters.degree || (target?.length ?? sizeBytes) !== sizeBytes)
    throw new ProtocolError('length-wrong', 'slots or target of another size');
  const words = new Int32Array(slots.buffer, slots.byteOffset, slots.length * 2);
  const shift = Math.max(0, parameters.plainModulus.toString(2).length - 32);
  // The 32 most significant bits of a slot against those of t, sign bits flipped for an unsigned
  // comparison: nearly no slot needs the exact one.
  const limit = Number(BigInt.asIntN(32, parameters.plainModulus >> BigInt(shift))) ^ SIGN_BIT;
  for (let slot = 0, at = 0; slot < slots.length; slot++, at += 2) {
    const high = words[at + 1] as number;
    const top = ((high << (32 - shift)) | ((words[at] as number) >>> shift)) ^ SIGN_BIT;
    if (high >>> shift === 0 && top < limit) continue;
    if ((slots[slot] ?? 0n) >= parameters.plainModulus)
      throw new ProtocolError('value-out-of-range', `slot ${slot} is not below t`);
  }
}

function joined(prefix: Uint8Array, residues: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prefix.length + residues.length);
  bytes.set(prefix);
  bytes.set(residues, prefix.length);
  return bytes;
}

/** Deletes what it owns, last first, when disposed: WASM memory is not garbage-collected. */
class Scope implements Disposable {
  readonly #owned: { delete(): void }[] = [];

  own<Handle extends { delete(): void }>(handle: Handle): Handle {
    this.#owned.push(handle);
    return handle;
  }

  [Symbol.dispose](): void {
    for (let handle = this.#owned.pop(); handle !== undefined; handle = this.#owned.pop())
      handle.delete();
  }
}
