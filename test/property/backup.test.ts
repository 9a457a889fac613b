import { link, access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBackup, restoreBackup, verifyBackup } from '../../src/contracts/backup.ts';
import type { BackupManifest, BackupOptions } from '../../src/contracts/backup.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { openFileArtifactStore } from '../../src/domain/file-artifact-store.ts';
import { HashSchema } from '../../src/system/ids.ts';
import type { Hash } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace, SELF } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';

const cast = makeCast();
const contract = makeContract(cast);
const NOW = 1_781_000_000_000;
let place: Place;
let opened: Opened;
beforeEach(async () => {
  place = await makePlace();
  opened = await openPlace(place, cast);
  await writeFile(join(place.directory, 'pins.json'), '{"pins":1}');
});
afterEach(async () => {
  await opened.close();
  await place.remove();
});

const backupOptions = (): BackupOptions => ({
  directory: join(place.directory, 'backup'),
  party: SELF,
  identity: cast.keyOf(SELF),
  databases: { 'domain.db': opened.store },
  files: { 'pins.json': join(place.directory, 'pins.json') },
  facts: { spendSeq: '1' },
  nowMs: NOW,
});
const restore = (): ReturnType<typeof restoreBackup> =>
  restoreBackup({
    directory: join(place.directory, 'backup'),
    party: SELF,
    publicKey: cast.keyOf(SELF).publicKey,
    targets: {
      'domain.db': place.databaseFile,
      'pins.json': join(place.directory, 'pins.json'),
    },
    nowMs: NOW + 1,
  });
const verify = (): Promise<BackupManifest> =>
  verifyBackup(join(place.directory, 'backup'), SELF, cast.keyOf(SELF).publicKey);

describe('a backup', () => {
  it('restored right away goes on; restored after further runs is noticed, whatever was backed up', async () => {
    await opened.counters.spend(makeCommand(contract));
    const manifest = await createBackup(backupOptions());
    expect(await verify()).toEqual(manifest);
    await opened.close();
    const { movedAside } = await restore();
    expect(movedAside.length).toBeGreaterThanOrEqual(2);
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('ready');
    await opened.counters.spend(makeCommand(contract));
    await opened.close();
    const { manifest: again } = await restore();
    expect(again.facts).toEqual({ spendSeq: '1' });
    opened = await openPlace(place, cast);
    expect((await opened.counters.state()).kind).toBe('rolled-back');
    expect(await codeOf(() => opened.counters.spend(makeCommand(contract)))).toBe(
      'history-rolled-back',
    );
  });

  it('never holds keys or anchors, and never overwrites another', async () => {
    const withFile = (name: string, path: string): Promise<string> =>
      codeOf(() => createBackup({ ...backupOptions(), files: { [name]: path } }));
    expect(await withFile('anchor', place.anchorFile)).toBe('config-invalid');
    expect(await withFile('state', place.anchorFile)).toBe('config-invalid');
    expect(await withFile('identity.key', '/nowhere')).toBe('config-invalid');
    expect(await withFile('../escape', '/nowhere')).toBe('config-invalid');
    await createBackup(backupOptions());
    expect(await codeOf(() => createBackup(backupOptions()))).toBe('already-exists');
  });

  it('is refused when anything in it was changed, added, removed, or is another party’s', async () => {
    const directory = join(place.directory, 'backup');
    const manifestFile = join(directory, 'manifest.json');
    await createBackup(backupOptions());
    const untouched = await readFile(manifestFile, 'utf8');
    const restoreCode = (): Promise<string> => codeOf(restore);
    await writeFile(join(directory, 'pins.json'), '{"pins":2}');
    expect(await restoreCode()).toBe('config-invalid');
    await writeFile(join(directory, 'pins.json'), '{"pins":1}');
    await writeFile(join(directory, 'more'), '');
    expect(await restoreCode()).toBe('config-invalid');
    await rm(join(directory, 'more'));
    await writeFile(manifestFile, untouched.replace('"spendSeq": "1"', '"spendSeq": "2"'));
    expect(await restoreCode()).toBe('signature-invalid');
    await writeFile(manifestFile, untouched.replace('pins.json', '../../x'));
    expect(await restoreCode()).toBe('config-invalid');
    await rm(manifestFile);
    expect(await restoreCode()).toBe('config-missing');
    await writeFile(manifestFile, untouched);
    const other = cast.keyOf(HOLDERS[1]!).publicKey;
    expect(await codeOf(() => verifyBackup(directory, SELF, other))).toBe('signature-invalid');
    expect(await codeOf(verify)).toBe('accepted');
    // Until here nothing was touched.
    expect(await codeOf(() => access(place.databaseFile))).toBe('accepted');
    expect((await readdir(place.directory)).filter((name) => name.includes('before'))).toEqual([]);
  });
});

