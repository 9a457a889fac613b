import { aggregatePlanOf } from '../../src/contracts/plan-fits.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPlan, planRefusals } from '../../src/catalog/check-plan.ts';
import {
  DatasetRegistrationSchema,
  parseRegistration,
  type DatasetRegistration,
} from '../../src/catalog/dataset.ts';
import { bandLabels, hourLabels, monthLabels } from '../../src/catalog/derive.ts';
import {
  fingerprintOfVersion,
  rowBucket,
  signPublished,
  verifyPublished,
} from '../../src/catalog/published.ts';
import { flightsRegistration } from '../../src/cli/demo/flights-registration.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { flightsContract, publishFlights } from '../support/published-flights.ts';

const registration = flightsRegistration('departures');

describe('dataset registration', () => {
  const faultOf = (changes: object): string => {
    const parsed = DatasetRegistrationSchema.safeParse({ ...registration, ...changes });
    return parsed.success ? '' : (parsed.error.issues[0]?.message ?? 'no message');
  };
  const withColumn = (name: string, changes: object): object => ({
    columns: registration.columns.map((column) =>
      column.name === name ? { ...column, ...changes } : column,
    ),
  });

  it('is accepted as the demo writes it', () => {
    expect(faultOf({})).toBe('');
    expect(parseRegistration(JSON.stringify(registration), 'x.json')).toEqual(registration);
  });

  it.each<[object, RegExp]>([
    [withColumn('hour', { name: 'month' }), /same name/],
    [withColumn('hour', { labels: undefined }), /needs labels/],
    [withColumn('hour', { labels: ['00', '00'] }), /lists a label twice/],
    [withColumn('hour', { labels: ['(other)'] }), /well-formed text/],
    [withColumn('hour', { labels: ['a\ud800'] }), /well-formed text/],
    [withColumn('hour', { derived: { derive: 'hour', from: 'delay' } }), /cannot be a hour/],
    [withColumn('hour', { derived: { derive: 'hour', from: 'month' } }), /not a stored column/],
    [withColumn('hour', { derived: { derive: 'sql', from: 'date' } }), /./],
    [withColumn('hour', { usage: ['group', 'group'] }), /lists a use twice/],
    [withColumn('delay', { bounds: undefined }), /needs bounds/],
    [
      withColumn('delay', { bounds: { minimum: '2', maximum: '1', scale: 0 } }),
      /above its maximum/,
    ],
    [
      withColumn('origin', { usage: ['sum'], bounds: { minimum: '0', maximum: '1', scale: 0 } }),
      /cannot be summed/,
    ],
    [
      withColumn('distanceBand', {
        derived: { derive: 'band', from: 'distance', edges: ['2', '1.5'] },
      }),
      /do not ascend/,
    ],
    [withColumn('hour', { labels: ['00', '24'] }), /lists "24", which no hour is: .* 00 to 23/],
    [
      withColumn('distanceBand', {
        labels: ['<2', '2..4', '>=4'],
        derived: { derive: 'band', from: 'distance', edges: ['2', '4'] },
      }),
      /lists "2\.\.4", which no band is/,
    ],
    [{ partitions: [['origin']] }, /not a column that may be grouped/],
    [{ partitions: [['hour', 'hour']] }, /repeats a column/],
    [{ personalInformation: 'personal' }, /needs a privacyUnit/],
    [{ personalInformation: 'personal', privacyUnit: 'origin' }, /consent column or/],
    [{ privacyUnit: 'hour' }, /its labels are people/],
    [
      {
        privacyUnit: 'origin',
        columns: [
          ...registration.columns,
          {
            name: 'who',
            type: 'text',
            usage: ['group'],
            labels: ['JFK'],
            derived: { derive: 'copy', from: 'origin' },
          },
        ],
      },
      /who may not be grouped by: its labels are people/,
    ],
    [{ unknown: 1 }, /[Uu]nrecognized/],
  ])('refuses %j', (changes, message) => {
    expect(faultOf(changes)).toMatch(message);
  });

  it('names the place of a fault in one sentence', () => {
    expect(() => parseRegistration('{', 'x.json')).toThrow(
      'The dataset registration x.json is not valid JSON.',
    );
    expect(() =>
      parseRegistration(JSON.stringify({ ...registration, grade: 'secret' }), 'x.json'),
    ).toThrow(/x\.json is not accepted: grade: /);
  });

  it('derives labels in order', () => {
    expect(bandLabels(['0', '2.5', '10'])).toEqual(['<0', '0..<2.5', '2.5..<10', '>=10']);
    expect(hourLabels().slice(8, 11)).toEqual(['08', '09', '10']);
    expect(monthLabels('1999-11', '2000-02')).toEqual(['1999-11', '1999-12', '2000-01', '2000-02']);
  });
});

