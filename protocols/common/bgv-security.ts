/** Which BGV parameters are strong enough, by the public standard. */
import type { BgvParameters } from './bgv.ts';
import { ProtocolError } from './protocol-error.ts';

/**
 * Largest log2 q by ring degree for ternary secrets and classical attacks.
 * @see HomomorphicEncryption.org Security Standard (2018), table 1
 */
export const STANDARD_MODULUS_BITS: Readonly<Record<128 | 192, Readonly<Record<number, number>>>> =
  {
    128: { 1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881 },
    192: { 1024: 19, 2048: 37, 4096: 75, 8192: 152, 16384: 305, 32768: 611 },
  };

/**
 * Refuses parameters that the standard's table does not grant the security they state.
 * @throws ProtocolError `parameter-invalid`
 */
export function verifySecurity(parameters: BgvParameters): void {
  const modulusBits = parameters.moduli
    .reduce((product, prime) => product * prime, 1n)
    .toString(2).length;
  const allowed = STANDARD_MODULUS_BITS[parameters.securityBits][parameters.degree];
  if (allowed === undefined || modulusBits > allowed)
    throw new ProtocolError(
      'parameter-invalid',
      `log q of ${modulusBits} bits at degree ${parameters.degree} is below ${parameters.securityBits}-bit security`,
    );
}