describe('a restore that cannot be', () => {
  const into = (pins: string | undefined): Promise<string> =>
    codeOf(() =>
      restoreBackup({
        directory: join(place.directory, 'backup'),
        party: SELF,
        publicKey: cast.keyOf(SELF).publicKey,
        targets: {
          'domain.db': place.databaseFile,
          ...(pins === undefined ? {} : { 'pins.json': pins }),
        },
        nowMs: NOW + 1,
      }),
    );

  it('leaves no copy behind, wherever it stops', async () => {
    await createBackup(backupOptions());
    const before = await readdir(place.directory);
    expect(await into(undefined)).toBe('config-invalid');
    expect(await readdir(place.directory)).toEqual(before);
    // A place that is not there: found out once the database was copied beside its own.
    expect(await into(join(place.directory, 'nowhere', 'pins.json'))).not.toBe('accepted');
    expect(await readdir(place.directory)).toEqual(before);
    expect(await into(join(place.directory, 'pins.json'))).toBe('accepted');
  });
});

describe('artifacts', () => {
  const fingerprint = (digit: string): Hash => HashSchema.parse(digit.repeat(64));
  const key = (name: string, digit = '1'): Parameters<typeof read>[1] => ({
    contractHash: contractHash(contract),
    datasetFingerprint: fingerprint(digit),
    name,
  });
  const read = async (
    store: Awaited<ReturnType<typeof openFileArtifactStore>>,
    of: { contractHash: Hash; datasetFingerprint: Hash; name: string },
  ): Promise<string | undefined> => {
    const bytes = await store.read(of);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString();
  };

  it('are kept by contract and version, replaced whole, and purged by either', async () => {
    const root = join(place.directory, 'artifacts');
    const store = await openFileArtifactStore(root);
    const hostile = '../../../etc/passwd\0';
    expect(await read(store, key('filter'))).toBeUndefined();
    await store.write(key('filter'), Buffer.from('one'));
    await store.write(key('filter'), Buffer.from('two'));
    await store.write(key(hostile), Buffer.from('three'));
    await store.write(key('filter', '2'), Buffer.from('four'));
    const reopened = await openFileArtifactStore(root);
    expect(await read(reopened, key('filter'))).toBe('two');
    expect(await read(reopened, key(hostile))).toBe('three');
    await reopened.purgeFingerprint(fingerprint('1'));
    expect(await read(reopened, key('filter'))).toBeUndefined();
    expect(await read(reopened, key('filter', '2'))).toBe('four');
    await reopened.write(key('filter', '3'), Buffer.from('five'));
    await reopened.keepVersions(contractHash(contract), [fingerprint('2')]);
    expect(await read(reopened, key('filter', '3'))).toBeUndefined();
    expect(await read(reopened, key('filter', '2'))).toBe('four');
    expect(await reopened.contracts()).toEqual([contractHash(contract)]);
    await reopened.purgeContract(contractHash(contract));
    expect(await reopened.contracts()).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });

  it('that are as small as a key are written over before their names go', async () => {
    const root = join(place.directory, 'artifacts');
    const store = await openFileArtifactStore(root);
    const secret = Buffer.alloc(32, 'k');
    await store.write(key('key'), secret);
    const [name] = (await readdir(root, { recursive: true })).filter((one) => one.length > 150);
    const other = join(place.directory, 'the same file by another name');
    await link(join(root, name ?? ''), other);
    expect(await readFile(other)).toEqual(secret);
    await store.purgeContract(contractHash(contract));
    expect(await readFile(other)).toEqual(Buffer.alloc(32));
  });

  it('are read and written by nobody while they are purged: what was begun is found whole or not', async () => {
    const store = await openFileArtifactStore(join(place.directory, 'artifacts'));
    for (const name of ['a', 'b', 'c']) await store.write(key(name), Buffer.from(name));
    const purged = store.purgeContract(contractHash(contract));
    const found = Promise.all(['a', 'b', 'c'].map((name) => read(store, key(name))));
    const written = store.write(key('d'), Buffer.from('d'));
    await Promise.all([purged, store.purgeContract(contractHash(contract)), written]);
    expect(await found).toEqual([undefined, undefined, undefined]);
    expect(await read(store, key('d'))).toBe('d');
  });

  it('say when the place cannot be used', async () => {
    const file = join(place.directory, 'file');
    await writeFile(file, '');
    expect(await codeOf(() => openFileArtifactStore(file))).toBe('store-unavailable');
    const root = join(place.directory, 'artifacts');
    const store = await openFileArtifactStore(root);
    await rm(root, { recursive: true });
    await mkdir(join(place.directory, 'elsewhere'));
    await writeFile(root, '');
    expect(await codeOf(() => store.write(key('x'), Buffer.from('y')))).toBe('store-unavailable');
  });
});
