/**
 * Everything a domain knows of what was done with its holder's data, in one directory that leaves
 * with the holder: contracts, counts, receipts, publications, notices, budgets, pins, registrations,
 * as JSON, and a manifest with every file's hash, signed by the domain. No key is in it, and no row.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InstantSchema } from '../contracts/contract.ts';
import { SPEND_GENESIS, SignedSpendSchema, verifySpend } from '../contracts/spend.ts';
import { signDocument, verifyDocument } from '../contracts/signing.ts';
import { SetupError, StateError } from '../errors.ts';
import type { Row, Store } from '../store/store.ts';
import { syncDirectory, writeAtomically } from '../system/atomic-file.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { HashSchema, PartyIdSchema, type Hash, type PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { readGaps, readHead } from './counter-rows.ts';
import { readEvidence, type EvidenceKind } from './evidence.ts';

const MANIFEST = 'manifest.json';
const MANIFEST_BYTES_MAX = 1_048_576;
const PAGE_MAX = 500;

/** Each file holds a JSON array. */
const FILES = [
  'contracts.json',
  'signed-contracts.json',
  'spends.json',
  'receipts.json',
  'publications.json',
  'notices.json',
  'regrades.json',
  'budgets.json',
  'pins.json',
  'registrations.json',
] as const;
type FileName = (typeof FILES)[number];

export const ExitManifestSchema = z.strictObject({
  format: z.literal('weir-exit-bundle/1'),
  party: PartyIdSchema,
  at: InstantSchema,
  /** The head of the chain of counts when the bundle was made. */
  spends: z.strictObject({ seq: z.int().min(0), hash: HashSchema }),
  files: z
    .array(
      z.strictObject({
        name: z.enum(FILES),
        items: z.int().min(0),
        sizeBytes: z.int().min(0),
        sha256: HashSchema,
      }),
    )
    .length(FILES.length),
});
export type ExitManifest = z.infer<typeof ExitManifestSchema>;

const SignedManifestSchema = z.strictObject({
  manifest: ExitManifestSchema,
  /** Detached JWS, context `weir/exit-bundle/v1`. */
  jws: z.string().max(2048),
});

export interface ExitOptions {
  readonly store: Store;
  /** A directory that does not exist yet. */
  readonly directory: string;
  readonly party: PartyId;
  readonly identity: KeyPair;
  /** The pins file's and each registration's parsed JSON. */
  readonly pins: readonly unknown[];
  readonly registrations: readonly unknown[];
  readonly nowMs: number;
}

/**
 * Writes a bundle from a domain's store, which may be at work: every file is as of its own moment,
 * the counts at least as of the manifest's head. The manifest is written last.
 * @throws StateError `already-exists`
 */
export async function createExitBundle(options: ExitOptions): Promise<ExitManifest> {
  const { store, directory, party, identity, nowMs } = options;
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    throw new StateError(
      'already-exists',
      `The directory ${directory} cannot be made anew.`,
      {
        remedy: 'Name one that does not exist, in a directory that does.',
      },
      { cause: error },
    );
  }
  const head = await readHead(store);
  const files: ExitManifest['files'] = [];
  for (const name of FILES) {
    files.push(await writeArray(join(directory, name), name, itemsOf(name, options)));
  }
  const manifest: ExitManifest = {
    format: 'weir-exit-bundle/1',
    party,
    at: new Date(nowMs).toISOString(),
    spends: { seq: head?.seq ?? 0, hash: head?.hash ?? SPEND_GENESIS },
    files,
  };
  const jws = signDocument('weir/exit-bundle/v1', manifest, identity);
  const text = `${JSON.stringify({ manifest, jws }, undefined, 2)}\n`;
  await writeAtomically(join(directory, MANIFEST), text, 0o600);
  await syncDirectory(directory);
  return manifest;
}

/**
 * Verifies a bundle offline: the signature, every file's hash, and that the counts are one chain of
 * this party's signed statements up to the manifest's head.
 * @throws SetupError `config-missing`, `config-invalid`; IdentityError `signature-invalid`
 */
