/** What has to travel in one message of the link fits it, and what does not is refused beforehand. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CATALOG_MIGRATIONS, CatalogBook } from '../../src/catalog/catalog-book.ts';
import type { SignedPublishedDataset } from '../../src/catalog/published.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { type Contract, CONTRACT_BYTES_MAX, HOLDERS_MAX } from '../../src/contracts/contract.ts';
import { type SignedReceipt, signReceipt } from '../../src/contracts/receipt.ts';
import {
  CountersignSchema,
  encodeCountersign,
  spendsOf,
} from '../../src/contracts/run-messages.ts';
import { type SignedSpend, signSpend, spendHash } from '../../src/contracts/spend.ts';
import { signRequest } from '../../src/contracts/signed-documents.ts';
import { publishDatasets } from '../../src/domain/publish.ts';
import type { RegisteredDataset } from '../../src/domain/dataset-registry.ts';
import { InputError } from '../../src/errors.ts';
import { encodeFrame } from '../../src/link/frame-codec.ts';
import { BODY_BYTES_MAX } from '../../src/link/limits.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema, type PartyId, PartyIdSchema, RunIdSchema } from '../../src/system/ids.ts';
import { createLog } from '../../src/system/log.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import {
  ANALYST,
  makeCast,
  makeContract,
  makeRequest,
  NOW_MS,
  signByAll,
} from '../fixtures/contract.ts';
import { publishFlights } from '../support/published-flights.ts';
import { postgresKind, sqliteKind, type TestStore } from '../support/test-stores.ts';

const holders = Array.from({ length: 256 }, (_, at) => PartyIdSchema.parse(`holder-${at}`));
const cast = makeCast(holders);
/** The most holders that a contract may have, by the longest names. */
const wide = Array.from({ length: HOLDERS_MAX }, (_, at) =>
  PartyIdSchema.parse(`holder-${String(at).padStart(56, '0')}`),
);
const wideCast = makeCast(wide);
const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** A contract whose labels, all of which a request may choose, fill about `bytes` of it twice. */
function contractWith(count: number): Contract {
  const labels = Array.from({ length: count }, (_, at) => String(at).padStart(250, '界'));
  return makeContract(
    cast,
    {
      plan: {
        kind: 'aggregate',
        table: 'flights',
        groups: [{ column: 'hour' }],
        measures: [{ as: 'flights', fn: 'count' }],
        select: [{ column: 'hour', in: { parameter: 'hours' } }],
      },
      bounds: [],
      dictionaries: [{ column: 'hour', labels }],
      parameters: { hours: { kind: 'labels', column: 'hour', labels, most: count } },
      disclosure: { smallestCell: 3, smallestContributors: 1 },
    },
    holders,
  );
}

describe('a contract', () => {
  const labelBytes = 2 * (contractWith(2).dictionaries[0]!.labels[0]!.length * 3);
  const count = Math.floor((CONTRACT_BYTES_MAX - sizeOf(contractWith(1))) / labelBytes);

  it('of the largest size travels with a full request and all signatures', () => {
    const contract = contractWith(count);
    expect(sizeOf(contract)).toBeGreaterThan(0.98 * CONTRACT_BYTES_MAX);
    checkContract(contract);
    const { labels } = contract.dictionaries[0]!;
    const request = makeRequest(contract, { arguments: { hours: [...labels] } });
    const message = {
      runId: contract.id,
      attempt: 1,
      parties: holders,
      contract: signByAll(contract, cast),
      request: signRequest(request, cast.keyOf(ANALYST)),
    };
    expect(encodeFrame(message).length).toBeLessThan(BODY_BYTES_MAX);
  });

  it('of more is refused before anybody signs it', () => {
    expect(() => checkContract(contractWith(count + 5))).toThrow(
      expect.objectContaining({ code: 'set-too-large' }) as InputError,
    );
  });
});

