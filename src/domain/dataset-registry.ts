/** The datasets a domain has registered, each with its source and what is published of it. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { checkPlan } from '../catalog/check-plan.ts';
import type { AnonymityExaminer } from '../catalog/anonymity.ts';
import type { DataSource } from '../catalog/data-source.ts';
import type { DatasetRegistration, Grade } from '../catalog/dataset.ts';
import { type PublishedDataset, publishedOf, type PublishingDomain } from '../catalog/published.ts';
import { regradeHash, type SignedRegrade, verifyRegrade } from '../catalog/regrade.ts';
import { errorOfCode, SetupError, WeirError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { EngineLimits } from './sources/engine-limits.ts';
import { type DuckDbSourceOptions, openDuckDbSource } from './sources/duckdb-source.ts';
import { openPostgresSource } from './sources/postgres-source.ts';
import { readRegistration } from './registration-file.ts';
import type { RegradeBook } from './regrades.ts';
import type { OwnDataset } from './verify-run.ts';

/** A dataset as it is now. */
export interface RegisteredDataset extends OwnDataset {
  readonly published: PublishedDataset;
  /** What the registration says; the published grade is lower where a decision regrades it. */
  readonly registeredGrade: Grade;
  readonly source: DatasetSource;
}

export type DatasetSource = DataSource & AnonymityExaminer;

export interface DatasetRegistry {
  /** The dataset under this name with its version of this moment; undefined where none is registered. */
  current(name: string): Promise<RegisteredDataset | undefined>;
  all(): Promise<readonly RegisteredDataset[]>;
  close(): Promise<void>;
}

export interface RegistryOptions {
  /** Registration files. */
  readonly files: readonly string[];
  readonly stateDirectory: string;
  readonly domain: PublishingDomain;
  readonly limits: EngineLimits;
  readonly clock: Clock;
  readonly regrades: Pick<RegradeBook, 'of'>;
  /** The holder's own key, which its decisions are signed with. */
  readonly publicKey: Uint8Array;
}

interface Entry {
  readonly registration: DatasetRegistration;
  readonly source: DatasetSource;
}

/**
 * Opens every registered dataset.
 * @throws SetupError `config-invalid`, `source-missing`, `source-unreadable`, a sentence each.
 */
export async function openDatasetRegistry(options: RegistryOptions): Promise<DatasetRegistry> {
  const entries = new Map<string, Entry>();
  const close = async (): Promise<void> => {
    for (const { source } of entries.values()) await source.close();
  };
  try {
    for (const file of options.files) {
      const registration = readRegistration(file);
      if (entries.has(registration.name)) throw nameTaken(registration.name, file);
      const source = await openSource(file, registration, options);
      entries.set(registration.name, { registration, source });
    }
  } catch (error) {
    await close();
    throw error;
  }
  const current = async (name: string): Promise<RegisteredDataset | undefined> => {
    const entry = entries.get(name);
    return entry === undefined ? undefined : describe(entry, options);
  };
  return {
    current,
    all: () => Promise.all([...entries.values()].map((entry) => describe(entry, options))),
    close,
  };
}

/**
 * Opens a dataset once, as the next start would, and closes it: one that cannot be opened keeps the
 * whole domain from starting. Touches nothing of a domain that runs meanwhile.
 * @param others - the registrations that are served already.
 * @throws SetupError as `openDatasetRegistry`
 */
export async function tryRegistration(
  file: string,
  others: readonly string[],
  options: Pick<RegistryOptions, 'stateDirectory' | 'limits'>,
): Promise<void> {
  const registration = readRegistration(file);
  const isSame = (other: string): boolean =>
    resolve(other) !== resolve(file) && nameIn(other) === registration.name;
  if (others.some(isSame)) throw nameTaken(registration.name, file);
  await mkdir(options.stateDirectory, { recursive: true, mode: 0o700 });
  const stateDirectory = await mkdtemp(join(options.stateDirectory, 'try-'));
  try {
    const source = await openSource(file, registration, { ...options, stateDirectory });
    await source.close();
  } finally {
    await rm(stateDirectory, { recursive: true, force: true });
  }
}

/** Undefined for one that no start accepts: that one is not to be judged here. */
function nameIn(file: string): string | undefined {
  try {
    return readRegistration(file).name;
  } catch (error) {
    if (error instanceof SetupError) return undefined;
    throw error;
  }
}

function nameTaken(name: string, file: string): SetupError {
  return new SetupError('config-invalid', `Two registrations name the dataset ${name}.`, {
    path: file,
    remedy: `Give the one in ${file} another name.`,
  });
}

/** A source that does not open is told with its dataset and registration. */
async function openSource(
  file: string,
  registration: DatasetRegistration,
  { stateDirectory, limits }: Pick<RegistryOptions, 'stateDirectory' | 'limits'>,
): Promise<DatasetSource> {
  const { name, source } = registration;
  const options: DuckDbSourceOptions = {
    registration,
    directory: dirname(resolve(file)),
    spillDirectory: join(stateDirectory, 'spill', name),
    limits,
  };
  try {
    return await (source.kind === 'duckdb' ? openDuckDbSource : openPostgresSource)(options);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw errorOfCode(error.code, `Dataset ${name} (${file}): ${error.message}`, error.facts);
  }
}

async function describe(
  { registration, source }: Entry,
  { domain, clock, regrades, publicKey }: RegistryOptions,
): Promise<RegisteredDataset> {
  const description = await source.describe();
  const publishedAt = new Date(clock.now()).toISOString();
  const graded = publishedOf(registration, description, domain, publishedAt);
  const decision = graded.grade === 'important' ? await regrades.of(graded.name) : undefined;
  const published = decision === undefined ? graded : regraded(graded, decision, publicKey);
  return {
    name: registration.name,
    fingerprint: published.fingerprint,
    rowCount: description.rowCount,
    published,
    registeredGrade: registration.grade,
    source,
    checkPlan: (contract) => checkPlan(contract, [published], [domain.holder]),
  };
}

/** General where the decision is about this very version; as registered otherwise. */
function regraded(
  published: PublishedDataset,
  signed: SignedRegrade,
  publicKey: Uint8Array,
): PublishedDataset {
  try {
    const decision = verifyRegrade(signed, published, publicKey);
    const anonymisationAssessment = `regrade ${regradeHash(decision)}`;
    return { ...published, grade: 'general', anonymisationAssessment };
  } catch (error) {
    // Another version, or a decision that does not hold: the stricter grade stands.
    if (error instanceof WeirError) return published;
    throw error;
  }
}
