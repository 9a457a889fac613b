/**
 * Matches over real processes, links and files: the answers, what the gateway can see of them, and
 * what is left when a domain or the gateway dies in the middle.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeirProblem } from '../../src/client/problem.ts';
import type { StatedTerms } from '../../src/cli/analyst.ts';
import { openedRun } from '../../src/cli/sealing.ts';
import type { ContractBody, RunBody } from '../../src/contracts/api.ts';
import type { Release } from '../../src/computations/computation.ts';
import { ContractSchema } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { type PartyId, PartyIdSchema, type RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { findCanaries } from './support/canary.ts';
import { weir as command } from './support/command.ts';
import { recordingProxy, type Recording } from './support/recording-proxy.ts';
import { eventually, startWeir, type Holder, type TestWeir } from './support/weir.ts';

const CLINIC = PartyIdSchema.parse('clinic');
const PHARMACY = PartyIdSchema.parse('pharmacy');
const TABLES = new Map([
  [CLINIC, 'visits'],
  [PHARMACY, 'sales'],
]);
/** In keys and values alike; long, so that chance does not make them. */
const MARKS = ['patient-7c1f9e', 'patient-a05b3d', 'only-clinic-55', 'only-pharma-66'];

const clinicRows = [
  ...Array.from({ length: 30 }, (_, i) => [
    `shared-${i}`,
    `2026-01-${String((i % 28) + 1).padStart(2, '0')}`,
    i * 10,
  ]),
  ['patient-7c1f9e', '2026-02-01', 1],
  ['patient-a05b3d', '2026-02-02', 2],
  ['patient-a05b3d', '2026-02-02', 4],
  ['only-clinic-55', '2026-02-03', 8],
];
const pharmacyRows = [
  ...clinicRows
    .slice(10, 33)
    .map(([person, day]) => [String(person).toUpperCase(), String(day).replaceAll('-', '')]),
  ['only-pharma-66', '20260203'],
];
/** Rows 10 to 32: each once, the doubled one twice. */
const SHARED = clinicRows.slice(10, 33);
const SUM = SHARED.reduce((sum, row) => sum + Number(row[2]), 0);

/** Important data of the same people: only with noise, and only by person. */
const important = (name: string, people: readonly unknown[]) => ({
  registration: {
    format: 'weir-dataset/1',
    name,
    title: { zh: '重要数据', en: 'Important' },
    grade: 'important',
    personalInformation: 'none',
    legalBasis: 'Test data',
    privacyUnit: 'person',
    partitions: [],
    columns: [{ name: 'person', type: 'text', usage: ['join'] }],
  },
  format: 'csv',
  csv: ['person', ...people].join('\n'),
});

const column = (
  name: string,
  type: 'text' | 'date' | 'integer',
  usage: string[],
  more: object = {},
) => ({
  name,
  type,
  usage,
  ...more,
});
const holders = [
  {
    party: CLINIC,
    tables: [
      {
        registration: {
          format: 'weir-dataset/1',
          name: 'visits',
          title: { zh: '就诊', en: 'Visits' },
          grade: 'general',
          personalInformation: 'none',
          legalBasis: 'Test data',
          partitions: [],
          columns: [
            column('person', 'text', ['join', 'reveal']),
            column('day', 'date', ['join', 'reveal']),
            column('cost', 'integer', ['sum'], {
              bounds: { minimum: '0', maximum: '1000', scale: 0 },
            }),
          ],
        },
        format: 'csv',
        csv: ['person,day,cost', ...clinicRows.map((row) => row.join(','))].join('\n'),
      },
      important(
        'patients',
        clinicRows.map(([person]) => person),
      ),
    ],
  },
  {
    party: PHARMACY,
    tables: [
      {
        registration: {
          format: 'weir-dataset/1',
          name: 'sales',
          title: { zh: '销售', en: 'Sales' },
          grade: 'general',
          personalInformation: 'none',
          legalBasis: 'Test data',
          partitions: [],
          columns: [
            column('buyer', 'text', ['join', 'reveal']),
            column('date', 'text', ['join', 'reveal']),
          ],
        },
        format: 'csv',
        csv: ['buyer,date', ...pharmacyRows.map((row) => row.join(','))].join('\n'),
      },
      important(
        'buyers',
        pharmacyRows.map(([person]) => person),
      ),
    ],
  },
] as unknown as readonly Holder[];

const TITLE = { zh: '测试', en: 'Test' };
const byPerson: MatchPlan['key'][number] = {
  as: 'person',
  type: 'text',
  columns: [
    { holder: CLINIC, column: 'person' },
    { holder: PHARMACY, column: 'person' },
  ],
};

