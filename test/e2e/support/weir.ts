/**
 * A whole Weir of real processes out of the build: a gateway and a domain for each holder over
 * small files that the test states, officers that sign, an analyst with keys. Loopback, ports of
 * the system's choice, one temporary directory that goes when it is closed.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatasetRegistration } from '../../../src/catalog/dataset.ts';
import { Analyst, type StatedTerms } from '../../../src/cli/analyst.ts';
import { tokenFileOf } from '../../../src/cli/analyst-config.ts';
import {
  operatorTokenFile,
  readConfig,
  writeConfig,
  writePrivateFile,
} from '../../../src/cli/directories.ts';
import { initAnalyst, initGateway, type PostgresPlace } from '../../../src/cli/init.ts';
import { type AnalystKeys, type PreparedRun, prepareRun } from '../../../src/client/analyst.ts';
import { WeirClient } from '../../../src/client/weir-client.ts';
import type { ContractBody } from '../../../src/contracts/api.ts';
import type { Contract } from '../../../src/contracts/contract.ts';
import type { Arguments, Plan } from '../../../src/contracts/plan.ts';
import { contractHash } from '../../../src/contracts/signed-documents.ts';
import { adminClient } from '../../../src/domain/admin-client.ts';
import type { OfficerActions } from '../../../src/domain/admin-server.ts';
import { DomainConfigSchema } from '../../../src/domain/config.ts';
import { identityKeyFile } from '../../../src/gateway/gateway-state.ts';
import { systemClock } from '../../../src/system/clock.ts';
import { PartyIdSchema } from '../../../src/system/ids.ts';
import { readKeyFile } from '../../../src/system/key-file.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { CONTROLLED, type Program, requireBuild, startProgram, WEIR } from './child.ts';
import { reconfigure, setUpHolder } from './holder-directory.ts';

const POLL_MS = 30;
const PATIENCE_MS = 45_000;

/** A table of one holder: CSV text with a header, kept as it is or as Parquet. */
export interface Table {
  readonly registration: Omit<DatasetRegistration, 'source'>;
  readonly format: 'csv' | 'parquet';
  readonly csv: string;
  /** DuckDB types of columns that Parquet is to have exactly. */
  readonly types?: Readonly<Record<string, string>>;
}

export interface Holder {
  readonly party: string;
  readonly tables: readonly Table[];
}

export interface WeirOptions {
  readonly holders: readonly Holder[];
  /** Programs that can be held and killed at a step, instead of `weir` itself. */
  readonly controlled?: boolean;
  /** Where the gateway keeps its state, unless it is the embedded store. */
  readonly postgres?: PostgresPlace;
  /**
   * The control of the crash tests: a gateway that acknowledges what its file does not have yet.
   * Goes with `controlled`.
   */
  readonly lateStore?: boolean;
  /** Members of the configurations to change. */
  readonly config?: { readonly gateway?: object; readonly domain?: object };
  /** Puts something between the gateway's port and everybody who dials it; answers its port. */
  readonly through?: (port: number) => Promise<number>;
}

/** Where a program's temporary files and crash reports go. */
export function temporaryOf(directory: string, name: string): string {
  return join(directory, 'tmp', name);
}

/** An analyst with its keys. */
export interface TestAnalyst {
  readonly analyst: Analyst;
  readonly keys: AnalystKeys;
}

/** Owns the processes and the directory. */
export class TestWeir {
  readonly directory: string;
  readonly url: string;
  readonly operator: WeirClient;
  readonly analyst: Analyst;
  readonly keys: AnalystKeys;
  readonly parties: readonly string[];
  readonly #options: WeirOptions;
  readonly #programs: Map<string, Program>;

  constructor(
    directory: string,
    options: WeirOptions,
    programs: Map<string, Program>,
    operator: WeirClient,
  ) {
    this.directory = directory;
    this.#options = options;
    this.#programs = programs;
    this.url = String(this.gateway.facts['url']);
    this.operator = operator;
    ({ analyst: this.analyst, keys: this.keys } = openAnalyst(directory, 'analyst'));
    this.parties = options.holders.map((holder) => holder.party);
  }

  get gateway(): Program {
    return this.program('gateway');
  }

  /** The gateway's or a holder's process. */
  program(name: string): Program {
    const found = this.#programs.get(name);
    if (found === undefined) throw new Error(`no program ${name}`);
    return found;
  }

  officer(party: string): OfficerActions {
    return adminClient(join(this.directory, party));
  }

