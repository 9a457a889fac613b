/**
 * A whole Weir on one machine: a gateway and its domains as child processes, each with its own
 * directory, keys and embedded store. What `weir up` runs, and what the end-to-end tests drive.
 */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { WeirClient } from '../client/weir-client.ts';
import { adminClient } from '../domain/admin-client.ts';
import { DomainConfigSchema } from '../domain/config.ts';
import type { OfficerActions } from '../domain/admin-server.ts';
import { PartyIdSchema, type PartyId } from '../system/ids.ts';
import { initAnalyst, initDomain, initGateway } from './init.ts';
import { readConfig, writeConfig, writePrivateFile, operatorTokenFile } from './directories.ts';
import { AnalystConfigSchema, tokenFileOf } from './analyst-config.ts';
import { type Child, startChild } from './processes.ts';

const ANALYST_TOKEN_TTL_S = 30 * 86_400;
const ENROLMENT_TTL_S = 3600;

export interface HolderSetup {
  readonly party: string;
  readonly name: { readonly zh: string; readonly en: string };
  /** Dataset registrations, absolute paths. */
  readonly datasets: readonly string[];
}

export interface LocalOptions {
  readonly directory: string;
  readonly port: number;
  readonly holders: readonly HolderSetup[];
  readonly analyst: { readonly party: string; readonly name: { zh: string; en: string } };
  progress(text: string): void;
}

export interface LocalWeir {
  readonly url: string;
  readonly gateway: Child;
  readonly domains: ReadonlyMap<
    PartyId,
    { readonly child: Child; readonly officer: OfficerActions }
  >;
  readonly analystDirectory: string;
  readonly operatorToken: string;
  /** Children first asked, then made to end; domains before the gateway. */
  stop(): Promise<void>;
}

/** Starts everything; what exists in the directory is used again. */
export async function startLocalWeir(options: LocalOptions): Promise<LocalWeir> {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const started: Child[] = [];
  const stop = async (): Promise<void> => {
    for (const child of started.toReversed()) await child.stop();
  };
  try {
    return await startAll(options, started, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startAll(
  options: LocalOptions,
  started: Child[],
  stop: () => Promise<void>,
): Promise<LocalWeir> {
  const { directory } = options;
  const gatewayDirectory = join(directory, 'gateway');
  if (!existsSync(join(gatewayDirectory, 'config.json'))) {
    await initGateway({ directory: gatewayDirectory, host: '127.0.0.1', port: options.port });
  }
  options.progress('Starting the gateway …');
  const gateway = await startChild(
    'gateway',
    ['gateway', '--dir', gatewayDirectory, '--port', String(options.port)],
    join(directory, 'gateway.log'),
  );
  started.push(gateway);
  const url = String(gateway.facts['url']);
  const operatorToken = readFileSync(operatorTokenFile(gatewayDirectory), 'utf8').trim();
  const operator = new WeirClient({ url, token: operatorToken });

  for (const holder of options.holders) await setUpHolder(options, holder, url, operator);
  const domains = new Map<PartyId, { child: Child; officer: OfficerActions }>();
  for (const holder of options.holders) {
    options.progress(`Starting the domain of ${holder.party} …`);
    const domainDirectory = join(directory, holder.party);
    const child = await startChild(
      `domain ${holder.party}`,
      ['domain', '--dir', domainDirectory],
      join(directory, `${holder.party}.log`),
    );
    started.push(child);
    domains.set(PartyIdSchema.parse(holder.party), {
      child,
      officer: adminClient(domainDirectory),
    });
  }
  await pinEachOther(domains);
  const analystDirectory = await setUpAnalyst(options, url, operator);
  return { url, gateway, domains, analystDirectory, operatorToken, stop };
}

async function setUpHolder(
  options: LocalOptions,
  holder: HolderSetup,
  url: string,
  operator: WeirClient,
): Promise<void> {
  const directory = join(options.directory, holder.party);
  if (existsSync(join(directory, 'config.json'))) {
    // The port may have changed since the last start.
    const config = readConfig(directory, DomainConfigSchema);
    writeConfig(directory, {
      ...config,
      gateway: { ...config.gateway, url },
      datasets: [...holder.datasets],
    });
    return;
  }
  options.progress(`Enrolling ${holder.party} …`);
  const party = PartyIdSchema.parse(holder.party);
  const enrolment = await operator.createEnrolmentToken({ party, ttlS: ENROLMENT_TTL_S });
  await initDomain({
    directory,
    party: holder.party,
    name: holder.name,
    gatewayUrl: url,
    token: enrolment.token,
    datasets: holder.datasets,
  });
}

/** On one machine the out-of-band comparison of keys is this: each officer reads the others' own. */
async function pinEachOther(
  domains: ReadonlyMap<PartyId, { readonly officer: OfficerActions }>,
): Promise<void> {
  const statuses = await Promise.all([...domains.values()].map(({ officer }) => officer.status()));
  for (const { officer } of domains.values()) {
    const own = await officer.status();
    const known = new Set(own.pins.map((pin) => pin.party));
    for (const { party, publicKey } of statuses) {
      if (party !== own.party && !known.has(party)) await officer.trust({ party, publicKey });
    }
  }
}

async function setUpAnalyst(
  options: LocalOptions,
  url: string,
  operator: WeirClient,
): Promise<string> {
  const directory = join(options.directory, options.analyst.party);
  const party = PartyIdSchema.parse(options.analyst.party);
  if (!existsSync(join(directory, 'config.json'))) {
    await initAnalyst({ directory, party, name: options.analyst.name, gatewayUrl: url });
  } else {
    // The port may have changed since the last start.
    const config = readConfig(directory, AnalystConfigSchema);
    writeConfig(directory, { ...config, gateway: { ...config.gateway, url } });
  }
  if (isTokenDue(tokenFileOf(directory), Date.now())) {
    const token = await operator.createToken({
      role: 'analyst',
      party,
      label: 'weir up',
      ttlS: ANALYST_TOKEN_TTL_S,
    });
    writePrivateFile(tokenFileOf(directory), `${token.token}\n`);
  }
  return directory;
}

/** Where none was written yet, or the one there has lived through half its life: it will end one day. */
export function isTokenDue(file: string, nowMs: number): boolean {
  const madeMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return madeMs === undefined || nowMs - madeMs > (ANALYST_TOKEN_TTL_S * 1000) / 2;
}