const planOf = (changes: Partial<MatchPlan>): MatchPlan => ({
  kind: 'match',
  ask: 'cardinality',
  receiver: PHARMACY,
  key: [
    {
      as: 'person',
      type: 'text',
      columns: [
        { holder: CLINIC, column: 'person' },
        { holder: PHARMACY, column: 'buyer' },
      ],
    },
    {
      as: 'day',
      type: 'date',
      columns: [
        { holder: CLINIC, column: 'day' },
        { holder: PHARMACY, column: 'date', dateFormat: 'compact' },
      ],
    },
  ],
  duplicates: 'multiplicity',
  ...changes,
});

let weir: TestWeir;
let recording: Recording;
let counted: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({
    holders,
    controlled: true,
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
  counted = await agree(planOf({}));
}, 120_000);
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

async function agree(
  plan: MatchPlan,
  tables: ReadonlyMap<PartyId, string> = TABLES,
  noise?: NoiseTerms,
  more: Partial<StatedTerms> = {},
): Promise<ContractBody> {
  const terms = { title: TITLE, ...more, ...(noise === undefined ? {} : { noise }) };
  const drafted = await weir.analyst.draftMatch(plan, tables, terms);
  await weir.analyst.propose(drafted);
  const hash = contractHash(drafted);
  await Promise.all(weir.parties.map((party) => weir.officer(party).sign(drafted.id, { hash })));
  return weir.analyst.untilActive(drafted.id, () => undefined);
}

async function released(contract: ContractBody): Promise<Release> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  if (contract === counted) runIds.add(run.runId);
  const opened = await openedRun(weir.analyst, contract.contract, run, () => {
    throw new Error('no sealing key is needed');
  });
  expect(run.verified.missing).toEqual([]);
  return opened.result.release;
}

/** Nothing of a protocol is left in either domain's directory. */
function leftovers(): string[] {
  return weir.parties.flatMap((party) => {
    const spill = join(weir.directory, party, 'state', 'spill');
    if (!existsSync(spill)) return [];
    return readdirSync(spill, { recursive: true })
      .map(String)
      .filter((name) => name.includes('protocol-') || name.includes('.spill'));
  });
}

