/** A holder's catalog in messages that fit the link, however many datasets there are. */
import { signPublished, type SignedPublishedDataset } from '../catalog/published.ts';
import {
  DOMAIN_ASKS,
  PUBLISHED_BYTES_MAX,
  PUBLISHED_DATASET_BYTES_MAX,
} from '../contracts/link-messages.ts';
import type { Link } from '../link/link.ts';
import type { Log } from '../system/log.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { RegisteredDataset } from './dataset-registry.ts';

/**
 * Publishes all datasets but those whose labels are too many to be told; the log names them.
 * @param keep - takes each as evidence before it leaves.
 * @throws AbortError where the link ends; the gateway's refusal
 */
export async function publishDatasets(
  link: Pick<Link, 'request'>,
  datasets: readonly RegisteredDataset[],
  identity: KeyPair,
  keep: (signed: SignedPublishedDataset) => Promise<void>,
  log: Log,
): Promise<void> {
  const names: string[] = [];
  const pages: SignedPublishedDataset[][] = [[]];
  let pageBytes = 0;
  for (const { published } of datasets) {
    const signed = signPublished(published, identity);
    const sizeBytes = Buffer.byteLength(JSON.stringify(signed));
    if (sizeBytes > PUBLISHED_DATASET_BYTES_MAX) {
      log.error(
        { dataset: published.name, sizeBytes, bytesMax: PUBLISHED_DATASET_BYTES_MAX },
        'a dataset is not published: its labels are too many or too long for the catalog',
      );
      continue;
    }
    if (pageBytes > 0 && pageBytes + sizeBytes > PUBLISHED_BYTES_MAX) {
      pages.push([]);
      pageBytes = 0;
    }
    await keep(signed);
    pages.at(-1)?.push(signed);
    pageBytes += sizeBytes;
    names.push(published.name);
  }
  for (const page of pages) await link.request(DOMAIN_ASKS.publish, { names, datasets: page });
  log.info({ datasets: names.length }, 'catalog published');
}