describe('a receipt to countersign', () => {
  const run = (parties: readonly PartyId[]): readonly [SignedReceipt, readonly SignedSpend[]] => {
    const contract = makeContract(cast, {}, holders);
    const hash = HashSchema.parse('a'.repeat(64));
    const number = Number.MAX_SAFE_INTEGER;
    const spends = parties.map((party) =>
      signSpend(
        {
          format: 'weir-spend/1',
          party,
          seq: number,
          previous: hash,
          contractHash: hash,
          requestHash: hash,
          nonce: encodeBase64url(new Uint8Array(32)),
          runId: RunIdSchema.parse(contract.id),
          attempt: 1,
          descriptorHash: hash,
          parties: [...parties],
          runs: 1,
          counted: {
            total: number,
            day: { key: '2026-06-15', runs: number },
            month: { key: '2026-06', runs: number },
          },
          at: new Date(NOW_MS).toISOString(),
        },
        wideCast.keyOf(party),
      ),
    );
    const gateway = eddsaSuite.generate(systemRandom);
    const receipt = signReceipt(
      {
        format: 'weir-receipt/1',
        gatewayKey: encodeBase64url(gateway.publicKey),
        runId: RunIdSchema.parse(contract.id),
        attempt: 1,
        contractId: contract.id,
        contractHash: hash,
        requestHash: hash,
        descriptorHash: hash,
        parties: [...parties],
        spends: spends.map(({ spend }) => ({
          party: spend.party,
          seq: spend.seq,
          hash: spendHash(spend),
        })),
        outcome: 'posted',
        code: null,
        units: { runs: '1' },
        chargeMicros: '9'.repeat(39),
        currency: 'CNY',
        record: { seq: '1', hash },
        audit: { size: '1', hash },
        resultHash: hash,
        at: new Date(NOW_MS).toISOString(),
      },
      gateway,
    );
    const countersignatures = parties.map((party) => ({ party, jws: spends[0]!.jws }));
    return [{ ...receipt, countersignatures }, spends];
  };

  it('travels whatever its holders are, however many a contract may have', () => {
    const [receipt, spends] = run(wide);
    const message = encodeCountersign(receipt, spends);
    expect(encodeFrame(message).length).toBeLessThan(BODY_BYTES_MAX);
    const heard = CountersignSchema.parse(JSON.parse(JSON.stringify(message)));
    expect(spendsOf(heard)).toEqual(spends);
    // The control: with the parties in every statement it would not.
    expect(encodeFrame({ receipt, spends }).length).toBeGreaterThan(BODY_BYTES_MAX);
  });
});

const postgres = await postgresKind();
afterAll(() => postgres.stop());
describe.each([sqliteKind, postgres])('publication on $name', (kind) => {
  let opened: TestStore;
  let book: CatalogBook;
  beforeEach(async (context) => {
    if (kind.missing !== undefined) context.skip(kind.missing);
    opened = await kind.open([CATALOG_MIGRATIONS]);
    book = new CatalogBook(opened.store, opened.audit);
  });
  afterEach(() => (kind.missing === undefined ? opened.remove() : undefined));

  const keys = eddsaSuite.generate(systemRandom);
  const log = createLog({ level: 'silent', name: 'test' });
  const holder = PartyIdSchema.parse('west');
  const datasetOf = (name: string, labelBytes: number): RegisteredDataset => {
    const base = publishFlights(holder);
    const columns = base.columns.map((column) =>
      column.name === 'hour'
        ? {
            ...column,
            derived: undefined,
            labels: Array.from({ length: labelBytes / 256 }, (_, i) => `${i}`.padStart(250, 'x')),
          }
        : column,
    );
    return { published: { ...base, name, columns } } as unknown as RegisteredDataset;
  };
  let messages: number[] = [];
  const link = {
    request: async (_method: string, body: unknown) => {
      const { names, datasets } = body as { names: string[]; datasets: SignedPublishedDataset[] };
      messages.push(encodeFrame(body).length);
      await book.publish(holder, names, datasets, keys.publicKey, NOW_MS);
      return null;
    },
  };
  const listed = async (): Promise<string[]> => (await book.list()).map(({ name }) => name);

  const keep = async (): Promise<void> => undefined;

  it('takes several messages where one would not do, and leaves out what fits none', async () => {
    messages = [];
    const some = ['a', 'b', 'c', 'd', 'e'].map((name) => datasetOf(name, 262_144));
    await publishDatasets(link, [...some, datasetOf('huge', 1_048_576)], keys, keep, log);
    expect(messages.length).toBeGreaterThan(2);
    expect(Math.max(...messages)).toBeLessThan(BODY_BYTES_MAX);
    expect(await listed()).toEqual(['a', 'b', 'c', 'd', 'e']);
    const { size } = await opened.audit.head();
    await publishDatasets(link, some, keys, keep, log);
    // What is known already is no news to the audit log.
    expect((await opened.audit.head()).size).toBe(size);
    await publishDatasets(link, some.slice(1, 3), keys, keep, log);
    expect((await opened.audit.head()).size).toBeGreaterThan(size);
    expect(await listed()).toEqual(['b', 'c']);
    await publishDatasets(link, [], keys, keep, log);
    expect(await listed()).toEqual([]);
  });
});
