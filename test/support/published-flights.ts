/** What the demo's holders would publish, and a contract over it, for tests to bend. */
import { publishedOf, type PublishedDataset } from '../../src/catalog/published.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { flightsRegistration } from '../../src/cli/demo/flights-registration.ts';
import type { DatasetRegistration } from '../../src/catalog/dataset.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract, type Cast } from '../fixtures/contract.ts';

export function publishFlights(
  holder: PartyId,
  changes: Partial<DatasetRegistration> = {},
  rowCount = 1_000_000,
): PublishedDataset {
  return publishedOf(
    { ...flightsRegistration('departures'), ...changes },
    { columns: [], rowCount, versionMaterial: Uint8Array.of(1, 2, 3) },
    { holder, fingerprintSecret: new Uint8Array(32).fill(7) },
    '2026-01-01T00:00:00Z',
  );
}

/** Mean delay by hour: a contract that every holder's publication allows. */
export function flightsContract(
  published: readonly PublishedDataset[],
  cast: Cast = makeCast(),
): Contract {
  const [first] = published;
  const hour = first?.columns.find((column) => column.name === 'hour');
  const delay = first?.columns.find((column) => column.name === 'delay');
  if (hour?.labels === undefined || delay?.bounds === undefined) throw new Error('not published');
  return makeContract(cast, {
    plan: {
      kind: 'aggregate',
      table: 'flights',
      groups: [{ column: 'hour' }],
      measures: [
        { as: 'flights', fn: 'count' },
        { as: 'mean_delay', fn: 'avg', column: 'delay' },
      ],
      select: [{ column: 'hour', in: { parameter: 'hours' } }],
    },
    parameters: {
      hours: { kind: 'labels', column: 'hour', labels: ['06', '07'], most: 2 },
    },
    dictionaries: [{ column: 'hour', labels: [...hour.labels] }],
    bounds: [{ column: 'delay', ...delay.bounds }],
    datasets: HOLDERS.map((holder) => ({
      holder,
      dataset: 'departures',
      version: 'any' as const,
      rowsMax: 2 ** 20,
    })),
  });
}
