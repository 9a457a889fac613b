/**
 * Seam: the BGV scheme as pure code sees it. Keys and ciphertexts are bare residues: 64-bit
 * little-endian words, polynomial by polynomial, prime by prime, in the number-theoretic form.
 * No serialisation header of the native library ever comes from a peer.
 */

export interface BgvParameters {
  /** n of Z[x]/(x^n + 1): also the number of slots. */
  readonly degree: number;
  /** Primes of the key level; with more than one the last is reserved for keys. */
  readonly moduli: readonly bigint[];
  /** A prime congruent to 1 mod 2n, so that the slots are independent. */
  readonly plainModulus: bigint;
  /** Classical bits that the HomomorphicEncryption.org tables must grant to (n, log q). */
  readonly securityBits: 128 | 192;
}

declare const checked: unique symbol;

/** Residues that `checkCiphertext` accepted: nothing else may be handed to the native library. */
export type Ciphertext = Uint8Array & { readonly [checked]: 'ciphertext' };

/** Residues that `checkPublicKey` accepted. */
export type BgvPublicKey = Uint8Array & { readonly [checked]: 'public-key' };

/** Secret: stays with whoever opens results. */
export type BgvSecretKey = Uint8Array & { readonly [checked]: 'secret-key' };

/**
 * Native BGV. After any throw the instance is unusable and must be dropped: the library's state
 * is then unknown. Its randomness is the platform's own generator, drawn inside the library.
 */
export interface HePrimitive {
  generateSecretKey(parameters: BgvParameters): BgvSecretKey;
  /** A fresh public key; several, under different plain moduli, may share one secret key. */
  generatePublicKey(parameters: BgvParameters, secretKey: BgvSecretKey): BgvPublicKey;
  encryptor(parameters: BgvParameters, publicKey: BgvPublicKey): BgvEncryptor;
  /** Works on ciphertexts without any key. */
  evaluator(parameters: BgvParameters): BgvEvaluator;
  /** Never on an instance that other parties' public keys reach. */
  decryptor(parameters: BgvParameters, secretKey: BgvSecretKey): BgvDecryptor;
}

export interface BgvEncryptor extends Disposable {
  /**
   * Encrypts `slots` with fresh randomness into `target`, the ciphertext's residues.
   * @throws ProtocolError `value-out-of-range` where a slot is not below the plain modulus, which
   * the library itself would wrap silently.
   */
  encrypt(slots: BigUint64Array<ArrayBuffer>, target: Uint8Array): void;
}

export interface BgvEvaluator extends Disposable {
  /**
   * `target` becomes `ciphertext` times `slots`, slot by slot. Its noise depends on the slots: what
   * leaves must be re-randomised and flooded first.
   * @throws ProtocolError `value-out-of-range` as in `encrypt`.
   */
  multiplyPlain(
    ciphertext: Ciphertext,
    slots: BigUint64Array<ArrayBuffer>,
    target: Uint8Array,
  ): void;
  /** A plaintext as one polynomial of residues, coefficients lifted to (−t/2, t/2]. */
  plainResidues(slots: BigUint64Array<ArrayBuffer>): Uint8Array;
}

export interface BgvDecryptor extends Disposable {
  /** The slots; those of a wrong key are garbage without an error, so carry a check value. */
  decrypt(ciphertext: Ciphertext): BigUint64Array<ArrayBuffer>;
}