describe('publication', () => {
  const west = PartyIdSchema.parse('west');

  it('leaves behind where the data lies and how many rows there are', () => {
    const renamed = registration.columns.map((column) =>
      column.name === 'delay' ? { ...column, sourceName: 'secret_name' } : column,
    );
    const published = publishFlights(west, { columns: renamed }, 852_735);
    const text = JSON.stringify(published);
    for (const secret of ['parquet', 'secret_name', 'duckdb', '852735'])
      expect(text).not.toContain(secret);
    expect(published.rowsMax).toBe(1_048_576);
  });

  it('buckets rows to the next power of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (rows) => {
        const bucket = rowBucket(rows);
        expect(Number.isInteger(Math.log2(bucket))).toBe(true);
        expect(bucket).toBeGreaterThanOrEqual(rows);
        expect(bucket === 1 || bucket / 2 < rows).toBe(true);
      }),
    );
  });

  it('fingerprints versions under a secret, so that a guess about rows cannot be tested', () => {
    const material = Uint8Array.of(1, 2, 3);
    const domain = { holder: west, fingerprintSecret: systemRandom.bytes(32) };
    const fingerprint = fingerprintOfVersion(domain, 'departures', material);
    expect(fingerprintOfVersion(domain, 'departures', material)).toBe(fingerprint);
    expect(fingerprintOfVersion(domain, 'departures', Uint8Array.of(1, 2, 4))).not.toBe(
      fingerprint,
    );
    expect(fingerprintOfVersion(domain, 'arrivals', material)).not.toBe(fingerprint);
    const other = { ...domain, fingerprintSecret: systemRandom.bytes(32) };
    expect(fingerprintOfVersion(other, 'departures', material)).not.toBe(fingerprint);
  });

  it('verifies under the holder’s key, and no other, unchanged', () => {
    const keys = eddsaSuite.generate(systemRandom);
    const signed = signPublished(publishFlights(west), keys);
    expect(verifyPublished(signed, keys.publicKey)).toEqual(signed.dataset);
    expect(() => verifyPublished(signed, eddsaSuite.generate(systemRandom).publicKey)).toThrow(
      /does not verify/,
    );
    const changed = { ...signed, dataset: { ...signed.dataset, grade: 'core' as const } };
    expect(() => verifyPublished(changed, keys.publicKey)).toThrow(/does not verify/);
    const broken = signPublished({ ...signed.dataset, privacyUnit: 'nobody' }, keys);
    expect(() => verifyPublished(broken, keys.publicKey)).toThrow(/not accepted/);
  });
});

