/** The catalog: what holders publish about their datasets. Metadata only, never rows. */
import { DatasetListSchema, PublicationListSchema } from '../../contracts/api.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { CatalogService } from '../services.ts';
import { datasetBody } from '../wire.ts';

export function mountCatalog(app: HttpApp, gate: Gate, catalog: CatalogService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/catalog/datasets',
      tag: 'catalog',
      summary: 'The datasets that holders have published.',
      roles: ['analyst', 'operator'],
      answers: { 200: { description: 'Published datasets.', schema: DatasetListSchema } },
      problems: [],
    },
    async () => json({ datasets: (await catalog.datasets()).map(datasetBody) }),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/catalog/publications',
      tag: 'catalog',
      summary: 'The same as signed documents, with all that mock data is made from.',
      roles: ['analyst', 'operator'],
      answers: { 200: { description: 'Signed publications.', schema: PublicationListSchema } },
      problems: [],
    },
    async () => json({ publications: await catalog.publications() }),
  );
}
