/**
 * A Weir of three holders of monthly visits, and everything that its gateway ever has: its files, its log,
 * and every byte that came to it or went from it.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Contract } from '../../../src/contracts/contract.ts';
import { contractHash } from '../../../src/contracts/signed-documents.ts';
import { decodeBase64url } from '../../../src/system/base64url.ts';
import type { KeyPair } from '../../../src/system/signature-suite.ts';
import { WEIR } from './child.ts';
import { type Recording, recordingProxy } from './recording-proxy.ts';
import { startWeir, type Table, type TestWeir } from './weir.ts';

const HOLDERS = ['alpha', 'beta', 'gamma'] as const;
export const MONTHS = ['1', '2', '3'];
export const PASSPHRASE = 'only the analyst knows';

/** One visit. */
export interface Visit {
  readonly month: string;
  readonly cost: number;
}

export class RecordedWeir {
  readonly weir: TestWeir;
  readonly #recording: Recording;

  constructor(weir: TestWeir, recording: Recording) {
    this.weir = weir;
    this.#recording = recording;
    writeFileSync(this.passphraseFile, `${PASSPHRASE}\n`);
  }

  /** @param visitsOf - a holder's visits; costs from 0 to 10,000,000. */
  static async open(
    visitsOf: (holder: number) => readonly Visit[],
    months: readonly string[] = MONTHS,
  ): Promise<RecordedWeir> {
    let recording: Recording | undefined;
    const weir = await startWeir({
      holders: HOLDERS.map((party, at) => ({ party, tables: [tableOf(visitsOf(at), months)] })),
      through: async (port) => {
        recording = await recordingProxy(port);
        return recording.port;
      },
    });
    if (recording === undefined) throw new Error('nothing is recorded');
    return new RecordedWeir(weir, recording);
  }

  get root(): string {
    return this.weir.directory;
  }

  /** The analyst's. */
  get directory(): string {
    return join(this.root, 'analyst');
  }

  get passphraseFile(): string {
    return join(this.root, 'passphrase');
  }

  /** The built command, at work in the analyst's directory. */
  async command(...words: readonly string[]): Promise<string> {
    const all = [WEIR, ...words, '--dir', this.directory];
    const { stdout } = await promisify(execFile)(process.execPath, all);
    return stdout;
  }

  /** Proposed by the analyst, signed by every officer. */
  async agree(contract: Contract): Promise<void> {
    const { analyst } = this.weir;
    await analyst.propose(contract);
    const hash = contractHash(contract);
    for (const party of HOLDERS) await this.weir.officer(party).sign(contract.id, { hash });
    await analyst.untilActive(contract.id, () => undefined);
  }

  /** A key pair of a party's directory. */
  keys(...path: readonly string[]): KeyPair {
    const { publicKey, secretKey } = JSON.parse(readFileSync(join(this.root, ...path), 'utf8'));
    return { publicKey: decodeBase64url(publicKey), secretKey: decodeBase64url(secretKey) };
  }

  /** Everything the gateway has. */
  gatewaysBytes(): readonly Buffer[] {
    const directory = join(this.root, 'gateway');
    const files = readdirSync(directory, { recursive: true, withFileTypes: true });
    const contents = files
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    const log = readFileSync(join(this.root, 'gateway.log'));
    return [...contents, log, ...this.#recording.messages.map(({ bytes }) => bytes)];
  }

  async close(): Promise<void> {
    await this.weir.close();
    await this.#recording.close();
  }
}

function tableOf(visits: readonly Visit[], months: readonly string[]): Table {
  const bounds = { minimum: '0', maximum: '10000000', scale: 0 };
  return {
    registration: {
      format: 'weir-dataset/1',
      name: 'visits',
      title: { zh: '就诊', en: 'Visits' },
      grade: 'general',
      personalInformation: 'none',
      legalBasis: 'test',
      partitions: [['month']],
      columns: [
        { name: 'month', type: 'text', usage: ['group', 'filter'], labels: [...months] },
        { name: 'cost', type: 'integer', usage: ['sum', 'avg', 'var'], bounds },
      ],
    },
    format: 'csv',
    csv: ['month,cost', ...visits.map(({ month, cost }) => `${month},${cost}`), ''].join('\n'),
  };
}
