/**
 * Artifacts as files: a directory a contract by its hash, so that what is kept says whose it is; in
 * it one a dataset version, in it one file a name. All names are hashed, so nothing that others chose
 * reaches the file system. Purges remove whole directories and are durable before they are acknowledged.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CapacityError, InputError } from '../errors.ts';
import { syncDirectory, writeAtomically } from '../system/atomic-file.ts';
import { HashSchema, type Hash } from '../system/ids.ts';
import type { ArtifactKey, ArtifactStore } from './artifact-store.ts';

export const ARTIFACT_BYTES_MAX = 2 ** 31 - 1;
/** A key, not a filter. */
const WRITTEN_OVER_BYTES_MAX = 1024;

/**
 * @param root - a directory of the domain's own, created with mode 0700.
 * @throws CapacityError `store-unavailable` where it cannot be used
 */
export async function openFileArtifactStore(root: string): Promise<ArtifactStore> {
  await guarded(() => mkdir(root, { recursive: true, mode: 0o700 }));
  const contractDirectory = (contract: Hash): string => join(root, contract);
  const directoryOf = (key: ArtifactKey): string =>
    join(contractDirectory(key.contractHash), hashed('version', key.datasetFingerprint));
  const purging = new Map<Hash, Promise<void>>();
  return {
    async read(key) {
      await purging.get(key.contractHash);
      try {
        return new Uint8Array(await readFile(join(directoryOf(key), hashed('name', key.name))));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw unavailable(error);
      }
    },
    async write(key, content) {
      if (content.length > ARTIFACT_BYTES_MAX) {
        throw new InputError('set-too-large', 'The artifact is too large to keep.', {
          rule: `at most ${ARTIFACT_BYTES_MAX} bytes`,
        });
      }
      await purging.get(key.contractHash);
      await guarded(async () => {
        const directory = directoryOf(key);
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await writeAtomically(join(directory, hashed('name', key.name)), content, 0o600);
        await syncDirectory(contractDirectory(key.contractHash));
        await syncDirectory(root);
      });
    },
    contracts: () =>
      guarded(async () =>
        (await readdir(root)).flatMap((name) => {
          const { data: contract } = HashSchema.safeParse(name);
          return contract === undefined ? [] : [contract];
        }),
      ),
    purgeContract(contract) {
      const underWay = purging.get(contract);
      if (underWay !== undefined) return underWay;
      const purge = guarded(() => remove(root, contract)).finally(() => purging.delete(contract));
      purging.set(contract, purge);
      return purge;
    },
    purgeFingerprint: (fingerprint) =>
      guarded(async () => {
        const version = hashed('version', fingerprint);
        for (const contract of await readdir(root)) await remove(join(root, contract), version);
      }),
    keepVersions: (contract, fingerprints) =>
      guarded(async () => {
        await purging.get(contract);
        const kept = new Set(fingerprints.map((fingerprint) => hashed('version', fingerprint)));
        for (const version of await namesIn(contractDirectory(contract))) {
          if (!kept.has(version)) await remove(contractDirectory(contract), version);
        }
      }),
  };
}

/** Keys are among what is kept: small files are written over before their names go. */
async function remove(directory: string, name: string): Promise<void> {
  const path = join(directory, name);
  if (!existsSync(path)) return;
  await writeOver(path);
  // A run that is being ended may put a last file there meanwhile.
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
  await syncDirectory(directory);
}

/** What a disk has kept of a block elsewhere is out of reach; what the file system has is not. */
async function writeOver(path: string): Promise<void> {
  const found = await stat(path).catch(unlessGone);
  if (found === undefined) return;
  const { size } = found;
  const names = await namesIn(path);
  for (const name of names) await writeOver(join(path, name));
  if (names.length > 0 || size > WRITTEN_OVER_BYTES_MAX) return;
  const file = await open(path, 'r+').catch(() => undefined);
  try {
    await file?.write(new Uint8Array(size), 0, size, 0);
    await file?.sync();
  } finally {
    await file?.close();
  }
}

/** What is being written has another name once it is whole. */
function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** None of what is no directory, or not there. */
async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function hashed(kind: string, name: string): string {
  return createHash('sha256').update(`weir/artifact/${kind}\0${name}`).digest('hex');
}

async function guarded<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw unavailable(error);
  }
}

function unavailable(error: unknown): CapacityError {
  const isFull = (error as NodeJS.ErrnoException).code === 'ENOSPC';
  return new CapacityError(
    isFull ? 'disk-full' : 'store-unavailable',
    'The domain’s artifacts cannot be read or written.',
    { remedy: 'See that the disk is not full and the directory belongs to the domain.' },
    { cause: error },
  );
}
