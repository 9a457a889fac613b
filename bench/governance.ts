/**
 * What governance costs: explaining a run, verifying a contract, disclosure control over many cells,
 * and comparing a release with thousands of earlier ones.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPlan } from '../src/catalog/check-plan.ts';
import { DatasetRegistrationSchema } from '../src/catalog/dataset.ts';
import { publishedOf } from '../src/catalog/published.ts';
import { selectedCells, suppressionMaps } from '../src/computations/secure-sum/suppression.ts';
import { secureSum } from '../src/computations/secure-sum/secure-sum.ts';
import { shapeOf } from '../src/computations/secure-sum/shape.ts';
import { checkContract } from '../src/contracts/check-contract.ts';
import type { Contract } from '../src/contracts/contract.ts';
import { checkArguments } from '../src/contracts/plan-fits.ts';
import { checkValidity, verifyAllSignatures } from '../src/contracts/signed-documents.ts';
import { noiseKey, wordStream } from '../src/disclosure/noise-stream.ts';
import { noisePlan } from '../src/disclosure/noise-plan.ts';
import { noiseShares } from '../src/disclosure/noise-vector.ts';
import { sketcher, ITEM_BYTES } from '../src/disclosure/sketch.ts';
import { DISCLOSURE_STAGES } from '../src/disclosure/stages.ts';
import { openReleaseBook, RELEASE_MIGRATIONS } from '../src/domain/release-book.ts';
import { openSqliteStore } from '../src/store/sqlite-store.ts';
import { systemRandom } from '../src/system/random.ts';
import { HOLDERS, makeCast, makeContract, NOW_MS, signByAll } from '../test/fixtures/contract.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const REPETITIONS = 200;
const EARLIER_RELEASES = 10_000;
const ROWS = 250;
const COLUMNS = 400;

export const governanceSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('explain')) explain(context);
    if (context.wants('verify contract')) verify(context);
    if (context.wants('control 100k cells')) await control(context);
    if (context.wants('difference check')) await difference(context);
  },
};

/** What the gateway's explain works out, without its HTTP and quota look-up. */
function explain(context: BenchContext): void {
  const { contract, published } = explainedCase();
  const args = { hours: ['6', '7'] };
  report(context, 'explain', REPETITIONS, () => {
    checkContract(contract);
    checkArguments(contract, args);
    checkPlan(contract, published);
    secureSum.estimate(contract, args);
  });
}

function verify(context: BenchContext): void {
  const cast = makeCast();
  const contract = makeContract(cast);
  const signed = signByAll(contract, cast);
  report(context, 'verify contract', REPETITIONS, () => {
    checkContract(contract);
    verifyAllSignatures(signed);
    checkValidity(contract, { nowMs: NOW_MS });
  });
}

/** Threshold, contributors and complements over the rows and one column; and noise for both. */
async function control(context: BenchContext): Promise<void> {
  const contract = wideContract();
  const shape = shapeOf(contract, {});
  const seeded = wordStream(new Uint8Array(32));
  const counted = {
    counts: Float64Array.from({ length: shape.cells }, () => seeded.next() % 500),
    contributors: new Uint16Array(shape.cells).fill(3),
  };
  const rules = { ...contract.disclosure, complementary: true as const };
  report(context, 'control 100k cells', 9, () => {
    selectedCells(shape);
    suppressionMaps(shape, [counted, counted], DISCLOSURE_STAGES, rules);
  });
  const plan = noisePlan(
    {
      mechanism: 'discrete-gaussian',
      microRhoPerRun: 100_000,
      deltaExponent: 9,
      cellsPerUnit: 4,
      rowsPerCell: 1,
      honestDomains: 2,
    },
    shape.columns,
    shape.cells,
  );
  const tookMs: number[] = [];
  for (let repetition = 0; repetition < 9; repetition += 1) {
    const startedMs = performance.now();
    const key = noiseKey(new Uint8Array(32), `question ${repetition}`, 'rows');
    await noiseShares(plan.rows, wordStream(key), shape.cells);
    tookMs.push(performance.now() - startedMs);
  }
  reportTimes(context, 'noise 100k cells', tookMs);
}