export async function verifyExitBundle(
  directory: string,
  party: PartyId,
  publicKey: Uint8Array,
): Promise<ExitManifest> {
  const { manifest, jws } = await readManifest(directory);
  verifyDocument('weir/exit-bundle/v1', manifest, jws, publicKey, party);
  if (manifest.party !== party) throw damaged(directory, `it is of ${manifest.party}`);
  for (const { name, sizeBytes, sha256 } of manifest.files) {
    const measured = await measure(join(directory, name));
    if (measured.sizeBytes !== sizeBytes || measured.sha256 !== sha256) {
      throw damaged(directory, `${name} was changed`);
    }
  }
  const entries = EntriesSchema.parse(
    JSON.parse(await readFile(join(directory, 'spends.json'), 'utf8')),
  );
  verifyChain(directory, entries, manifest, publicKey);
  return manifest;
}

const EntriesSchema = z.array(
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('spend'), seq: z.int(), document: SignedSpendSchema }),
    z.strictObject({
      kind: z.literal('note'),
      seq: z.int(),
      document: z.looseObject({ previous: HashSchema }),
    }),
    z.strictObject({
      kind: z.literal('gap'),
      fromSeq: z.int(),
      toSeq: z.int(),
      runs: z.int(),
    }),
  ]),
);

/** A gap is what the officer accepted after a rollback: nothing chains over it. */
function verifyChain(
  directory: string,
  entries: z.infer<typeof EntriesSchema>,
  manifest: ExitManifest,
  publicKey: Uint8Array,
): void {
  const gaps = entries.flatMap((entry) => (entry.kind === 'gap' ? [entry] : []));
  let before: { readonly seq: number; readonly hash: Hash } = { seq: 0, hash: SPEND_GENESIS };
  let isHeadSeen = manifest.spends.seq === 0;
  for (const entry of entries) {
    if (entry.kind === 'gap') continue;
    const isSpend = entry.kind === 'spend';
    const hash = isSpend ? verifySpend(entry.document, publicKey) : canonicalHash(entry.document);
    const previous = isSpend ? entry.document.spend.previous : entry.document.previous;
    const isNext = entry.seq === before.seq + 1 && previous === before.hash;
    const isAfterGap = gaps.some(
      ({ fromSeq, toSeq }) => fromSeq <= entry.seq && entry.seq <= toSeq + 1,
    );
    if (!isNext && !isAfterGap) throw damaged(directory, `spend ${entry.seq} does not follow`);
    before = { seq: entry.seq, hash };
    if (entry.seq === manifest.spends.seq) isHeadSeen = hash === manifest.spends.hash;
  }
  if (!isHeadSeen) throw damaged(directory, 'the counts do not lead to the manifest’s head');
}

function itemsOf(
  name: FileName,
  options: ExitOptions,
): AsyncIterable<unknown> | readonly unknown[] {
  const { store } = options;
  switch (name) {
    case 'contracts.json':
      return evidence(store, 'contract');
    case 'signed-contracts.json':
      return ownSignatures(store);
    case 'spends.json':
      return spends(store);
    case 'receipts.json':
      return evidence(store, 'receipt');
    case 'publications.json':
      return evidence(store, 'publication');
    case 'notices.json':
      return notices(store);
    case 'regrades.json':
      return regrades(store);
    case 'budgets.json':
      return budgets(store);
    case 'pins.json':
      return options.pins;
    case 'registrations.json':
      return options.registrations;
  }
}

async function* evidence(store: Store, kind: EvidenceKind): AsyncGenerator<unknown> {
  for (let after = ''; ; ) {
    const page = await readEvidence(store, kind, after, PAGE_MAX);
    for (const { digest, document } of page) {
      after = digest;
      yield JSON.parse(document);
    }
    if (page.length < PAGE_MAX) return;
  }
}

/** What the officer signed, run or not. */
async function* ownSignatures(store: Store): AsyncGenerator<unknown> {
  const rows = byKey(
    store,
    'signed_contract',
    'contract_hash, document, jws, signed_at_ms',
    'contract_hash',
  );
  for await (const row of rows) {
    yield {
      contractHash: row['contract_hash'],
      contract: JSON.parse(String(row['document'])) as unknown,
      jws: row['jws'],
      signedAt: new Date(Number(row['signed_at_ms'])).toISOString(),
    };
  }
}

