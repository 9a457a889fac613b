/**
 * Who can open a sealed sum, over real processes: everything the gateway has (its directory, its
 * logs, every byte that reached it) goes to an opener without the analyst's key, which fails; the
 * same opener with the key succeeds.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSealingKey } from '../../src/cli/sealing.ts';
import { openSealedSum } from '../../src/client/sealed-opener.ts';
import { readSealingPublicKeys, type SealingKey } from '../../src/client/sealing-key.ts';
import type { Release } from '../../src/computations/computation.ts';
import { sealedShapeOf } from '../../src/computations/sealed-sum/shape.ts';
import { type Contract, ContractSchema } from '../../src/contracts/contract.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import type { KeyPair } from '../../src/system/signature-suite.ts';
import { addFrames } from '../../protocols/homomorphic/aggregator.ts';
import { checkSecretKey } from '../../protocols/common/bgv-ciphertext.ts';
import { allocateFrame, type FramePlace } from '../../protocols/homomorphic/messages.ts';
import { sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { needlesOf } from './support/canary.ts';
import { MONTHS, PASSPHRASE, RecordedWeir } from './support/recorded-weir.ts';

const GATEWAY_KEYS = /[A-Za-z0-9_-]{43}/g;

/** Costs large enough that their sums would be recognised anywhere. */
const costOf = (holder: number, row: number): number =>
  7_000_000 + ((row * 7919 + holder * 104_729) % 2_000_003);
const ROWS = 90;

let recorded: RecordedWeir;
/** What the analyst's process has in the end. */
let contract: Contract;
let sealed: Release;
let opened: Release;
let analystKeys: KeyPair;
let sealingKey: SealingKey;
let runId: string;

beforeAll(async () => {
  recorded = await RecordedWeir.open((holder) =>
    Array.from({ length: ROWS }, (_, row) => ({
      month: MONTHS[row % 3] ?? '',
      cost: costOf(holder, row),
    })),
  );
  await runOnce();
}, 120_000);

afterAll(() => recorded.close());

async function runOnce(): Promise<void> {
  await weir('sealing-key', '--passphrase-file', recorded.passphraseFile);
  const title = { zh: '每月费用', en: 'Cost by month' };
  const plan = {
    kind: 'aggregate' as const,
    table: 'visits',
    groups: [{ column: 'month' }],
    measures: [
      { as: 'visits', fn: 'count' as const },
      { as: 'cost', fn: 'sum' as const, column: 'cost' },
    ],
    select: [],
  };
  const draftFile = join(recorded.root, 'draft.json');
  writeFileSync(draftFile, JSON.stringify({ title, plan, sealed: true }));
  const drafted = ContractSchema.parse(JSON.parse(await weir('contract', 'draft', draftFile)));
  await recorded.agree(drafted);
  const { analyst } = recorded.weir;
  const active = await analyst.client.contract(drafted.id);
  const run = await analyst.run(active, {}, () => undefined);
  runId = run.runId;
  sealingKey = loadSealingKey(recorded.directory, PASSPHRASE);
  contract = active.contract;
  sealed = run.result.release;
  opened = await analyst.openSealed(contract, run, sealingKey);
  analystKeys = recorded.keys('analyst', 'keys', 'encryption.key');
}

function weir(...words: readonly string[]): Promise<string> {
  return recorded.command(...words);
}