/** One cell against 10,000 earlier releases of it, on a real store. */
async function difference(context: BenchContext): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-bench-'));
  const store = await openSqliteStore({
    file: join(directory, 'domain.db'),
    migrations: [RELEASE_MIGRATIONS],
  });
  const book = openReleaseBook(store);
  const self = HOLDERS[0];
  if (self === undefined) throw new Error('the fixture has no holder');
  const terms = { self, parties: 'a b c', threshold: 3, nowMs: NOW_MS };
  const one = Uint8Array.of(1);
  const release = (seed: number) => [
    {
      partition: 'p',
      kind: 'unit',
      counters: countersOf(seed),
      asked: one,
      released: one,
    },
  ];
  // Written as admissions write them, without comparing each with all before it.
  const earlier = openReleaseBook({
    ...store,
    query: async () => [],
    execute: (batch) => store.execute(batch),
  });
  for (let done = 0; done < EARLIER_RELEASES; done += 1) await earlier.admit(release(done), terms);
  const tookMs: number[] = [];
  // As a domain does when it starts: beside its link to the gateway, before anybody asks.
  const warmedMs = performance.now();
  await book.warm();
  context.report('difference check', 'warm_ms', performance.now() - warmedMs, 'ms');
  const startedMs = performance.now();
  await book.admit(release(EARLIER_RELEASES * 2), terms);
  context.report('difference check', 'first_ms', performance.now() - startedMs, 'ms');
  for (let repetition = 0; repetition < 25; repetition += 1) {
    const fresh = release(EARLIER_RELEASES + repetition);
    const startedMs = performance.now();
    await book.admit(fresh, terms);
    tookMs.push(performance.now() - startedMs);
  }
  reportTimes(context, 'difference check', tookMs);
  await store.close();
  await rm(directory, { recursive: true, force: true });
}

/** A cell of 200 persons that no other release has. */
function countersOf(seed: number): Int32Array {
  const persons = 200;
  const items = new Uint8Array(persons * ITEM_BYTES);
  const view = new DataView(items.buffer);
  for (let at = 0; at < persons; at += 1) view.setUint32(at * ITEM_BYTES + 8, seed * persons + at);
  const work = sketcher(new Uint8Array(32), 1);
  work.add(items, new Uint32Array(persons));
  return work.finish().counters;
}

function explainedCase(): { contract: Contract; published: ReturnType<typeof publishedOf>[] } {
  const cast = makeCast();
  const contract = makeContract(cast);
  const registration = DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: 'departures',
    title: { zh: '离港', en: 'Departures' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Test data',
    source: { kind: 'duckdb', format: 'csv', files: ['x.csv'] },
    partitions: [['hour', 'carrier']],
    columns: [
      ...contract.dictionaries.map(({ column, labels }) => ({
        name: column,
        type: 'text',
        usage: ['group', 'filter'],
        labels,
      })),
      ...contract.bounds.map(({ column, ...bounds }) => ({
        name: column,
        type: 'integer',
        usage: ['sum', 'avg'],
        bounds,
      })),
    ],
  });
  const description = { columns: [], rowCount: 1_000_000, versionMaterial: new Uint8Array(8) };
  const fingerprintSecret = systemRandom.bytes(32);
  const published = HOLDERS.map((holder) =>
    publishedOf(registration, description, { holder, fingerprintSecret }, '2026-01-01T00:00:00Z'),
  );
  return { contract, published };
}

function wideContract(): Contract {
  const labels = (count: number): string[] =>
    Array.from({ length: count - 1 }, (_, index) => String(index));
  return makeContract(makeCast(), {
    plan: {
      kind: 'aggregate',
      table: 'flights',
      groups: [{ column: 'row' }, { column: 'column' }],
      measures: [
        { as: 'n', fn: 'count' },
        { as: 'mean', fn: 'avg', column: 'delay' },
      ],
      select: [],
    },
    parameters: {},
    dictionaries: [
      { column: 'row', labels: labels(ROWS) },
      { column: 'column', labels: labels(COLUMNS) },
    ],
  });
}

function report(context: BenchContext, name: string, repetitions: number, work: () => void): void {
  const tookMs: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    const startedMs = performance.now();
    work();
    tookMs.push(performance.now() - startedMs);
  }
  reportTimes(context, name, tookMs);
}

function reportTimes(context: BenchContext, name: string, tookMs: readonly number[]): void {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  context.report(name, 'p50_ms', at(0.5), 'ms');
  context.report(name, 'p99_ms', at(0.99), 'ms');
}