describe('a match between two domains', () => {
  it('counts what both have, whoever matches', async () => {
    const { engines } = await weir.officer(CLINIC).status();
    expect(engines.match).toMatch(/^(avx512ifma|(noble\+)?(sodium|openssl))$/);
    const log = readFileSync(join(weir.directory, 'clinic.log'), 'utf8');
    expect(log).toContain(`"engine":"${engines.match}"`);
    expect((await released(counted)).rows).toEqual([[SHARED.length]]);
    const turned = await agree(planOf({ receiver: CLINIC }));
    expect((await released(turned)).rows).toEqual([[SHARED.length]]);
  });

  it('sums the other’s values over it, and reveals the keys where both let it', async () => {
    const summed = await agree(planOf({ ask: 'sum', sum: { as: 'cost', column: 'cost' } }));
    expect((await released(summed)).rows).toEqual([[SHARED.length, String(SUM)]]);
    const expected = SHARED.map(([person, day]) => [String(person), String(day)]).toSorted(
      (a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1),
    );
    for (const [engine, names] of [
      ['ecdh', ['psi-ecdh', 'psi-vole', 'psi-oprf']],
      ['vole', ['psi-ecdh', 'psi-vole', 'psi-oprf']],
      ['vole-without-lpn', ['psi-ecdh', 'psi-vole', 'psi-vole-ot', 'psi-oprf']],
    ] as const) {
      const revealed = await agree(planOf({ ask: 'intersection', engine }));
      expect((await released(revealed)).rows).toEqual(expected);
      const explained = await weir.analyst.explain(revealed.contract.id, {});
      expect(explained.engine.split('/')[0]).toBe(
        engine === 'vole-without-lpn' ? 'psi-vole-ot' : `psi-${engine}`,
      );
      expect(explained.engines?.map((each) => each.engine.split('/')[0])).toEqual(names);
    }
  });

  it('waits for an officer of both, where the contract says so', async () => {
    const release = { by: 'officer', withinS: 600 } as const;
    const summed = planOf({ ask: 'sum', sum: { as: 'cost', column: 'cost' } });
    for (const plan of [planOf({}), summed]) {
      const waiting = released(await agree(plan, TABLES, undefined, { release }));
      for (const party of weir.parties) {
        const officer = weir.officer(party);
        await eventually('the result waits', async () => (await officer.releases()).length === 1);
        const [{ runId } = { runId: '' as RunId }] = await officer.releases();
        const { hash, lines } = await officer.reviewRelease(runId);
        // The holder that matches knows the number; the other is shown its own keys alone.
        const knows = lines.some(({ en }) => en === `${SHARED.length} keys are shared`);
        expect(knows).toBe(party === PHARMACY);
        await officer.decideRelease(runId, { decision: 'approved', hash });
      }
      const expected = plan === summed ? [SHARED.length, String(SUM)] : [SHARED.length];
      expect((await waiting).rows).toEqual([expected]);
    }
  });

  it('noises what is important, the same however often it is asked', async () => {
    const plan = planOf({ duplicates: 'distinct', key: [byPerson] });
    const tables = new Map([
      [CLINIC, 'patients'],
      [PHARMACY, 'buyers'],
    ]);
    const noise = {
      mechanism: 'discrete-gaussian',
      microRhoPerRun: 400_000,
      deltaExponent: 9,
      cellsPerUnit: 1,
      rowsPerCell: 1,
      honestDomains: 1,
    } as const;
    const contract = await agree(plan, tables, noise);
    const { rows } = await released(contract);
    const exact = new Set(SHARED.map(([person]) => person)).size;
    // Two shares of variance 8 each: beyond 40 less than once in 10^20 runs.
    expect(Math.abs(Number(rows[0]?.[0] ?? exact) - exact)).toBeLessThan(40);
    expect((await released(contract)).rows).toEqual(rows);
    const explained = await weir.analyst.explain(contract.contract.id, {});
    expect(explained.exact).toBe(false);
    const secured = await weir.analyst.draftMatch(plan, tables, { title: TITLE });
    expect(secured.disclosure).toMatchObject({ smallestCell: 10, noise: { cellsPerUnit: 1 } });
  });

  it('is drafted from a file by the command', async () => {
    const file = join(weir.directory, 'match.json');
    const datasets = Object.fromEntries(TABLES);
    writeFileSync(file, JSON.stringify({ title: TITLE, datasets, plan: planOf({}) }));
    const dir = join(weir.directory, 'analyst');
    const drafting = command(['contract', 'draft', '--dir', dir, '--url', weir.url, file]);
    expect(await drafting.ended).toBe(0);
    const drafted = ContractSchema.parse(JSON.parse(drafting.stdout()));
    expect(drafted.plan).toEqual(planOf({}));
    writeFileSync(file, JSON.stringify({ title: TITLE, plan: planOf({}) }));
    const without = command(['contract', 'draft', '--dir', dir, '--url', weir.url, file]);
    expect(await without.ended).not.toBe(0);
    expect(without.stderr()).toContain('datasets');
  });

  it('shows no key and no sum on the way, in no encoding', () => {
    const passed = recording.messages.map(({ where, bytes }) => findCanaries(MARKS, bytes, where));
    expect(passed.flat()).toEqual([]);
    expect(recording.messages.length).toBeGreaterThan(50);
    // The control: the search sees a key that does travel.
    expect(findCanaries(MARKS, Buffer.from(`{"key":"${MARKS[0]}"}`), 'control')).not.toEqual([]);
  });
});

describe('a match that breaks off', () => {
  const started = async (): Promise<RunId> => {
    const { request, idempotencyKey } = weir.prepare(counted);
    const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
    runIds.add(runId);
    return runId;
  };
  const checkVoided = async (run: RunBody): Promise<void> => {
    expect(run.state).toBe('voided');
    const failure = weir.analyst.client.result(run.runId);
    await expect(failure).rejects.toBeInstanceOf(WeirProblem);
    await expect(failure).rejects.toMatchObject({ code: run.code });
    expect(leftovers()).toEqual([]);
    expect(faultsIn(await readBooks(weir, counted.contract.id, runIds))).toEqual([]);
  };

  it.each([
    [CLINIC, 'psi.points'],
    [PHARMACY, 'psi.points'],
    [PHARMACY, 'psi.result'],
  ])('because %s dies at %s is voided, and the next one is as ever', async (party, step) => {
    await weir.program(party).order({ kind: 'crash-at', step });
    const runId = await started();
    expect(await weir.program(party).ended).toMatchObject({ signal: 'SIGKILL' });
    await weir.start(party);
    await weir.linked();
    await checkVoided(await endOf(weir, runId));
    expect((await released(counted)).rows).toEqual([[SHARED.length]]);
  });

  it('because the gateway dies in the middle is voided, and the next one is as ever', async () => {
    await weir.gateway.order({ kind: 'crash-at', step: 'released' });
    const { request, idempotencyKey } = weir.prepare(counted);
    const sending = weir.analyst.client.startRun(request, idempotencyKey).catch(() => undefined);
    await weir.gateway.ended;
    await weir.start('gateway');
    await sending;
    await weir.linked();
    const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
    runIds.add(runId);
    await checkVoided(await endOf(weir, runId));
    expect((await released(counted)).rows).toEqual([[SHARED.length]]);
  });
});
