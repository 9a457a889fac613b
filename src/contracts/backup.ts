/**
 * Backups of a gateway or a domain: a consistent copy of its database, its configuration, and a
 * manifest with every file's hash, signed by the identity that made it. Keys and anchors are never
 * in it: a restored history must not bring along what shows that it is old.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, copyFile, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { SetupError, StateError } from '../errors.ts';
import { syncDirectory, writeAtomically } from '../system/atomic-file.ts';
import { HashSchema, PartyIdSchema } from '../system/ids.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { InstantSchema } from './contract.ts';
import { signDocument, verifyDocument } from './signing.ts';

export const BACKUP_FILES_MAX = 1000;
const MANIFEST = 'manifest.json';
const MANIFEST_BYTES_MAX = 1_048_576;
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const NEVER = /key|anchor/;

const NameSchema = z
  .string()
  .regex(NAME)
  .refine((name) => !NEVER.test(name) && name !== MANIFEST);

export const BackupManifestSchema = z.strictObject({
  format: z.literal('weir-backup/1'),
  party: PartyIdSchema,
  at: InstantSchema,
  files: z
    .array(z.strictObject({ name: NameSchema, sizeBytes: z.int().min(0), sha256: HashSchema }))
    .min(1)
    .max(BACKUP_FILES_MAX),
  /** Where the history stood, for people: `spendSeq`, `auditSize`. */
  facts: z.record(z.string().max(64), z.string().max(256)),
});
export type BackupManifest = z.infer<typeof BackupManifestSchema>;

const SignedManifestSchema = z.strictObject({
  manifest: BackupManifestSchema,
  /** Detached JWS, context `weir/backup/v1`. */
  jws: z.string().max(2048),
});

export interface BackupOptions {
  /** A directory that does not exist yet. */
  readonly directory: string;
  readonly party: PartyId;
  readonly identity: KeyPair;
  /** Databases by name in the backup; `copyTo` writes a consistent copy while work goes on. */
  readonly databases: Readonly<Record<string, { copyTo(file: string): Promise<void> }>>;
  /** Other files by name in the backup: configuration, pins. */
  readonly files: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly nowMs: number;
}

/**
 * Makes a backup. The manifest is written last: a directory without one is no backup.
 * @throws SetupError `config-invalid` for a name that is or looks like a key or an anchor;
 *   StateError `already-exists` where the directory is there
 */
export async function createBackup(options: BackupOptions): Promise<BackupManifest> {
  const names = [...Object.keys(options.databases), ...Object.keys(options.files)];
  for (const name of names) {
    if (!NameSchema.safeParse(name).success || NEVER.test(basename(options.files[name] ?? ''))) {
      throw new SetupError('config-invalid', `A backup never holds ${name}.`, {
        rule: 'no keys, no anchors',
      });
    }
  }
  await makeDirectory(options.directory);
  const files: BackupManifest['files'] = [];
  for (const [name, database] of Object.entries(options.databases)) {
    await database.copyTo(join(options.directory, name));
  }
  for (const [name, path] of Object.entries(options.files)) {
    await copyFile(path, join(options.directory, name));
  }
  for (const name of names) {
    const path = join(options.directory, name);
    await syncFile(path);
    files.push({ name, ...(await measure(path)) });
  }
  const manifest: BackupManifest = {
    format: 'weir-backup/1',
    party: options.party,
    at: new Date(options.nowMs).toISOString(),
    files,
    facts: { ...options.facts },
  };
  const jws = signDocument('weir/backup/v1', manifest, options.identity);
  const text = `${JSON.stringify({ manifest, jws }, undefined, 2)}\n`;
  await writeAtomically(join(options.directory, MANIFEST), text, 0o600);
  return manifest;
}

/**
 * Verifies a backup: the signature, every file's size and hash, and that there is nothing else.
 * @throws SetupError `config-missing`, `config-invalid`; IdentityError `signature-invalid`
 */
