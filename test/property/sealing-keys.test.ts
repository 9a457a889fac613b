import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  encodePublicBundle,
  encodeSecretKey,
  generateSealingKeys,
  parsePublicBundle,
  parseSecretKey,
  publicBundleHash,
  type SealingKeys,
} from '../../protocols/homomorphic/keys.ts';
import { DEGREE, sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { loadSeal } from '../../workers/seal-instance.ts';

const PASSPHRASE = 'correct horse battery';
/** The cheapest cost that is accepted: the tests are about the format. */
const LOG_COST = 15;
const malformed = expect.objectContaining({ code: 'message-malformed' });
const failed = expect.objectContaining({ code: 'decryption-failed' });
let keys: SealingKeys;
let file: Uint8Array;

beforeAll(async () => {
  keys = generateSealingKeys(await loadSeal(), 2);
  file = encodeSecretKey(keys, PASSPHRASE, new Uint8Array(randomBytes(28)), LOG_COST);
});

describe('the public bundle', () => {
  it('comes back as it went, and seals', async () => {
    const parsed = parsePublicBundle(encodePublicBundle(keys.publicKeys));
    expect(parsed).toEqual(keys.publicKeys);
    using encryptor = (await loadSeal()).encryptor(sealedSumParameters(1), parsed[1]!);
    encryptor.encrypt(new BigUint64Array(DEGREE), new Uint8Array(65_536));
  });

  it('is refused when a length, the header, an identifier or a residue is wrong', () => {
    const bundle = encodePublicBundle(keys.publicKeys);
    const changed = (at: number, value: number): Uint8Array => {
      const copy = bundle.slice();
      copy[at] = value;
      return copy;
    };
    const zero = bundle.slice();
    zero.fill(0, 48 + 32_768, 48 + 65_536);
    const wrong = [
      new Uint8Array(0),
      bundle.subarray(0, 16),
      bundle.subarray(0, -1),
      Buffer.concat([bundle, Uint8Array.of(0)]),
      Buffer.concat([bundle, bundle.subarray(16), bundle.subarray(16)]),
      changed(0, 0),
      changed(8, 1),
      changed(12, 1),
      changed(20, (bundle[20] ?? 0) ^ 1),
      changed(48 + 7, 0xff),
      zero,
    ];
    for (const bytes of wrong) expect(() => parsePublicBundle(bytes)).toThrow(malformed);
    parsePublicBundle(bundle);
  });
});

describe('the secret key at rest', () => {
  it('opens with its passphrase alone, and names its public bundle', () => {
    const opened = parseSecretKey(file, PASSPHRASE);
    expect(opened.secretKey).toEqual(keys.secretKey);
    expect(opened.bundleHash).toEqual(publicBundleHash(encodePublicBundle(keys.publicKeys)));
    expect(() => parseSecretKey(file, `${PASSPHRASE}.`)).toThrow(failed);
    // Composed and decomposed letters are the same passphrase.
    const accented = encodeSecretKey(keys, 'pässphrase-été', new Uint8Array(28), LOG_COST);
    parseSecretKey(accented, 'pässphrase-été'.normalize('NFD'));
  });

  it('holds no run of the key in the clear', () => {
    const content = Buffer.from(file).toString('latin1');
    const secret = Buffer.from(keys.secretKey);
    for (let at = 0; at < secret.length; at += 1024)
      expect(content).not.toContain(secret.subarray(at, at + 8).toString('latin1'));
    // The control: the same search finds the key where it lies open.
    expect(secret.toString('latin1')).toContain(secret.subarray(1024, 1032).toString('latin1'));
  });

  it('refuses every kind of changed file', () => {
    const changed = (at: number): Uint8Array => {
      const copy = file.slice();
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    // Salt, nonce, first and last byte of the content, tag.
    for (const at of [12, 27, 28, 39, 40, file.length - 17, file.length - 1])
      expect(() => parseSecretKey(changed(at), PASSPHRASE)).toThrow(failed);
    for (const bytes of [changed(0), changed(9), changed(10), changed(11)])
      expect(() => parseSecretKey(bytes, PASSPHRASE)).toThrow(malformed);
    for (const bytes of [file.subarray(0, -1), Buffer.concat([file, file]), new Uint8Array(0)])
      expect(() => parseSecretKey(bytes, PASSPHRASE)).toThrow(malformed);
  });

  it('refuses a forged cost before spending it', () => {
    for (const cost of [0, 14, 21, 63, 255]) {
      const forged = file.slice();
      forged[8] = cost;
      expect(() => parseSecretKey(forged, PASSPHRASE)).toThrow(malformed);
    }
  });

  it('is not stored under a short passphrase', () => {
    const store = (passphrase: string): Uint8Array =>
      encodeSecretKey(keys, passphrase, new Uint8Array(28), LOG_COST);
    expect(() => store('elevenchars')).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    store('twelve chars');
  });
});