/** The release as whoever recorded the gateway's inputs puts it together: statement, frames, sums. */
function releaseFrom(material: readonly Buffer[]): Release {
  const shape = sealedShapeOf(contract, {});
  const statement = material
    .map((bytes) => /\{"statement":\{.*?\}\s*,"jws":"[^"]+"\}/.exec(bytes.toString('latin1'))?.[0])
    .find((text) => text !== undefined);
  const frames = shape.places.map((place) =>
    encodeBase64url(addFrames(place, framesAt(place, material))),
  );
  const descriptor = String(sealed.rows[1]?.[0]);
  const rows = [String(statement), descriptor, ...frames].map((text) => [text]);
  return { ...sealed, rows };
}

function framesAt(place: FramePlace, material: readonly Buffer[]): Uint8Array[] {
  const empty = allocateFrame(place);
  const header = Buffer.from(empty.subarray(0, 64));
  return material.flatMap((bytes) => {
    const at = bytes.indexOf(header);
    return at < 0 ? [] : [new Uint8Array(bytes.subarray(at, at + empty.length))];
  });
}

async function openWith(release: Release, keys: KeyPair, key: SealingKey): Promise<Release> {
  const pool = openPool({ threadsMax: 1 });
  try {
    return await openSealedSum(release, {
      contract,
      recipient: keys,
      sealingKey: key,
      openFrames: (task) =>
        pool.run('homomorphic', 'openFramesTask', task, { transfer: [task.secretKey.buffer] }),
    });
  } finally {
    await pool.close();
  }
}

describe('a sealed sum between real processes', () => {
  it('gives the analyst the exact sums', () => {
    const expected = MONTHS.map((month, at) => {
      let sum = 0;
      for (let row = at; row < ROWS; row += 3)
        for (const holder of [0, 1, 2]) sum += costOf(holder, row);
      return [month, ROWS, String(sum)];
    });
    expect(opened.rows).toEqual(expected);
  });

  it('is opened by the command with the key’s passphrase alone', async () => {
    const open = (file: string): Promise<string> =>
      weir('result', runId, '--csv', '--passphrase-file', file);
    const lines = opened.rows.map((row) => row.join(','));
    const csv = ['month,visits,cost', ...lines, ''].join('\r\n');
    expect(await open(recorded.passphraseFile)).toBe(csv);
    const wrong = join(recorded.root, 'wrong-passphrase');
    writeFileSync(wrong, 'another passphrase');
    await expect(open(wrong)).rejects.toThrow(/passphrase does not open/);
  });

  it('opens from what the gateway has with the analyst’s key, and with no key found at the gateway', async () => {
    const material = recorded.gatewaysBytes();
    const release = releaseFrom(material);
    expect(release.rows).toEqual(sealed.rows);
    // The control: the same opener, the same material, with the analyst's keys.
    expect(await openWith(release, analystKeys, sealingKey)).toEqual(opened);

    const texts = material.map((bytes) => bytes.toString('latin1'));
    const found = new Set(texts.flatMap((text) => text.match(GATEWAY_KEYS) ?? []));
    const identity = recorded.keys('gateway', 'keys', 'identity.key');
    expect(found.has(encodeBase64url(identity.secretKey))).toBe(true);
    expect(found.has(encodeBase64url(analystKeys.secretKey))).toBe(false);
    const guessed = checkSecretKey(sealedSumParameters(0), new Uint8Array(32_768));
    const publicKeys = readSealingPublicKeys(join(recorded.directory, 'keys', 'sealing'));
    const failed = expect.objectContaining({ code: 'decryption-failed' });
    const candidates = [...found].slice(0, 200).map((text) => Buffer.from(text, 'base64url'));
    for (const candidate of [identity.secretKey, ...candidates]) {
      if (candidate.length !== 32) continue;
      const keys = { publicKey: analystKeys.publicKey, secretKey: new Uint8Array(candidate) };
      const attempt = openWith(release, keys, { publicKeys, secretKey: guessed });
      await expect(attempt).rejects.toThrow(failed);
    }
    // Not even the analyst's key for results is enough: sums have a key of their own.
    const half = openWith(release, analystKeys, { publicKeys, secretKey: guessed });
    await expect(half).rejects.toThrow(failed);
  });

  it('leaves no sum and no secret key at the gateway, in any encoding', () => {
    const material = recorded.gatewaysBytes();
    const holds = (bytes: Buffer): boolean => material.some((each) => each.includes(bytes));
    for (const [, , sum] of opened.rows) {
      for (const { bytes } of needlesOf(BigInt(String(sum)))) {
        if (bytes.length >= 5) expect(holds(bytes)).toBe(false);
      }
    }
    const secret = Buffer.from(sealingKey.secretKey);
    expect(holds(secret.subarray(1000, 1016))).toBe(false);
    // The control: the search finds what does pass through the gateway.
    const bundle = Buffer.from(
      contract.protocol.name === 'sealed-sum' ? contract.protocol.sealingKey : '',
    );
    expect(holds(bundle.subarray(1000, 1032))).toBe(true);
    const frame = Buffer.from(String(sealed.rows[2]?.[0]), 'base64url');
    expect(holds(frame.subarray(0, 64))).toBe(true);
  });
});