export async function verifyBackup(
  directory: string,
  party: PartyId,
  publicKey: Uint8Array,
): Promise<BackupManifest> {
  const { manifest, jws } = await readManifest(directory);
  verifyDocument('weir/backup/v1', manifest, jws, publicKey, party);
  if (manifest.party !== party) throw damaged(directory, `it is a backup of ${manifest.party}`);
  const found = await readdir(directory);
  const expected = [MANIFEST, ...manifest.files.map((file) => file.name)];
  if (found.toSorted().join('\n') !== expected.toSorted().join('\n')) {
    throw damaged(directory, 'its files are not the ones of its manifest');
  }
  for (const { name, sizeBytes, sha256 } of manifest.files) {
    const measured = await measure(join(directory, name));
    if (measured.sizeBytes !== sizeBytes || measured.sha256 !== sha256) {
      throw damaged(directory, `${name} was changed`);
    }
  }
  return manifest;
}

export interface RestoreOptions {
  readonly directory: string;
  readonly party: PartyId;
  readonly publicKey: Uint8Array;
  /** Where each file of the backup goes. Nothing else is touched, the anchor least of all. */
  readonly targets: Readonly<Record<string, string>>;
  readonly nowMs: number;
}

/**
 * Verifies a backup and puts its files in place. What stands there is moved aside, not removed,
 * a database with its log. The program must not run; when it starts again it compares the restored
 * history with the anchor and the witnesses.
 * @returns the manifest, and the paths that were moved aside.
 * @throws as `verifyBackup`
 */
export async function restoreBackup(
  options: RestoreOptions,
): Promise<{ readonly manifest: BackupManifest; readonly movedAside: readonly string[] }> {
  const { directory, party, publicKey, targets } = options;
  const manifest = await verifyBackup(directory, party, publicKey);
  const staged = manifest.files.map(({ name, sha256 }) => {
    const to = Object.hasOwn(targets, name) ? targets[name] : undefined;
    if (to === undefined || NEVER.test(basename(to))) {
      throw damaged(directory, `there is no place for ${name}`);
    }
    return { name, sha256, to, from: `${to}.restoring` };
  });
  try {
    for (const { name, sha256, from } of staged) {
      await copyFile(join(directory, name), from);
      await syncFile(from);
      // Of the copy as it was written: the backup may change while it is read.
      if ((await measure(from)).sha256 !== sha256) throw damaged(directory, `${name} was changed`);
    }
  } catch (error) {
    // Nothing was put in place: nothing of it stays behind either.
    for (const { from } of staged) await rm(from, { force: true });
    throw error;
  }
  const movedAside: string[] = [];
  for (const { from, to } of staged) {
    // A write-ahead log of another history would be replayed into the restored database.
    for (const path of [`${to}-wal`, `${to}-shm`, to]) {
      if (!(await exists(path))) continue;
      const aside = `${path}.before-restore-${options.nowMs}`;
      await rename(path, aside);
      movedAside.push(aside);
    }
    await rename(from, to);
    await syncDirectory(dirname(to));
  }
  return { manifest, movedAside };
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new StateError('already-exists', `There is something at ${directory} already.`, {
        path: directory,
        remedy: 'Name a directory that does not exist yet.',
      });
    }
    throw new SetupError('config-invalid', `The directory ${directory} cannot be made.`, {
      path: directory,
    });
  }
}

async function readManifest(directory: string): Promise<z.infer<typeof SignedManifestSchema>> {
  const path = join(directory, MANIFEST);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    throw new SetupError('config-missing', `There is no backup at ${directory}.`, {
      path,
      remedy: 'Name the directory that holds manifest.json.',
    });
  }
  let value: unknown;
  try {
    if (text.length <= MANIFEST_BYTES_MAX) value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = SignedManifestSchema.safeParse(value);
  if (!parsed.success) throw damaged(directory, 'its manifest cannot be read');
  return parsed.data;
}

async function measure(path: string): Promise<{ sizeBytes: number; sha256: Hash }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sizeBytes, sha256: HashSchema.parse(hash.digest('hex')) };
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

function damaged(path: string, what: string): SetupError {
  return new SetupError('config-invalid', `The backup at ${path} is not used: ${what}.`, {
    path,
    remedy: 'Use another backup.',
  });
}
