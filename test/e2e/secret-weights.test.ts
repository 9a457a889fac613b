/**
 * Secret weights over real processes and the command: equal to the naive weighted sum over released
 * cells; and everything the gateway has opens nothing without the analyst's key.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadWeighingKey, weightsFor } from '../../src/cli/weighing.ts';
import { type FinishedRun, type PreparedRun, prepareRun } from '../../src/client/analyst.ts';
import { readSealingPublicKeys, type SealingKey } from '../../src/client/sealing-key.ts';
import { openWeightedSum } from '../../src/client/weights-opener.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { type Contract, ContractSchema } from '../../src/contracts/contract.ts';
import type { Release } from '../../src/computations/computation.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemClock } from '../../src/system/clock.ts';
import { systemRandom } from '../../src/system/random.ts';
import type { KeyPair } from '../../src/system/signature-suite.ts';
import { checkSecretKey } from '../../protocols/common/bgv-ciphertext.ts';
import { WEIGHING_KEYS } from '../../protocols/homomorphic/keys.ts';
import { weightsParameters } from '../../protocols/homomorphic/weights-params.ts';
import { needlesOf } from './support/canary.ts';
import { PASSPHRASE, RecordedWeir } from './support/recorded-weir.ts';

const MONTHS = ['1', '2', '3', '4', '5'];
const ROWS = 60;
/** Sums that would be recognised anywhere, and weights as well. */
const costOf = (holder: number, row: number): number =>
  3_000_000 + ((row * 7919 + holder * 104_729) % 2_000_003);
/** In hundredths. */
const WEIGHTS = [7_123_457, -8_234_561, 9_345_671, -6_456_781, 5_567_891];
const TERMS = { maximum: '10000000', scale: 2 };
const MEASURES = [
  { as: 'visits', fn: 'count' as const },
  { as: 'cost', fn: 'sum' as const, column: 'cost' },
];

let recorded: RecordedWeir;
let contract: ContractBody;
let attachment: Uint8Array;
let run: FinishedRun;
let csv: string;
let table: Release;
let keys: KeyPair;
let weighingKey: SealingKey;

beforeAll(async () => {
  // Two visits in all in the last month: under the threshold of three.
  recorded = await RecordedWeir.open(
    (holder) =>
      Array.from({ length: holder === 2 ? ROWS : ROWS + 1 }, (_, row) => ({
        month: row === ROWS ? '5' : (MONTHS[row % 4] ?? ''),
        cost: costOf(holder, row),
      })),
    MONTHS,
  );
  const { passphraseFile } = recorded;
  await recorded.command('weights', 'key', '--passphrase-file', passphraseFile);
  const plain = await agreed({});
  const shown = JSON.parse(await recorded.command('run', plain.id, '--json')) as {
    release: Release;
  };
  table = shown.release;
  const drafted = await agreed({ weights: TERMS });
  const file = weightsFile('weights.csv', WEIGHTS);
  const words = ['run', drafted.id, '--weights', file, '--csv'];
  csv = await recorded.command(...words, '--passphrase-file', passphraseFile);
  await runBySdk(drafted);
}, 180_000);

afterAll(() => recorded.close());

/** A contract as the command drafts it, signed by all. */
async function agreed(terms: object): Promise<Contract> {
  const title = { zh: '加权费用', en: 'Weighted cost' };
  const plan = {
    kind: 'aggregate',
    table: 'visits',
    groups: [{ column: 'month' }],
    measures: MEASURES,
    select: [],
  };
  const file = join(recorded.root, 'draft.json');
  writeFileSync(file, JSON.stringify({ title, plan, ...terms }));
  const text = await recorded.command('contract', 'draft', file);
  const drafted = ContractSchema.parse(JSON.parse(text));
  await recorded.agree(drafted);
  return drafted;
}

function weightsFile(name: string, weights: readonly number[]): string {
  const file = join(recorded.root, name);
  const lines = weights.map((weight, at) => `${MONTHS[at] ?? ''},${(weight / 100).toFixed(2)}`);
  writeFileSync(file, ['month,weight', ...lines, ''].join('\n'));
  return file;
}

/** All weight on one month that is released. */
function oneHot(): number[] {
  const shown = MONTHS.indexOf(String(table.rows[0]?.[0]));
  return WEIGHTS.map((weight, at) => (at === shown ? weight : 0));
}

/** Once more by the SDK, whose sealed release is handed to openers. */
async function runBySdk({ id }: Contract): Promise<void> {
  const { analyst } = recorded.weir;
  contract = await analyst.client.contract(id);
  const file = readFileSync(weightsFile('one.csv', oneHot()), 'utf8');
  attachment = await weightsFor(recorded.directory, contract.contract, file);
  run = await analyst.run(contract, {}, () => undefined, attachment);
  weighingKey = loadWeighingKey(recorded.directory, PASSPHRASE);
  keys = recorded.keys('analyst', 'keys', 'encryption.key');
}

/** Σ weight · cell over the released table of the same cells, in hundredths. */
function naive(column: number, weights: readonly number[]): bigint {
  return table.rows.reduce((sum, row) => {
    const weight = weights[MONTHS.indexOf(String(row[0]))] ?? 0;
    return sum + BigInt(weight) * BigInt(String(row[column]));
  }, 0n);
}

async function openWith(recipient: KeyPair, key: SealingKey): Promise<Release> {
  const pool = openPool({ threadsMax: 1 });
  try {
    return await openWeightedSum(run.result.release, {
      contract: contract.contract,
      recipient,
      weighingKey: key,
      open: (task) =>
        pool.run('weights', 'openWeightedTask', task, { transfer: [task.secretKey.buffer] }),
    });
  } finally {
    await pool.close();
  }
}

