/** What a holder takes along when it leaves, and that nobody can change it unseen. */
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { SignedContractSchema } from '../../src/contracts/contract.ts';
import { SignedReceiptSchema, verifyReceipt } from '../../src/contracts/receipt.ts';
import { signDocument } from '../../src/contracts/signing.ts';
import { domainPaths } from '../../src/domain/domain-state.ts';
import { ExitManifestSchema, verifyExitBundle } from '../../src/domain/exit-bundle.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { readKeyFile } from '../../src/system/key-file.ts';
import { weir as command } from './support/command.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PARTY = PartyIdSchema.parse('clinic');
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};

let weir: TestWeir;
let bundle: string;
beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(['clinic', 'hospital'], 60) });
  const contract = await weir.agree(PLAN);
  await weir.analyst.run(contract, {}, () => undefined);
  await weir.analyst.run(contract, {}, () => undefined);
  await weir.officer(PARTY).suspend(contract.contract.id, 'enough for today');
  bundle = join(weir.directory, 'exit');
});
afterAll(() => weir?.close());

const publicKey = (): Uint8Array =>
  readKeyFile(domainPaths(join(weir.directory, PARTY)).identity, 'ed25519').publicKey;
const items = (name: string, from = bundle): unknown[] =>
  JSON.parse(readFileSync(join(from, name), 'utf8')) as unknown[];
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'accepted',
    (error: { code?: unknown }) => String(error.code),
  );

it('holds contracts, counts, receipts, publications, notices and registrations', async () => {
  const directory = join(weir.directory, PARTY);
  const made = command(['domain', 'exit-bundle', '--dir', directory, '--out', bundle]);
  expect([await made.ended, made.stderr()]).toEqual([0, '']);
  const [contract] = items('contracts.json').map((one) => SignedContractSchema.parse(one));
  expect(contract?.signatures).toHaveLength(3);
  const receipts = items('receipts.json').map((one) => SignedReceiptSchema.parse(one));
  expect(receipts).toHaveLength(2);
  for (const receipt of receipts) {
    expect(receipt.receipt.outcome).toBe('posted');
    // Its own countersignature vouches for the gateway's key.
    expect(verifyReceipt(receipt, { contract: contract! }).countersignedBy).toEqual([PARTY]);
  }
  // Two runs and the note of the suspension.
  expect((items('spends.json') as { kind: string }[]).map(({ kind }) => kind)).toEqual([
    'spend',
    'spend',
    'note',
  ]);
  expect(items('notices.json')).toMatchObject([{ standing: 'suspended' }]);
  expect(items('publications.json')).toMatchObject([{ dataset: { name: 'visits' } }]);
  expect(items('registrations.json')).toMatchObject([{ name: 'visits' }]);
  expect(items('signed-contracts.json')).toMatchObject([{ contract: contract?.contract }]);
  expect(items('pins.json')).toHaveLength(1);
});

it('is readable by its owner only, holds no key, and is made once', async () => {
  for (const name of readdirSync(bundle)) {
    expect(statSync(join(bundle, name)).mode & 0o077).toBe(0);
    const text = readFileSync(join(bundle, name), 'utf8');
    for (const file of ['identity', 'fingerprintSecret', 'noiseSecret'] as const) {
      const path = domainPaths(join(weir.directory, PARTY))[file];
      const kind = file === 'identity' ? 'ed25519' : 'x25519';
      const secret = Buffer.from(readKeyFile(path, kind).secretKey);
      for (const form of ['base64', 'base64url', 'hex'] as const) {
        expect(text.includes(secret.toString(form))).toBe(false);
      }
    }
  }
  const directory = join(weir.directory, PARTY);
  const again = command(['domain', 'exit-bundle', '--dir', directory, '--out', bundle]);
  expect(await again.ended).not.toBe(0);
});

it('verifies by command and shows every change', async () => {
  const key = Buffer.from(publicKey()).toString('base64url');
  const options = ['--bundle', bundle, '--party', PARTY, '--key', key];
  const verified = command(['domain', 'verify-bundle', ...options]);
  await eventually('it has ended', async () => (await verified.ended) === 0);
  expect(await codeOf(verifyExitBundle(bundle, PARTY, publicKey()))).toBe('accepted');
  for (const name of readdirSync(bundle)) {
    const copy = join(weir.directory, `changed-${name}`);
    cpSync(bundle, copy, { recursive: true });
    const bytes = readFileSync(join(copy, name));
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(join(copy, name), bytes);
    expect(await codeOf(verifyExitBundle(copy, PARTY, publicKey()))).toMatch(
      /^(config-invalid|signature-invalid)$/,
    );
  }
  const stranger = readKeyFile(
    domainPaths(join(weir.directory, 'hospital')).identity,
    'ed25519',
  ).publicKey;
  expect(await codeOf(verifyExitBundle(bundle, PARTY, stranger))).toBe('signature-invalid');
});

it('shows a count that is left out, though the domain itself signed the rest', async () => {
  const copy = join(weir.directory, 'shortened');
  const resign = (entries: unknown[]): void => {
    cpSync(bundle, copy, { recursive: true });
    const text = JSON.stringify(entries);
    writeFileSync(join(copy, 'spends.json'), text);
    const signed = JSON.parse(readFileSync(join(copy, 'manifest.json'), 'utf8')) as {
      manifest: unknown;
    };
    const manifest = ExitManifestSchema.parse(signed.manifest);
    const sha256 = createHash('sha256').update(text).digest('hex');
    const files = manifest.files.map((file) =>
      file.name === 'spends.json' ? { ...file, sha256, sizeBytes: text.length } : file,
    );
    const changed = { ...manifest, files };
    const keys = readKeyFile(domainPaths(join(weir.directory, PARTY)).identity, 'ed25519');
    const jws = signDocument('weir/exit-bundle/v1', changed, keys);
    writeFileSync(join(copy, 'manifest.json'), JSON.stringify({ manifest: changed, jws }));
  };
  const all = items('spends.json');
  resign(all);
  expect(await codeOf(verifyExitBundle(copy, PARTY, publicKey()))).toBe('accepted');
  for (const left of [all.toSpliced(0, 1), all.toSpliced(1, 1), all.slice(0, 2)]) {
    resign(left);
    expect(await codeOf(verifyExitBundle(copy, PARTY, publicKey()))).toBe('config-invalid');
  }
});
