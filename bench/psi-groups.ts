/** What a sum by groups costs on one core: a product and its addition, and the answer of a group. */
import { randomBytes } from 'node:crypto';
import { checkPublicKey } from '../protocols/common/bgv-ciphertext.ts';
import { addByCell } from '../protocols/psi/group-sum.ts';
import {
  SUM_CIPHERTEXT_BYTES,
  SUM_PARAMETERS,
  SUM_SLOTS,
  chooseValues,
  encryptValues,
  foldMasked,
  maskSum,
  openSum,
} from '../protocols/psi/sum.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';
import { loadSeal } from '../workers/seal-instance.ts';
import type { BenchContext } from './suite.ts';

const CELLS = 8;
const REPETITIONS = 10;
const VALUE = 3n;

export async function groupCosts(context: BenchContext): Promise<void> {
  const name = 'groups';
  if (!context.wants(name)) return;
  const [secretSide, publicSide] = [await loadSeal(), await loadSeal()];
  const secretKey = secretSide.generateSecretKey(SUM_PARAMETERS);
  const publicKey = secretSide.generatePublicKey(SUM_PARAMETERS, secretKey);
  using encryptor = publicSide.encryptor(SUM_PARAMETERS, checkPublicKey(SUM_PARAMETERS, publicKey));
  using evaluator = publicSide.evaluator(SUM_PARAMETERS);
  using decryptor = secretSide.decryptor(SUM_PARAMETERS, secretKey);
  const values = encryptValues(encryptor, new BigUint64Array(SUM_SLOTS).fill(VALUE));
  const cellOfSlot = Uint8Array.from({ length: SUM_SLOTS }, (_, slot) => (slot % CELLS) + 1);
  const sums = new Uint8Array(CELLS * SUM_CIPHERTEXT_BYTES);
  const choose = async (chosen: BigUint64Array<ArrayBuffer>): Promise<Uint8Array> =>
    chooseValues(evaluator, values, chosen);
  const answer = (): ReturnType<typeof maskSum> => {
    const sum = sums.subarray(0, SUM_CIPHERTEXT_BYTES);
    const secret = new Uint8Array(randomBytes(32));
    return maskSum(nativePrimitives.stream, evaluator, encryptor, sum, secret);
  };
  const productsMs = await leastMs(() => addByCell(choose, cellOfSlot, 0, sums));
  const answerMs = await leastMs(answer);
  const { ciphertext, foldedMask } = answer();
  const each = openSum(foldMasked(decryptor, ciphertext), foldedMask);
  if (each !== BigInt(REPETITIONS) * VALUE * BigInt(SUM_SLOTS / CELLS)) {
    throw new Error('a wrong sum');
  }
  context.report(name, 'product_ms', productsMs / CELLS, 'ms');
  context.report(name, 'answer_ms', answerMs, 'ms');
  context.report(name, 'answer_bytes', SUM_CIPHERTEXT_BYTES, 'B');
}

async function leastMs(work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < REPETITIONS; round++) {
    const started = performance.now();
    await work();
    least = Math.min(least, performance.now() - started);
  }
  return least;
}
