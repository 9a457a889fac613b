/**
 * Noise flooding, which the native library does not have. The noise of a product depends on the
 * plaintext it was multiplied by, and whoever holds the secret key sees noise: an addend t · E, E
 * uniform and far wider, hides it.
 * @see Gentry, A fully homomorphic encryption scheme (2009), §5.2; Lindell et al., smudging
 */
import type { BgvEvaluator, BgvParameters, Ciphertext } from './bgv.ts';
import { dataModuli } from './bgv-ciphertext.ts';
import { ProtocolError } from './protocol-error.ts';

/**
 * Adds t · E to a ciphertext, every coefficient of E uniform over t^digits consecutive integers: E =
 * Σ t^i · U_i, and U_i is a plaintext of uniform slots, whose coefficients are uniform mod t since
 * encoding is a bijection.
 * @param uniformSlots - fresh slots, uniform in [0, t), at each call; secret.
 * @throws ProtocolError `headroom-exceeded` where t · E would reach a quarter of q.
 */
export function floodCiphertext(
  parameters: BgvParameters,
  evaluator: BgvEvaluator,
  uniformSlots: () => BigUint64Array<ArrayBuffer>,
  digits: number,
  target: Ciphertext,
): void {
  const { plainModulus } = parameters;
  const modulus = dataModuli(parameters).reduce((product, prime) => product * prime, 1n);
  if (plainModulus ** BigInt(digits + 1) >= modulus / 4n)
    throw new ProtocolError('headroom-exceeded', `${digits} digits of flooding do not fit q`);
  for (let digit = 0; digit < digits; digit++) {
    const slots = uniformSlots();
    addScaledPlain(
      parameters,
      target,
      evaluator.plainResidues(slots),
      plainModulus ** BigInt(digit + 1),
    );
    slots.fill(0n);
  }
}

/** The ciphertext's first polynomial += factor · plain, prime by prime. */
function addScaledPlain(
  parameters: BgvParameters,
  target: Ciphertext,
  plain: Uint8Array,
  factor: bigint,
): void {
  const { degree } = parameters;
  const moduli = dataModuli(parameters);
  const words = moduli.length * degree;
  const sums = new BigUint64Array(target.buffer, target.byteOffset, words);
  const addends = new BigUint64Array(plain.buffer, plain.byteOffset, words);
  for (const [index, prime] of moduli.entries()) {
    const scale = factor % prime;
    const end = (index + 1) * degree;
    for (let at = index * degree; at < end; at++)
      sums[at] = ((sums[at] ?? 0n) + scale * (addends[at] ?? 0n)) % prime;
  }
}
