/**
 * The files of a dataset: found once, hashed by content, and watched, so that an answer comes from
 * the very version that was described.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { glob, realpath, stat } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { SetupError } from '../../errors.ts';

const SOURCE_FILES_MAX = 10_000;

/** One file as it was when it was looked at. */
export interface SourceFile {
  /** Its real path: symbolic links are resolved here, once. */
  readonly path: string;
  /** How the version material names it: relative to the registration's directory. */
  readonly label: string;
  readonly stamp: string;
}

/**
 * The files that patterns name, sorted by path, each once.
 * @throws SetupError `source-missing` where a pattern names no file, or too many.
 */
export async function findSourceFiles(
  directory: string,
  patterns: readonly string[],
): Promise<SourceFile[]> {
  const paths = new Set<string>();
  for (const pattern of patterns) {
    const before = paths.size;
    for (const found of await matchesOf(directory, pattern)) {
      paths.add(found);
      if (paths.size > SOURCE_FILES_MAX) {
        throw new SetupError(
          'source-unreadable',
          `A dataset may have at most ${SOURCE_FILES_MAX} files.`,
        );
      }
    }
    if (paths.size === before) {
      throw new SetupError(
        'source-missing',
        `No file matches ${pattern} in ${directory}: put the data there or correct the registration.`,
        { path: pattern },
      );
    }
  }
  const base = await realpath(directory);
  const files: SourceFile[] = [];
  for (const path of [...paths].toSorted()) {
    files.push({ path, label: relative(base, path), stamp: await stampOf(path) });
  }
  return files;
}

/** True while every file is still the one that was looked at. */
export async function isUnchanged(files: readonly SourceFile[]): Promise<boolean> {
  for (const file of files) {
    if ((await stampOf(file.path).catch(() => '')) !== file.stamp) return false;
  }
  return true;
}

/** SHA-256 of files, remembered as long as path, size, time and inode stay the same. */
export class ContentHashes {
  readonly #known = new Map<string, { readonly stamp: string; readonly hash: Buffer }>();

  /** @throws SetupError `source-unreadable` */
  async of(file: SourceFile, signal?: AbortSignal): Promise<Buffer> {
    const known = this.#known.get(file.path);
    if (known?.stamp === file.stamp) return known.hash;
    const hasher = createHash('sha256');
    try {
      const options = signal === undefined ? {} : { signal };
      for await (const block of createReadStream(file.path, options)) hasher.update(block);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw unreadable(file.path, error);
    }
    const hash = hasher.digest();
    if (this.#known.size >= SOURCE_FILES_MAX) this.#known.clear();
    this.#known.set(file.path, { stamp: file.stamp, hash });
    return hash;
  }
}

async function matchesOf(directory: string, pattern: string): Promise<string[]> {
  const full = isAbsolute(pattern) ? pattern : resolve(directory, pattern);
  const exact = await stat(full).catch(() => undefined);
  if (exact?.isFile()) return [await realpath(full)];
  const found: string[] = [];
  for await (const match of glob(full)) {
    const path = await realpath(match);
    if ((await stat(path)).isFile()) found.push(path);
    if (found.length > SOURCE_FILES_MAX) break;
  }
  return found;
}

async function stampOf(path: string): Promise<string> {
  try {
    const info = await stat(path, { bigint: true });
    return `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`;
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): SetupError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT'
    ? new SetupError('source-missing', `The data file ${path} is missing.`, { path })
    : new SetupError('source-unreadable', `The data file ${path} cannot be read.`, { path });
}