const decimal = (units: bigint): string => {
  const digits = String(units < 0n ? -units : units).padStart(3, '0');
  return `${units < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
};

describe('secret weights between real processes', () => {
  it('give exactly the weighted sum of the cells that a secure sum releases', () => {
    const counted = table.rows.length;
    expect(counted).toBeGreaterThan(1);
    expect(counted).toBeLessThan(MONTHS.length);
    expect(table.rows.map(([month]) => month)).not.toContain('5');
    const withheld = MONTHS.length + 1 - counted;
    const lines = MEASURES.map(({ as }, at) =>
      [as, decimal(naive(at + 1, WEIGHTS)), counted, withheld].join(','),
    );
    const header = 'measure,weighted_sum,cells_counted,cells_withheld';
    expect(csv).toBe([header, ...lines, ''].join('\r\n'));
  });

  it('open with the analyst’s key, and with no key found at the gateway', async () => {
    const opened = await openWith(keys, weighingKey);
    expect(opened.rows[1]?.[1]).toBe(decimal(naive(2, oneHot())));
    const texts = recorded.gatewaysBytes().map((bytes) => bytes.toString('latin1'));
    const found = [...new Set(texts.flatMap((text) => text.match(/[A-Za-z0-9_-]{43}/g) ?? []))];
    const identity = recorded.keys('gateway', 'keys', 'identity.key');
    expect(found).toContain(encodeBase64url(identity.secretKey));
    expect(found).not.toContain(encodeBase64url(keys.secretKey));
    const publicKeys = readSealingPublicKeys(
      join(recorded.directory, 'keys', 'weighing'),
      WEIGHING_KEYS,
    );
    const guessed = checkSecretKey(weightsParameters(0), new Uint8Array(327_680));
    const failed = expect.objectContaining({ code: 'decryption-failed' });
    const candidates = found.slice(0, 12).map((text) => Buffer.from(text, 'base64url'));
    for (const candidate of [identity.secretKey, ...candidates]) {
      if (candidate.length !== 32) continue;
      const own = { publicKey: keys.publicKey, secretKey: new Uint8Array(candidate) };
      const attempt = openWith(own, { publicKeys, secretKey: guessed });
      await expect(attempt).rejects.toThrow(failed);
    }
    // Not even the analyst's key for results is enough: weights have a key of their own.
    const half = openWith(keys, { publicKeys, secretKey: guessed });
    await expect(half).rejects.toThrow(failed);
  });

  it('leave no weight, no weighted sum and no secret key at the gateway, in any encoding', () => {
    const material = recorded.gatewaysBytes();
    const holds = (bytes: Buffer): boolean => material.some((each) => each.includes(bytes));
    const secret = [...WEIGHTS.map(BigInt), naive(2, WEIGHTS), naive(2, oneHot())];
    const found = secret.flatMap((value) =>
      needlesOf(value < 0n ? -value : value)
        // Shorter ones, or little but zeros, stand in megabytes of ciphertext by chance.
        .filter(({ bytes }) => new Set(bytes).size >= 5 && bytes.length >= 7 && holds(bytes))
        .map(({ encoding }) => `${value} as ${encoding}`),
    );
    expect(found).toEqual([]);
    expect(holds(Buffer.from(weighingKey.secretKey.subarray(1000, 1016)))).toBe(false);
    // The control: the search finds the ciphertexts, which do pass through the gateway.
    const text = Buffer.from(attachment).toString('base64url');
    const middle = Math.floor(text.length / 2);
    expect(holds(Buffer.from(text.slice(middle, middle + 64)))).toBe(true);
  });
});

describe('a request with other weights than it was signed over', () => {
  it('is refused before anything is reserved', async () => {
    const { analyst } = recorded.weir;
    const prepared = (own: { weights?: Uint8Array }): PreparedRun =>
      prepareRun(
        contract.contract,
        {},
        recorded.weir.keys,
        { nowMs: systemClock.now() },
        systemRandom,
        own,
      );
    const quota = async (): Promise<unknown> =>
      (await analyst.explain(contract.contract.id, {})).quota;
    const before = await quota();
    const { request } = prepared({ weights: attachment });
    const turned = attachment.slice();
    turned[turned.length - 1]! ^= 1;
    const refused = expect.objectContaining({ code: 'parameter-invalid' });
    for (const weights of [undefined, turned, attachment.subarray(0, -8), new Uint8Array(9)])
      await expect(analyst.client.startRun(request, undefined, weights)).rejects.toThrow(refused);
    await expect(analyst.client.startRun(prepared({}).request)).rejects.toThrow(refused);
    expect(await quota()).toEqual(before);
  });

  it('does not get that far from the command: it names the line, and no weight', async () => {
    const file = weightsFile('beyond.csv', [100, 10_000_001]);
    const words = ['run', contract.contract.id, '--weights', file];
    const failing = recorded.command(...words, '--passphrase-file', recorded.passphraseFile);
    const told = expect.objectContaining({
      code: 65,
      stderr: expect.stringMatching(/Line 3 of the weights: a weight is beyond the agreed bound/),
    });
    await expect(failing).rejects.toEqual(told);
    await expect(failing).rejects.not.toThrow(/100000\.01/);
    const without = recorded.command('run', contract.contract.id);
    await expect(without).rejects.toThrow(/secret weights/);
    const template = await recorded.command('weights', 'template', contract.contract.id);
    expect(template.split('\n').slice(0, 2)).toEqual(['month,visits,cost', '1,0,0']);
  });
});
