/** An analyst's sealing key: made once in its directory, its secret half under a passphrase. */
import { existsSync, readFileSync } from 'node:fs';
import {
  createSealingKey,
  readSealingKey,
  readSealingPublicKeys,
  type SealingKey,
  sealingKeyText,
} from '../client/sealing-key.ts';
import type { FinishedRun } from '../client/analyst.ts';
import { releaseKindOf } from '../client/release-kind.ts';
import type { Release } from '../computations/computation.ts';
import { residuesNeeded } from '../computations/sealed-sum/shape.ts';
import { type Contract, ContractSchema } from '../contracts/contract.ts';
import { SetupError } from '../errors.ts';
import { openPool } from '../pool/piscina-pool.ts';
import { systemRandom } from '../system/random.ts';
import type { SealingKeys } from '../../protocols/homomorphic/keys.ts';
import { RESIDUES_MAX } from '../../protocols/homomorphic/params.ts';
import type { Analyst } from './analyst.ts';
import { keyDirectory } from './directories.ts';

/** The passphrase may come by the environment, never by the command line, which others can list. */
export const PASSPHRASE_VARIABLE = 'WEIR_SEALING_PASSPHRASE';

function sealingDirectory(directory: string): string {
  return keyDirectory(directory, 'sealing');
}

export function hasSealingKey(directory: string): boolean {
  return existsSync(sealingDirectory(directory));
}

/** @throws SetupError `config-missing` where neither file nor environment gives a passphrase. */
export function passphraseFrom(file: string | undefined): string {
  const text = file === undefined ? process.env[PASSPHRASE_VARIABLE] : readPassphrase(file);
  if (text !== undefined && text !== '') return text;
  throw new SetupError('config-missing', 'The sealing key’s passphrase is needed.', {
    remedy: `Name a file with --passphrase-file, or set ${PASSPHRASE_VARIABLE}.`,
  });
}

function readPassphrase(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch {
    throw new SetupError('config-missing', `There is no passphrase in ${file}.`, { path: file });
  }
}

/** Makes the key pair in this process; the secret half reaches the disk encrypted only. */
export async function makeSealingKey(directory: string, passphrase: string): Promise<void> {
  const pool = openPool({ threadsMax: 1 });
  try {
    const keys = await pool.run<SealingKeys>('homomorphic', 'generateKeysTask', {
      residues: RESIDUES_MAX,
    });
    try {
      createSealingKey(sealingDirectory(directory), keys, passphrase, systemRandom);
    } finally {
      keys.secretKey.fill(0);
    }
  } finally {
    await pool.close();
  }
}

export function loadSealingKey(directory: string, passphrase: string): SealingKey {
  return readSealingKey(sealingDirectory(directory), passphrase);
}

/** The same contract as a sealed sum to this analyst's key. @throws SetupError, InputError */
export function asSealed(directory: string, contract: Contract): Contract {
  const publicKeys = readSealingPublicKeys(sealingDirectory(directory));
  const sealingKey = sealingKeyText(publicKeys, residuesNeeded(contract));
  return ContractSchema.parse({ ...contract, protocol: { name: 'sealed-sum', sealingKey } });
}

/** Opens a run's result by the kind that its contract makes it. */
export type ReleaseOpeners = Pick<Analyst, 'openMatch' | 'openSealed' | 'openWeighted'>;

/**
 * The run with its table opened where only its recipient can; else as it is. Whatever the gateway handed
 * over: where the contract's results are sealed, a plain table is refused.
 * @param key - the sealing key, or the weighing key where the result is a weighted sum.
 * @throws StateError `descriptor-mismatch`, AbortError, IdentityError as the openers
 */
export async function openedRun(
  openers: ReleaseOpeners,
  contract: Contract,
  run: FinishedRun,
  key: () => SealingKey,
): Promise<FinishedRun> {
  const opened = await openedRelease(openers, contract, run, key);
  const { columns, rows, ...cells } = opened;
  const release = { columns: [...columns], rows: rows.map((row) => [...row]), ...cells };
  return { ...run, result: { ...run.result, release } };
}

async function openedRelease(
  openers: ReleaseOpeners,
  contract: Contract,
  run: FinishedRun,
  key: () => SealingKey,
): Promise<Release> {
  switch (releaseKindOf(contract)) {
    case 'table':
      return run.result.release;
    case 'match':
      return openers.openMatch(contract, run);
    case 'sealed-sum':
      return withKey(key(), (own) => openers.openSealed(contract, run, own));
    case 'weighted-sum':
      return withKey(key(), (own) => openers.openWeighted(contract, run, own));
  }
}

/** The key's secret half is overwritten in the end, whatever happens. */
async function withKey<Answer>(
  key: SealingKey,
  work: (key: SealingKey) => Promise<Answer>,
): Promise<Answer> {
  try {
    return await work(key);
  } finally {
    key.secretKey.fill(0);
  }
}
