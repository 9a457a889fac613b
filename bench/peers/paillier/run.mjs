// Encrypt at each holder, add, decrypt: the same sums by Paillier, 2048 bits, on one core.
// usage: node run.mjs CELLS HOLDERS: prints {"values","tookMs","ok"}
import { generateRandomKeys } from 'paillier-bigint';

const [cells, holders] = process.argv.slice(2).map(Number);
const { publicKey, privateKey } = await generateRandomKeys(2048);
const valueOf = (cell, holder) => BigInt(cell * 7919 + holder) * 1_000_003n;
const start = performance.now();
let ok = true;
for (let cell = 0; cell < cells; cell++) {
  const sealed = Array.from({ length: holders }, (_, holder) =>
    publicKey.encrypt(valueOf(cell, holder)),
  );
  const opened = privateKey.decrypt(publicKey.addition(...sealed));
  let sum = 0n;
  for (let holder = 0; holder < holders; holder++) sum += valueOf(cell, holder);
  ok &&= opened === sum;
}
const tookMs = performance.now() - start;
process.stdout.write(`${JSON.stringify({ values: cells * holders, tookMs, ok })}\n`);
