/**
 * Who can open a sealed sum, over real processes: everything the gateway has (its directory, its
 * logs, every byte that reached it) goes to an opener without the analyst's key, which fails; the
 * same opener with the key succeeds.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSealedSum } from '../../src/client/sealed-opener.ts';
import { readSealingPublicKeys, type SealingKey } from '../../src/client/sealing-key.ts';
import type { Release } from '../../src/computations/computation.ts';
import { sealedShapeOf } from '../../src/computations/sealed-sum/shape.ts';
import { type Contract, ContractSchema } from '../../src/contracts/contract.ts';
import { DomainConfigSchema } from '../../src/domain/config.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import { decodeBase64url, encodeBase64url } from '../../src/system/base64url.ts';
import type { KeyPair } from '../../src/system/signature-suite.ts';
import { addFrames } from '../../protocols/homomorphic/aggregator.ts';
import { checkSecretKey } from '../../protocols/common/bgv-ciphertext.ts';
import { allocateFrame, type FramePlace } from '../../protocols/homomorphic/messages.ts';
import { sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { type Recording, recordingProxy } from './support/recording-proxy.ts';
import { needlesOf } from './support/canary.ts';

type LocalWeirModule = typeof import('../../src/cli/local-weir.ts');
type ProcessesModule = typeof import('../../src/cli/processes.ts');
type AnalystModule = typeof import('../../src/cli/analyst.ts');
type SealingModule = typeof import('../../src/cli/sealing.ts');
type DirectoriesModule = typeof import('../../src/cli/directories.ts');

const built = async <Module>(name: string): Promise<Module> =>
  (await import(`../../dist/src/cli/${name}.js`)) as Module;

const HOLDERS = ['alpha', 'beta', 'gamma'] as const;
const MONTHS = ['1', '2', '3'];
const PASSPHRASE = 'only the analyst knows';
const GATEWAY_KEYS = /[A-Za-z0-9_-]{43}/g;

/** Costs large enough that their sums would be recognised anywhere. */
const costOf = (holder: number, row: number): number =>
  7_000_000 + ((row * 7919 + holder * 104_729) % 2_000_003);
const ROWS = 90;
const LINK_WAITS_MAX = 400;

let root: string;
let recording: Recording;
let stopAll: () => Promise<void> = async () => undefined;
/** What the analyst's process has in the end. */
let contract: Contract;
let sealed: Release;
let opened: Release;
let analystKeys: KeyPair;
let sealingKey: SealingKey;
let runId: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'weir-sealed-'));
  const { startLocalWeir } = await built<LocalWeirModule>('local-weir');
  const options = {
    directory: root,
    port: 0,
    holders: HOLDERS.map((party, at) => ({
      party,
      name: { zh: party, en: party },
      datasets: [writeDataset(party, at)],
    })),
    analyst: { party: 'analyst', name: { zh: '分析方', en: 'Analyst' } },
    progress: () => undefined,
  };
  await (await startLocalWeir(options)).stop();
  await restartBehindProxy();
  await runOnce();
}, 120_000);

afterAll(async () => {
  await stopAll();
  await recording.close();
  rmSync(root, { recursive: true, force: true });
});

function writeDataset(party: string, at: number): string {
  const directory = join(root, 'data', party);
  mkdirSync(directory, { recursive: true });
  const rows = Array.from({ length: ROWS }, (_, row) => `${MONTHS[row % 3]},${costOf(at, row)}`);
  writeFileSync(join(directory, 'visits.csv'), `month,cost\n${rows.join('\n')}\n`);
  const file = join(directory, 'visits.dataset.json');
  const bounds = { minimum: '0', maximum: '10000000', scale: 0 };
  writeFileSync(
    file,
    JSON.stringify({
      format: 'weir-dataset/1',
      name: 'visits',
      title: { zh: '就诊', en: 'Visits' },
      grade: 'general',
      personalInformation: 'none',
      legalBasis: 'test',
      source: { kind: 'duckdb', format: 'csv', files: ['visits.csv'] },
      partitions: [['month']],
      columns: [
        { name: 'month', type: 'text', usage: ['group', 'filter'], labels: MONTHS },
        { name: 'cost', type: 'integer', usage: ['sum', 'avg', 'var'], bounds },
      ],
    }),
  );
  return file;
}

