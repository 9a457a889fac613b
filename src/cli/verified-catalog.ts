/** The catalog as its holders signed it. */
import {
  type PublishedDataset,
  SignedPublishedDatasetSchema,
  verifyPublished,
} from '../catalog/published.ts';
import { InputError } from '../errors.ts';
import { decodeBase64url } from '../system/base64url.ts';
import type { Analyst } from './analyst.ts';

/**
 * What holders publish, each document verified under the key the catalog names for its holder.
 * @throws InputError `malformed-message`; what `verifyPublished` throws
 */
export async function verifiedCatalog(analyst: Analyst): Promise<PublishedDataset[]> {
  const [{ datasets }, { publications }] = await Promise.all([
    analyst.client.datasets(),
    analyst.client.publications(),
  ]);
  return publications.map((document) => {
    const signed = SignedPublishedDatasetSchema.safeParse(document);
    const holder = signed.success ? signed.data.dataset.holder : undefined;
    const party = datasets.find((one) => one.holder === holder)?.party;
    if (!signed.success || party === undefined) {
      throw new InputError('malformed-message', 'The gateway’s catalog is not consistent.', {
        remedy: 'Try again; if it stays, the gateway is of another version.',
      });
    }
    return verifyPublished(signed.data, decodeBase64url(party.signKey, 32));
  });
}
