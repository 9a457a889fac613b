/** node-seal used bare: the oracle of the format, and the control for what the library lets pass. */
import initializeSeal, { type MainModule, type SEALContext } from 'node-seal';
import type { BgvParameters } from '../../protocols/common/bgv.ts';

export const bareSeal: MainModule = await initializeSeal();

export function bareContext(of: BgvParameters): SEALContext {
  const settings = new bareSeal.EncryptionParameters(bareSeal.SchemeType.bgv);
  settings.setPolyModulusDegree(of.degree);
  const moduli = new bareSeal.VectorModulus();
  for (const prime of of.moduli) moduli.push_back(new bareSeal.Modulus(prime));
  settings.setCoeffModulus(moduli);
  settings.setPlainModulus(new bareSeal.Modulus(of.plainModulus));
  return new bareSeal.SEALContext(settings, true, bareSeal.SecLevelType.tc128);
}
