/** What the first holder's own, signed statement of a sealed or weighted sum may say. */
import { x25519 } from '@noble/curves/ed25519.js';
import { CompactEncrypt, importJWK } from 'jose';
import { describe, expect, it } from 'vitest';
import {
  encodeStatement,
  openStatement,
  SEALED_STATEMENT,
  WEIGHTS_STATEMENT,
  type StatementKind,
} from '../../src/computations/sealed-sum/statement.ts';
import { signDocument } from '../../src/contracts/signing.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';

const cast = makeCast();
const secretKey = systemRandom.bytes(32);
const recipient = { secretKey, publicKey: x25519.getPublicKey(secretKey) };
const plain = makeContract(cast);
const encryptionKey = encodeBase64url(recipient.publicKey);
const contract = { ...plain, recipient: { ...plain.recipient, encryptionKey } };
const identity = cast.keyOf(contract.holders[0]!.id);
const TAG_KEY = new Uint8Array(32).fill(5);
const RUN = new Uint8Array(32).fill(1);
const OTHER_RUN = new Uint8Array(32).fill(2);
const hashOf = (bytes: Uint8Array) => HashSchema.parse(Buffer.from(bytes).toString('hex'));

async function stated(kind: StatementKind, run = RUN, more?: Uint8Array): Promise<string> {
  const role = { contract, descriptorHash: run, identity };
  return new TextDecoder().decode(await encodeStatement(kind, role, TAG_KEY, more));
}

const open = (text: string, kind = SEALED_STATEMENT, moreBytes = 0) =>
  openStatement(kind, text, hashOf(RUN), identity.publicKey, recipient, moreBytes);

interface Signed {
  readonly statement: { readonly format: string; readonly tagKey: string };
  readonly jws: string;
}

/** The holder's statement with members of its own choice, signed anew. */
function signed(text: string, members: object, kind = SEALED_STATEMENT): string {
  const statement = { ...(JSON.parse(text) as Signed).statement, ...members };
  return JSON.stringify({ statement, jws: signDocument(kind.context, statement, identity) });
}

/** A tag key under a header of the holder's own choice. */
async function encrypted(header: object, bytes = TAG_KEY): Promise<string> {
  const key = await importJWK({ kty: 'OKP', crv: 'X25519', x: encryptionKey }, 'ECDH-ES');
  const all = {
    alg: 'ECDH-ES',
    enc: 'A256GCM',
    typ: SEALED_STATEMENT.type,
    descriptor: hashOf(RUN),
    ...header,
  };
  return new CompactEncrypt(bytes).setProtectedHeader(all).encrypt(key);
}

const unopened = { family: 'abort', code: 'decryption-failed' };

describe('the first holder’s statement', () => {
  it('tells the tag key of its run, and nothing else is opened', async () => {
    const sound = await stated(SEALED_STATEMENT);
    await expect(open(sound)).resolves.toMatchObject({ tagKey: TAG_KEY, more: new Uint8Array() });
    const parsed = JSON.parse(sound) as Signed;
    const texts = [
      '',
      'no JSON',
      'null',
      JSON.stringify({ ...parsed, more: 1 }),
      JSON.stringify({ ...parsed, statement: { ...parsed.statement, tagKey: 5 } }),
      signed(sound, { format: WEIGHTS_STATEMENT.format }),
      await stated(SEALED_STATEMENT, OTHER_RUN),
      signed(sound, { descriptorHash: hashOf(OTHER_RUN) }),
      signed(await stated(SEALED_STATEMENT, OTHER_RUN), { descriptorHash: hashOf(RUN) }),
      signed(sound, { tagKey: await encrypted({ typ: WEIGHTS_STATEMENT.type }) }),
      signed(sound, { tagKey: await encrypted({ descriptor: hashOf(OTHER_RUN) }) }),
      signed(sound, { tagKey: await encrypted({ enc: 'A128GCM' }) }),
      signed(sound, { tagKey: await encrypted({}, TAG_KEY.subarray(1)) }),
      signed(sound, { tagKey: 'no JWE' }),
    ];
    for (const text of texts) await expect(open(text), text).rejects.toMatchObject(unopened);
    // The control: made the same way, but as it should be.
    const again = signed(sound, { tagKey: await encrypted({}) });
    await expect(open(again)).resolves.toMatchObject({ tagKey: TAG_KEY });
  });

  it('of one kind of run never serves another, though the same holder signed it', async () => {
    const weighted = await stated(WEIGHTS_STATEMENT);
    await expect(open(weighted)).rejects.toMatchObject({ code: 'signature-invalid' });
    await expect(open(weighted, WEIGHTS_STATEMENT)).resolves.toBeDefined();
  });

  it('tells as many counted cells as its run has', async () => {
    const more = Uint8Array.of(1, 2, 3);
    const text = await stated(WEIGHTS_STATEMENT, RUN, more);
    await expect(open(text, WEIGHTS_STATEMENT, 3)).resolves.toMatchObject({ more });
    for (const moreBytes of [0, 2, 4]) {
      const opened = open(text, WEIGHTS_STATEMENT, moreBytes);
      await expect(opened).rejects.toMatchObject(unopened);
    }
  });
});