  /** Starts a program that has ended; the gateway on its old port. */
  async start(name: string): Promise<void> {
    const port = Number(new URL(this.url).port);
    this.#programs.set(name, await launch(this.directory, name, port, this.#options));
  }

  /** Starts the gateway anew only for it to be killed at a step of ending what a crash left. */
  async crashWhileStarting(step: string): Promise<void> {
    const port = Number(new URL(this.url).port);
    const starting = launch(this.directory, 'gateway', port, this.#options, [step]);
    const started = await starting.then(
      () => true,
      () => false,
    );
    if (started) throw new Error(`the gateway started without the step ${step}`);
  }

  /** Starts the gateway anew only for it to be killed so soon, whatever it is at. */
  async killWhileStarting(afterMs: number): Promise<void> {
    const port = Number(new URL(this.url).port);
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), afterMs);
    const starting = launch(this.directory, 'gateway', port, this.#options, [], stop.signal);
    const started = await starting.catch(() => undefined);
    clearTimeout(timer);
    await started?.kill();
  }

  /**
   * A further process of the gateway on the same PostgreSQL; every domain is restarted and links to
   * both. The caller closes the operator's client.
   */
  async addGateway(
    instance: string,
  ): Promise<{ readonly url: string; readonly operator: WeirClient }> {
    const { postgres } = this.#options;
    if (postgres === undefined) throw new Error('gateways share a PostgreSQL');
    const directory = join(this.directory, instance);
    const shared = identityKeyFile(join(this.directory, 'gateway'));
    await initGateway({
      directory,
      host: '127.0.0.1',
      port: 0,
      postgres: { ...postgres, instance, identityKeyFile: shared },
    });
    const program = await launch(this.directory, instance, 0, this.#options);
    this.#programs.set(instance, program);
    const url = String(program.facts['url']);
    for (const party of this.parties) {
      const own = join(this.directory, party);
      const config = readConfig(own, DomainConfigSchema);
      writeConfig(own, { ...config, gateway: { ...config.gateway, further: [{ url }] } });
      await this.program(party).stop();
      await this.start(party);
    }
    const token = readFileSync(operatorTokenFile(directory), 'utf8').trim();
    const operator = new WeirClient({ url, token });
    await this.linked(this.parties, operator);
    await this.linked();
    return { url, operator };
  }

  /** Every holder (or those named) is linked, and what it publishes has arrived. */
  async linked(
    parties: readonly string[] = this.parties,
    operator: WeirClient = this.operator,
  ): Promise<void> {
    await eventually('all domains are linked', async () => {
      const { domains } = await operator.domains();
      const up = domains.filter((domain) => domain.connectedSince !== undefined);
      const { datasets } = await this.analyst.client.datasets();
      return parties.every(
        (party) =>
          up.some((domain) => domain.party === party) &&
          datasets.some((dataset) => dataset.holder === party),
      );
    });
  }

  /** One analyst more, whom the caller closes. */
  async addAnalyst(party: string): Promise<TestAnalyst> {
    await setUpAnalyst(this.directory, this.url, this.operator, party);
    return openAnalyst(this.directory, party);
  }

  /** A contract for the plan that everybody has signed; `changes` are made to the draft. */
  async agree(
    plan: Plan,
    stated: Partial<StatedTerms> = {},
    changes: Partial<Contract> = {},
    analyst: Analyst = this.analyst,
  ): Promise<ContractBody> {
    const title = { zh: '测试', en: 'Test' };
    const contract = { ...(await analyst.draft(plan, { title, ...stated })), ...changes };
    await analyst.propose(contract);
    const hash = contractHash(contract);
    await Promise.all(this.parties.map((party) => this.officer(party).sign(contract.id, { hash })));
    return analyst.untilActive(contract.id, () => undefined);
  }

  /** A fresh signed request with its idempotency key. */
  prepare(
    contract: ContractBody,
    args: Arguments = {},
    keys: AnalystKeys = this.keys,
  ): PreparedRun {
    const at = { nowMs: systemClock.now() };
    return prepareRun(contract.contract, args, keys, at, systemRandom);
  }

  /** Ends everything and removes the directory. */
  async close(): Promise<void> {
    this.analyst.close();
    this.operator.close();
    await stopAll(this.#programs);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Starts a Weir; every domain is linked, pinned and published when this resolves. */
export async function startWeir(options: WeirOptions): Promise<TestWeir> {
  requireBuild();
  const directory = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
  const programs = new Map<string, Program>();
  try {
    return await startAll(directory, options, programs);
  } catch (error) {
    await stopAll(programs);
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

async function startAll(
  directory: string,
  options: WeirOptions,
  programs: Map<string, Program>,
): Promise<TestWeir> {
  const gatewayDirectory = join(directory, 'gateway');
  const { postgres } = options;
  await initGateway({
    directory: gatewayDirectory,
    host: '127.0.0.1',
    port: 0,
    ...(postgres === undefined ? {} : { postgres }),
  });
  reconfigure(gatewayDirectory, options.config?.gateway);
  const gateway = await launch(directory, 'gateway', 0, options);
  programs.set('gateway', gateway);
  const own = new URL(String(gateway.facts['url']));
  if (options.through !== undefined) own.port = String(await options.through(Number(own.port)));
  const url = own.origin;
  const token = readFileSync(operatorTokenFile(gatewayDirectory), 'utf8').trim();
  const operator = new WeirClient({ url, token });
  await Promise.all(
    options.holders.map(async (holder) => {
      await setUpHolder(directory, holder, url, operator);
      reconfigure(join(directory, holder.party), options.config?.domain);
      programs.set(holder.party, await launch(directory, holder.party, 0, options));
    }),
  );
  await setUpAnalyst(directory, url, operator, 'analyst');
  const weir = new TestWeir(directory, options, programs, operator);
  await pinEachOther(weir);
  await weir.linked();
  return weir;
}

function launch(
  directory: string,
  name: string,
  port: number,
  options: WeirOptions,
  further: readonly string[] = [],
  signal?: AbortSignal,
): Promise<Program> {
  const own = join(directory, name);
  const log = join(directory, `${name}.log`);
  const role = name.startsWith('gateway') ? 'gateway' : 'domain';
  const temporary = temporaryOf(directory, name);
  mkdirSync(temporary, { recursive: true });
  if (options.controlled === true) {
    const execArgv = [
      '--report-uncaught-exception',
      '--report-on-fatalerror',
      `--report-directory=${temporary}`,
    ];
    const played = role === 'gateway' && options.lateStore === true ? 'late-gateway' : role;
    return startProgram(name, CONTROLLED, [played, own, String(port), ...further], log, {
      execArgv,
      temporary,
      ...(signal === undefined ? {} : { signal }),
    });
  }
  const args = role === 'gateway' ? ['--port', String(port)] : [];
  return startProgram(name, WEIR, [role, '--dir', own, ...args], log, { temporary });
}

/** On one machine the comparison out of band is this. */
async function pinEachOther(weir: TestWeir): Promise<void> {
  const statuses = await Promise.all(weir.parties.map((party) => weir.officer(party).status()));
  for (const own of statuses) {
    for (const { party, publicKey } of statuses) {
      if (party !== own.party) await weir.officer(own.party).trust({ party, publicKey });
    }
  }
}

async function setUpAnalyst(
  directory: string,
  url: string,
  operator: WeirClient,
  id: string,
): Promise<void> {
  const own = join(directory, id);
  const party = PartyIdSchema.parse(id);
  const name = { zh: '分析方', en: 'Analyst' };
  await initAnalyst({ directory: own, party, name, gatewayUrl: url });
  const token = await operator.createToken({
    role: 'analyst',
    party,
    label: 'test',
    ttlS: 30 * 86_400,
  });
  writePrivateFile(tokenFileOf(own), `${token.token}\n`);
}

function openAnalyst(directory: string, party: string): TestAnalyst {
  const own = join(directory, party);
  const keys = {
    signing: readKeyFile(join(own, 'keys', 'identity.key'), 'ed25519'),
    encryption: readKeyFile(join(own, 'keys', 'encryption.key'), 'x25519'),
  };
  return { analyst: new Analyst(own), keys };
}

async function stopAll(programs: ReadonlyMap<string, Program>): Promise<void> {
  const domains = [...programs].filter(([name]) => name !== 'gateway');
  await Promise.all(domains.map(([, program]) => program.stop()));
  await programs.get('gateway')?.stop();
}

/** Polls until `isSo`; what cannot be asked yet is not so yet. */
export async function eventually(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const untilMs = systemClock.monotonic() + PATIENCE_MS;
  let last: unknown;
  while (systemClock.monotonic() < untilMs) {
    try {
      if (await isSo()) return;
    } catch (error) {
      last = error;
    }
    await systemClock.sleep(POLL_MS);
  }
  throw new Error(`It did not come about that ${what}.`, { cause: last });
}