async function* spends(store: Store): AsyncGenerator<unknown> {
  for (let after = 0; ; ) {
    const rows = await store.query(
      'SELECT seq, kind, document FROM spend WHERE seq > ? ORDER BY seq LIMIT ?',
      [after, PAGE_MAX],
    );
    for (const row of rows) {
      after = Number(row['seq']);
      const document: unknown = JSON.parse(String(row['document']));
      yield { kind: row['kind'], seq: after, document };
    }
    if (rows.length < PAGE_MAX) break;
  }
  for (const { fromSeq, toSeq, runs } of await readGaps(store)) {
    yield { kind: 'gap', fromSeq, toSeq, runs };
  }
}

/** Revocations, by whichever holder, and this officer's own pauses. */
async function* notices(store: Store): AsyncGenerator<unknown> {
  const rows = byKey(
    store,
    'contract_standing',
    'contract_hash, standing, document',
    'contract_hash',
  );
  for await (const row of rows) {
    if (row['document'] === null) continue;
    yield { standing: row['standing'], signed: JSON.parse(String(row['document'])) as unknown };
  }
}

async function* regrades(store: Store): AsyncGenerator<unknown> {
  for await (const row of byKey(store, 'regrade', 'dataset, document', 'dataset')) {
    yield JSON.parse(String(row['document']));
  }
}

async function* budgets(store: Store): AsyncGenerator<unknown> {
  for await (const row of byKey(store, 'noise_budget', 'namespace, spent_micro_rho', 'namespace')) {
    yield { namespace: row['namespace'], spentMicroRho: String(row['spent_micro_rho']) };
  }
}

/** A table in pages; its names are this file's own. */
async function* byKey(
  store: Store,
  from: string,
  columns: string,
  key: string,
): AsyncGenerator<Row> {
  for (let after = ''; ; ) {
    const rows = await store.query(
      `SELECT ${columns} FROM ${from} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`,
      [after, PAGE_MAX],
    );
    for (const row of rows) {
      after = String(row[key]);
      yield row;
    }
    if (rows.length < PAGE_MAX) return;
  }
}

async function writeArray(
  path: string,
  name: FileName,
  items: AsyncIterable<unknown> | readonly unknown[],
): Promise<ExitManifest['files'][number]> {
  const file = await open(path, 'wx', 0o600);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const write = async (text: string): Promise<void> => {
    const bytes = Buffer.from(text);
    hash.update(bytes);
    sizeBytes += bytes.length;
    await file.writeFile(bytes);
  };
  let count = 0;
  try {
    await write('[');
    for await (const item of items) {
      await write(`${count === 0 ? '' : ','}\n${JSON.stringify(item)}`);
      count += 1;
    }
    await write('\n]\n');
    await file.sync();
  } finally {
    await file.close();
  }
  return { name, items: count, sizeBytes, sha256: HashSchema.parse(hash.digest('hex')) };
}

async function readManifest(directory: string): Promise<z.infer<typeof SignedManifestSchema>> {
  const path = join(directory, MANIFEST);
  let text: string;
  try {
    if ((await stat(path)).size > MANIFEST_BYTES_MAX)
      throw damaged(directory, 'its manifest is too long');
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError('config-missing', `There is no exit bundle in ${directory}.`, { path });
  }
  try {
    return SignedManifestSchema.parse(JSON.parse(text));
  } catch {
    throw damaged(directory, 'its manifest is malformed');
  }
}

async function measure(path: string): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      const bytes = chunk as Buffer;
      hash.update(bytes);
      sizeBytes += bytes.length;
    }
  } catch {
    return { sizeBytes: -1, sha256: '' };
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

function damaged(directory: string, what: string): SetupError {
  return new SetupError(
    'config-invalid',
    `The exit bundle in ${directory} is not whole: ${what}.`,
    {
      path: directory,
    },
  );
}