describe('plan check', () => {
  const published = HOLDERS.map((holder) => publishFlights(holder));
  const contract = flightsContract(published);
  const [first] = HOLDERS;
  if (first === undefined) throw new Error('no holder');
  const withPlan = (changes: Partial<AggregatePlan>): Contract => ({
    ...contract,
    plan: { ...aggregatePlanOf(contract), ...changes },
  });
  const publish = (changes: Partial<DatasetRegistration>, rows?: number) => [
    publishFlights(first, changes, rows),
    ...published.slice(1),
  ];
  const usageOf = (name: string, usage: DatasetRegistration['columns'][number]['usage']) => ({
    columns: registration.columns.map((column) =>
      column.name === name ? { ...column, usage } : column,
    ),
  });

  it('passes the demo’s contract', () => {
    checkContract(contract);
    checkPlan(contract, published);
    checkPlan(contract, published.slice(0, 1), [first]);
  });

  it('admits important data with noise over a privacy unit, in any partition, and not without', () => {
    const noise = {
      mechanism: 'discrete-gaussian' as const,
      microRhoPerRun: 10_000,
      deltaExponent: 9,
      cellsPerUnit: 4,
      rowsPerCell: 1,
      honestDomains: 2,
    };
    const noised = {
      ...contract,
      disclosure: { ...contract.disclosure, smallestCell: 10, noise },
    };
    const without = HOLDERS.map((holder) =>
      publishFlights(holder, { grade: 'important', partitions: [] }),
    );
    const units = without.map((dataset) => ({ ...dataset, privacyUnit: 'delay' }));
    checkPlan(noised, units);
    expect(() => checkPlan(noised, without)).toThrow(/names none/);
    expect(() => checkPlan({ ...noised, disclosure: contract.disclosure }, units)).toThrow(
      /noised/,
    );
    expect(() =>
      checkPlan({ ...noised, disclosure: { ...noised.disclosure, smallestCell: 9 } }, units),
    ).toThrow(/smallest cell/);
  });

  it.each<[string, () => [Contract, typeof published], object]>([
    [
      'an unpublished dataset',
      () => [contract, published.slice(1)],
      { code: 'dataset-unknown', facts: { party: first } },
    ],
    [
      'core data',
      () => [contract, publish({ grade: 'core' })],
      { code: 'grade-forbids-protocol', facts: { party: first, rule: 'grade core' } },
    ],
    [
      'important data',
      () => [contract, publish({ grade: 'important' })],
      { code: 'noise-required', facts: { party: first } },
    ],
    [
      'an outgrown row cap',
      () => [contract, publish({}, 2_000_000)],
      {
        code: 'dataset-drifted',
        facts: { party: first, rule: 'rowsMax', remedy: 'rowsMax 2097152' },
      },
    ],
    [
      'another version than the pinned one',
      () => [
        {
          ...contract,
          datasets: contract.datasets.map((entry) => ({
            ...entry,
            version: fingerprintOfVersion(
              { holder: first, fingerprintSecret: new Uint8Array(32) },
              'x',
              new Uint8Array(1),
            ),
          })),
        },
        published,
      ],
      { code: 'dataset-drifted', facts: { rule: 'pinned version' } },
    ],
    [
      'an unknown group',
      () => [withPlan({ groups: [{ column: 'gate' }] }), published],
      { code: 'column-unknown', facts: { column: 'gate' } },
    ],
    [
      'a group without the grant',
      () => [contract, publish(usageOf('hour', ['filter']))],
      {
        code: 'column-usage-forbids',
        facts: { column: 'hour', party: first, remedy: /adds group to the usage of hour/ },
      },
    ],
    [
      'a filter without the grant',
      () => [contract, publish(usageOf('hour', ['group']))],
      {
        code: 'column-usage-forbids',
        facts: { column: 'hour', party: first, remedy: /adds filter/ },
      },
    ],
    [
      'a function without the grant',
      () => [contract, publish(usageOf('delay', ['sum', 'var']))],
      {
        code: 'column-usage-forbids',
        facts: {
          column: 'delay',
          party: first,
          rule: 'usage sum, var',
          remedy: /adds avg to the usage of delay/,
        },
      },
    ],
    [
      'a dictionary of its own',
      () => [
        { ...contract, dictionaries: [{ column: 'hour', labels: hourLabels().toReversed() }] },
        published,
      ],
      { code: 'parameter-invalid', facts: { column: 'hour', rule: 'dictionaries' } },
    ],
    [
      'bounds of its own',
      () => [
        { ...contract, bounds: contract.bounds.map((entry) => ({ ...entry, maximum: '2881' })) },
        published,
      ],
      {
        code: 'parameter-invalid',
        facts: { column: 'delay', rule: 'bounds', remedy: 'minimum -1440, maximum 2880, scale 0' },
      },
    ],
    [
      'part of a partition',
      () => [
        {
          ...contract,
          dictionaries: [{ column: 'month', labels: monthLabels('2001-01', '2001-06') }],
          plan: { ...aggregatePlanOf(contract), groups: [{ column: 'month' }], select: [] },
        },
        published,
      ],
      {
        code: 'column-usage-forbids',
        facts: { party: first, rule: 'partitions', remedy: /month × distanceBand/ },
      },
    ],
    [
      'a total over all rows',
      () => [
        {
          ...contract,
          dictionaries: [],
          plan: { ...aggregatePlanOf(contract), groups: [], select: [] },
        },
        published,
      ],
      { code: 'column-usage-forbids', facts: { rule: 'partitions' } },
    ],
  ])('refuses %s', (_, make, expected) => {
    const [bent, catalog] = make();
    const [refusal] = planRefusals(bent, catalog);
    const { code, facts } = expected as { code: string; facts: Record<string, string | RegExp> };
    expect(refusal?.code).toBe(code);
    for (const [key, value] of Object.entries(facts)) {
      const told = Object.entries(refusal?.facts ?? {}).find(([name]) => name === key)?.[1];
      if (value instanceof RegExp) expect(told).toMatch(value);
      else expect(told).toBe(value);
    }
    expect(() => checkPlan(bent, catalog)).toThrow(refusal?.message ?? 'nothing');
  });

  it('refuses a cell below the grade’s smallest', () => {
    const small = { ...contract, disclosure: { ...contract.disclosure, smallestCell: 2 } };
    expect(planRefusals(small, published).map((refusal) => refusal.code)).toEqual(
      HOLDERS.map(() => 'cell-too-small'),
    );
  });

  it('lets a domain check its own dataset alone', () => {
    expect(planRefusals(contract, [], HOLDERS.slice(1)).map((one) => one.facts.party)).toEqual(
      HOLDERS.slice(1),
    );
    expect(planRefusals(contract, [], [])).toEqual([]);
  });
});