/** The same directories again, every byte between domains, analyst and gateway kept. */
async function restartBehindProxy(): Promise<void> {
  const { startChild } = await built<ProcessesModule>('processes');
  const { readConfig, writeConfig } = await built<DirectoriesModule>('directories');
  const gateway = await startChild(
    'gateway',
    ['gateway', '--dir', join(root, 'gateway'), '--port', '0'],
    join(root, 'gateway.log'),
  );
  recording = await recordingProxy(Number(new URL(String(gateway.facts['url'])).port));
  const children = [gateway];
  stopAll = async () => {
    for (const child of children.toReversed()) await child.stop();
  };
  for (const party of HOLDERS) {
    const directory = join(root, party);
    const config = readConfig(directory, DomainConfigSchema);
    const url = `http://127.0.0.1:${recording.port}`;
    writeConfig(directory, { ...config, gateway: { ...config.gateway, url } });
    children.push(
      await startChild(party, ['domain', '--dir', directory], join(root, `${party}.log`)),
    );
  }
}

async function runOnce(): Promise<void> {
  const { Analyst } = await built<AnalystModule>('analyst');
  const sealing = await built<SealingModule>('sealing');
  const { adminClient } = await import('../../src/domain/admin-client.ts');
  const directory = join(root, 'analyst');
  writeFileSync(passphraseFile(), `${PASSPHRASE}\n`);
  await weir('sealing-key', '--passphrase-file', passphraseFile());
  const analyst = new Analyst(directory, analystUrl());
  try {
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
    const draftFile = join(root, 'draft.json');
    writeFileSync(draftFile, JSON.stringify({ title, plan, sealed: true }));
    const drafted = ContractSchema.parse(
      JSON.parse(await weir('contract', 'draft', draftFile, '--url', analystUrl())),
    );
    const { hash } = await analyst.propose(drafted);
    for (const party of HOLDERS) {
      const officer = adminClient(join(root, party));
      for (let wait = 0; !(await officer.status()).gateway.connected; wait++) {
        if (wait === LINK_WAITS_MAX) throw new Error(`${party} does not link`);
        await sleep(50);
      }
      await officer.sign(drafted.id, { hash });
    }
    const active = await analyst.untilActive(drafted.id, () => undefined);
    const run = await analyst.run(active, {}, () => undefined);
    runId = run.runId;
    sealingKey = sealing.loadSealingKey(directory, PASSPHRASE);
    contract = active.contract;
    sealed = run.result.release;
    opened = await analyst.openSealed(contract, run, sealingKey);
    analystKeys = keyPairOf(join(directory, 'keys', 'encryption.key'));
  } finally {
    analyst.close();
  }
}

function analystUrl(): string {
  return `http://127.0.0.1:${recording.port}`;
}

function passphraseFile(): string {
  return join(root, 'passphrase');
}

/** The built command, at work in the analyst's directory. */
async function weir(...words: readonly string[]): Promise<string> {
  const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    main,
    ...words,
    '--dir',
    join(root, 'analyst'),
  ]);
  return stdout;
}

function keyPairOf(file: string): KeyPair {
  const { publicKey, secretKey } = JSON.parse(readFileSync(file, 'utf8'));
  return { publicKey: decodeBase64url(publicKey), secretKey: decodeBase64url(secretKey) };
}

/** Everything the gateway has: its files, its log, and all bytes that came to it or went from it. */
function gatewaysBytes(): readonly Buffer[] {
  const files = readdirSync(join(root, 'gateway'), { recursive: true, withFileTypes: true });
  const contents = files
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
  const log = readFileSync(join(root, 'gateway.log'));
  return [...contents, log, ...recording.messages.map(({ bytes }) => bytes)];
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
      openFrames: (task) => pool.run('homomorphic', 'openFramesTask', task),
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
      weir('result', runId, '--url', analystUrl(), '--csv', '--passphrase-file', file);
    const lines = opened.rows.map((row) => row.join(','));
    const csv = ['month,visits,cost', ...lines, ''].join('\r\n');
    expect(await open(passphraseFile())).toBe(csv);
    const wrong = join(root, 'wrong-passphrase');
    writeFileSync(wrong, 'another passphrase');
    await expect(open(wrong)).rejects.toThrow(/passphrase does not open/);
  });

  it('opens from what the gateway has with the analyst’s key, and with no key found at the gateway', async () => {
    const material = gatewaysBytes();
    const release = releaseFrom(material);
    expect(release.rows).toEqual(sealed.rows);
    // The control: the same opener, the same material, with the analyst's keys.
    expect(await openWith(release, analystKeys, sealingKey)).toEqual(opened);

    const texts = material.map((bytes) => bytes.toString('latin1'));
    const found = new Set(texts.flatMap((text) => text.match(GATEWAY_KEYS) ?? []));
    const identity = keyPairOf(join(root, 'gateway', 'keys', 'identity.key'));
    expect(found.has(encodeBase64url(identity.secretKey))).toBe(true);
    expect(found.has(encodeBase64url(analystKeys.secretKey))).toBe(false);
    const guessed = checkSecretKey(sealedSumParameters(0), new Uint8Array(32_768));
    const publicKeys = readSealingPublicKeys(join(root, 'analyst', 'keys', 'sealing'));
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
    const material = gatewaysBytes();
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
