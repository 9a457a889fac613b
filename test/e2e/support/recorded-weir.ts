/**
 * A Weir of real processes, every byte between gateway, domains and analyst recorded: for tests of
 * what the gateway could make of all it has.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DomainConfigSchema } from '../../../src/domain/config.ts';
import type { Contract } from '../../../src/contracts/contract.ts';
import { decodeBase64url } from '../../../src/system/base64url.ts';
import type { KeyPair } from '../../../src/system/signature-suite.ts';
import { type Recording, recordingProxy } from './recording-proxy.ts';

type LocalWeirModule = typeof import('../../../src/cli/local-weir.ts');
type ProcessesModule = typeof import('../../../src/cli/processes.ts');
type AnalystModule = typeof import('../../../src/cli/analyst.ts');
type DirectoriesModule = typeof import('../../../src/cli/directories.ts');

/** A module of the built command. */
export const built = async <Module>(name: string): Promise<Module> =>
  (await import(`../../../dist/src/cli/${name}.js`)) as Module;

export const HOLDERS = ['alpha', 'beta', 'gamma'] as const;
export const MONTHS = ['1', '2', '3'];
export const PASSPHRASE = 'only the analyst knows';
const LINK_WAITS_MAX = 400;

/** One visit. */
export interface Visit {
  readonly month: string;
  readonly cost: number;
}

export class RecordedWeir {
  readonly root: string;
  #recording: Recording | undefined;
  #stop: () => Promise<void> = async () => undefined;

  constructor(root: string) {
    this.root = root;
  }

  /** @param visitsOf - a holder's visits; costs from 0 to 10,000,000. */
  static async open(
    visitsOf: (holder: number) => readonly Visit[],
    months: readonly string[] = MONTHS,
  ): Promise<RecordedWeir> {
    const root = mkdtempSync(join(tmpdir(), 'weir-recorded-'));
    const weir = new RecordedWeir(root);
    const { startLocalWeir } = await built<LocalWeirModule>('local-weir');
    const local = await startLocalWeir({
      directory: root,
      port: 0,
      holders: HOLDERS.map((party, at) => ({
        party,
        name: { zh: party, en: party },
        datasets: [writeDataset(root, party, visitsOf(at), months)],
      })),
      analyst: { party: 'analyst', name: { zh: '分析方', en: 'Analyst' } },
      progress: () => undefined,
    });
    await local.stop();
    await weir.#restartBehindProxy();
    writeFileSync(weir.passphraseFile, `${PASSPHRASE}\n`);
    return weir;
  }

  get url(): string {
    return `http://127.0.0.1:${this.recording.port}`;
  }

  get recording(): Recording {
    if (this.#recording === undefined) throw new Error('nothing is recorded yet');
    return this.#recording;
  }

  get directory(): string {
    return join(this.root, 'analyst');
  }

  get passphraseFile(): string {
    return join(this.root, 'passphrase');
  }

  /** The built command, at work in the analyst's directory. */
  async weir(...words: readonly string[]): Promise<string> {
    const main = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url));
    const all = [main, ...words, '--dir', this.directory];
    const { stdout } = await promisify(execFile)(process.execPath, all);
    return stdout;
  }

  /** Proposed by the analyst, signed by every officer. */
  async agree(contract: Contract): Promise<void> {
    const { Analyst } = await built<AnalystModule>('analyst');
    const { adminClient } = await import('../../../src/domain/admin-client.ts');
    const analyst = new Analyst(this.directory, this.url);
    try {
      const { hash } = await analyst.propose(contract);
      for (const party of HOLDERS) {
        const officer = adminClient(join(this.root, party));
        for (let wait = 0; !(await officer.status()).gateway.connected; wait++) {
          if (wait === LINK_WAITS_MAX) throw new Error(`${party} does not link`);
          await sleep(50);
        }
        await officer.sign(contract.id, { hash });
      }
      await analyst.untilActive(contract.id, () => undefined);
    } finally {
      analyst.close();
    }
  }

  /** A key pair of a party's directory. */
  keys(...path: readonly string[]): KeyPair {
    const { publicKey, secretKey } = JSON.parse(readFileSync(join(this.root, ...path), 'utf8'));
    return { publicKey: decodeBase64url(publicKey), secretKey: decodeBase64url(secretKey) };
  }

  /** Everything the gateway has: its files, its log, and all bytes that came to it or went from it. */
  gatewaysBytes(): readonly Buffer[] {
    const directory = join(this.root, 'gateway');
    const files = readdirSync(directory, { recursive: true, withFileTypes: true });
    const contents = files
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    const log = readFileSync(join(this.root, 'gateway.log'));
    return [...contents, log, ...this.recording.messages.map(({ bytes }) => bytes)];
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#recording?.close();
    rmSync(this.root, { recursive: true, force: true });
  }

  /** The same directories again, every byte between domains, analyst and gateway kept. */
  async #restartBehindProxy(): Promise<void> {
    const { startChild } = await built<ProcessesModule>('processes');
    const { readConfig, writeConfig } = await built<DirectoriesModule>('directories');
    const gateway = await startChild(
      'gateway',
      ['gateway', '--dir', join(this.root, 'gateway'), '--port', '0'],
      join(this.root, 'gateway.log'),
    );
    const children = [gateway];
    this.#stop = async () => {
      for (const child of children.toReversed()) await child.stop();
    };
    this.#recording = await recordingProxy(Number(new URL(String(gateway.facts['url'])).port));
    for (const party of HOLDERS) {
      const directory = join(this.root, party);
      const config = readConfig(directory, DomainConfigSchema);
      writeConfig(directory, { ...config, gateway: { ...config.gateway, url: this.url } });
      const log = join(this.root, `${party}.log`);
      children.push(await startChild(party, ['domain', '--dir', directory], log));
    }
  }
}

function writeDataset(
  root: string,
  party: string,
  visits: readonly Visit[],
  months: readonly string[],
): string {
  const directory = join(root, 'data', party);
  mkdirSync(directory, { recursive: true });
  const rows = visits.map(({ month, cost }) => `${month},${cost}`);
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
        { name: 'month', type: 'text', usage: ['group', 'filter'], labels: months },
        { name: 'cost', type: 'integer', usage: ['sum', 'avg', 'var'], bounds },
      ],
    }),
  );
  return file;
}
