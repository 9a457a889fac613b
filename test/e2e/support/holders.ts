/** Holders with small data in directories of their own, and their real domains in this process. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMPUTATIONS } from '../../../src/computations/registry.ts';
import type { DisclosureStage } from '../../../src/disclosure/stage.ts';
import { DISCLOSURE_STAGES } from '../../../src/disclosure/stages.ts';
import { DomainConfigSchema } from '../../../src/domain/config.ts';
import { openDomain, type Domain } from '../../../src/domain/domain-process.ts';
import { encodeBase64url } from '../../../src/system/base64url.ts';
import { type Clock, systemClock } from '../../../src/system/clock.ts';
import type { PartyId } from '../../../src/system/ids.ts';
import { createKeyFile } from '../../../src/system/key-file.ts';
import { createLog } from '../../../src/system/log.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { eddsaSuite, type KeyPair } from '../../../src/system/signature-suite.ts';

/** The published labels of the group column; anything else goes to `(other)`. */
export const REGIONS = ['north', 'south', 'tiny'] as const;

export interface StayRow {
  readonly region: string;
  readonly amount: bigint;
}

/** The registration of a table `stays` that lies next to it. */
export function staysRegistration(
  file: string,
  bounds: { readonly minimum: string; readonly maximum: string },
): object {
  return {
    format: 'weir-dataset/1',
    name: 'stays',
    title: { zh: '住院', en: 'Stays' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Test data',
    source: { kind: 'duckdb', format: file.endsWith('.csv') ? 'csv' : 'parquet', files: [file] },
    partitions: [['region']],
    columns: [
      { name: 'region', type: 'text', usage: ['group', 'filter'], labels: REGIONS },
      {
        name: 'amount',
        type: 'integer',
        usage: ['sum', 'avg', 'var'],
        bounds: { ...bounds, scale: 0 },
      },
      { name: 'note', type: 'text', usage: [] },
    ],
  };
}

export function writeStays(directory: string, rows: readonly StayRow[]): string {
  mkdirSync(directory, { recursive: true });
  const lines = rows.map(({ region, amount }, index) => `${region},${amount},note ${index}`);
  writeFileSync(join(directory, 'stays.csv'), ['region,amount,note', ...lines, ''].join('\n'));
  const registration = staysRegistration('stays.csv', { minimum: '-1000000', maximum: '1000000' });
  const path = join(directory, 'stays.dataset.json');
  writeFileSync(path, JSON.stringify(registration));
  return path;
}

export interface HolderSetup {
  /** The usual ones, unless a control has this defence off. */
  readonly stages?: readonly DisclosureStage[];
  readonly party: PartyId;
  readonly directory: string;
  readonly gatewayUrl: string;
  readonly gatewayKey: Uint8Array;
  readonly rows: readonly StayRow[];
  readonly keys: ReadonlyMap<PartyId, KeyPair>;
  /** The machine's unless stated. */
  readonly clock?: Clock | undefined;
  /** Another table in the place of the stays, with its registration. */
  readonly table?: HolderTable | undefined;
  /** Members of the domain's configuration. */
  readonly config?: object | undefined;
}

export interface HolderTable {
  readonly csv: string;
  readonly registration: object;
}

/** Where a holder's table lies. */
export function tableFile(directory: string): string {
  return join(directory, 'data', 'stays.csv');
}

function writeTable(directory: string, { csv, registration }: HolderTable): string {
  mkdirSync(join(directory, 'data'), { recursive: true });
  writeFileSync(tableFile(directory), csv);
  const path = join(directory, 'data', 'stays.dataset.json');
  writeFileSync(path, JSON.stringify(registration));
  return path;
}

/** A domain's directory as after enrolment and pinning, without a gateway to do either with. */
export function makeHolderDirectory(setup: HolderSetup): void {
  const { party, directory, keys } = setup;
  for (const name of ['keys', 'state']) mkdirSync(join(directory, name), { recursive: true });
  const own = keys.get(party) ?? eddsaSuite.generate(systemRandom);
  createKeyFile(join(directory, 'keys', 'identity.key'), 'ed25519', own);
  const pins = [...keys].filter(([id]) => id !== party);
  writeFileSync(
    join(directory, 'pins.json'),
    JSON.stringify({
      format: 'weir-pins/1',
      holders: pins.map(([id, pair]) => ({ id, signKey: encodeBase64url(pair.publicKey) })),
      gateways: [],
    }),
  );
}

export interface OpenHolder {
  readonly party: PartyId;
  readonly domain: Domain;
  /** Every line the domain logged, as objects. */
  readonly log: readonly Record<string, unknown>[];
  /** The code that each run ended with here, in order. */
  endCodes(): readonly string[];
}

export async function openHolder(setup: HolderSetup): Promise<OpenHolder> {
  const { party, directory } = setup;
  const lines: Record<string, unknown>[] = [];
  const domain = await openDomain({
    directory,
    config: DomainConfigSchema.parse({
      format: 'weir-domain/1',
      party,
      name: { zh: party, en: party },
      gateway: { url: setup.gatewayUrl, publicKey: encodeBase64url(setup.gatewayKey) },
      datasets: [
        setup.table === undefined
          ? writeStays(join(directory, 'data'), setup.rows)
          : writeTable(directory, setup.table),
      ],
      limits: { threads: 1, memoryMiB: 128, spillMiB: 64, statementMs: 20_000 },
      workers: 1,
      ...setup.config,
    }),
    computations: COMPUTATIONS,
    stages: setup.stages ?? DISCLOSURE_STAGES,
    clock: setup.clock ?? systemClock,
    random: systemRandom,
    log: createLog({
      level: 'debug',
      name: party,
      destination: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
    }),
  });
  const endCodes = (): string[] =>
    lines
      .filter((line) => line['msg'] === 'run ended here without a result')
      .map((line) => (typeof line['code'] === 'string' ? line['code'] : 'internal'));
  return { party, domain, log: lines, endCodes };
}
