/**
 * What leaves a domain about a dataset: everything its officer registered except where the data
 * lies, with a public bucket of the row count and a keyed fingerprint, signed by the holder.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { InstantSchema, type ColumnBounds, type Dictionary } from '../contracts/contract.ts';
import { signDocument, verifyDocument } from '../contracts/signing.ts';
import { InputError } from '../errors.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { HashSchema, PartyIdSchema, type Hash, type PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { SourceDescription } from './data-source.ts';
import {
  COLUMNS_MAX,
  DatasetFactsShape,
  faultsOf,
  PublishedColumnSchema,
  type DatasetRegistration,
} from './dataset.ts';

export const PublishedDatasetSchema = z.strictObject({
  format: z.literal('weir-published-dataset/1'),
  holder: PartyIdSchema,
  ...DatasetFactsShape,
  columns: z.array(PublishedColumnSchema).min(1).max(COLUMNS_MAX),
  /** The next power of two that the row count does not exceed: all that is told of it. */
  rowsMax: z
    .int()
    .min(1)
    .max(2 ** 40)
    .refine((rows) => Number.isInteger(Math.log2(rows)), { message: 'a power of two' }),
  fingerprint: HashSchema,
  publishedAt: InstantSchema,
});
export type PublishedDataset = z.infer<typeof PublishedDatasetSchema>;

export const SignedPublishedDatasetSchema = z.strictObject({
  dataset: PublishedDatasetSchema,
  /** Detached JWS by the holder, in its context `weir/catalog/v1`. */
  jws: z.string().max(2048),
});
export type SignedPublishedDataset = z.infer<typeof SignedPublishedDatasetSchema>;

export interface PublishingDomain {
  readonly holder: PartyId;
  /** 32 bytes that never leave the domain: without them nobody can test a guess about rows. */
  readonly fingerprintSecret: Uint8Array;
}

/** A public bucket: the next power of two, at least 1. */
export function rowBucket(rows: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(rows, 1)));
}

/**
 * The fingerprint of a dataset's version: HMAC-SHA256 under the domain's secret.
 * Leaks: whether two versions are the same, and nothing about what is in them.
 */
export function fingerprintOfVersion(
  domain: PublishingDomain,
  dataset: string,
  versionMaterial: Uint8Array,
): Hash {
  const mac = createHmac('sha256', domain.fingerprintSecret);
  mac.update(`weir/fingerprint/v1\0${domain.holder}\0${dataset}\0`);
  return HashSchema.parse(mac.update(versionMaterial).digest('hex'));
}

/** Whose contributions are bounded decides an answer before noise: another unit is another version. */
function versionOf(
  { privacyUnit }: DatasetRegistration,
  { versionMaterial }: SourceDescription,
): Uint8Array {
  if (privacyUnit === undefined) return versionMaterial;
  return Buffer.concat([versionMaterial, Buffer.from(`\0${privacyUnit}`)]);
}

/** What to publish of a dataset as it is now; `source` and the names inside files stay behind. */
export function publishedOf(
  registration: DatasetRegistration,
  description: SourceDescription,
  domain: PublishingDomain,
  publishedAt: string,
): PublishedDataset {
  const { source: _source, format: _format, columns, ...facts } = registration;
  return PublishedDatasetSchema.parse({
    ...facts,
    format: 'weir-published-dataset/1',
    holder: domain.holder,
    columns: columns.map(({ sourceName: _sourceName, ...column }) => column),
    rowsMax: rowBucket(description.rowCount),
    fingerprint: fingerprintOfVersion(
      domain,
      registration.name,
      versionOf(registration, description),
    ),
    publishedAt,
  });
}

/** Signs a publication with the holder's identity key. */
export function signPublished(dataset: PublishedDataset, keys: KeyPair): SignedPublishedDataset {
  return { dataset, jws: signDocument('weir/catalog/v1', dataset, keys) };
}

/** What tells two publications apart: everything but when they were made. */
export function signedPublishedKey({ dataset }: SignedPublishedDataset): Hash {
  const { publishedAt: _when, ...facts } = dataset;
  return canonicalHash(facts);
}

/**
 * Verifies a publication against the holder's pinned key.
 * @throws IdentityError `signature-invalid`; InputError `malformed-message` where what is signed
 * breaks a rule across columns.
 */
export function verifyPublished(
  signed: SignedPublishedDataset,
  holderKey: Uint8Array,
): PublishedDataset {
  const { dataset, jws } = signed;
  verifyDocument('weir/catalog/v1', dataset, jws, holderKey, dataset.holder);
  const [fault] = faultsOf(dataset);
  if (fault !== undefined) {
    throw new InputError('malformed-message', `The published dataset is not accepted: ${fault}.`, {
      party: dataset.holder,
    });
  }
  return dataset;
}

/** The dictionaries a contract must repeat for its group columns. */
export function dictionariesOf(dataset: PublishedDataset): Dictionary[] {
  return dataset.columns.flatMap(({ name, labels }) =>
    labels === undefined ? [] : [{ column: name, labels: [...labels] }],
  );
}

/** The bounds a contract must repeat for its measured columns. */
export function boundsOf(dataset: PublishedDataset): ColumnBounds[] {
  return dataset.columns.flatMap(({ name, bounds }) =>
    bounds === undefined ? [] : [{ column: name, ...bounds }],
  );
}
