/** Secure sums over three authorities' departures: by hour of day, and by month and distance. */
import type { FinishedRun } from '../../client/analyst.ts';
import type { Contract } from '../../contracts/contract.ts';
import type { AggregatePlan } from '../../contracts/plan.ts';
import { receiptLines, releaseTable } from '../show-run.ts';
import type { DemoContext, DemoRun, DemoStep } from './demo-step.ts';

const MEASURES: AggregatePlan['measures'] = [
  { as: 'flights', fn: 'count' },
  { as: 'mean_delay', fn: 'avg', column: 'delay' },
  { as: 'delay_variance', fn: 'var', column: 'delay' },
];

/** Flights, mean delay and variance by hour of day. */
export const delaysByHour: DemoStep = {
  name: 'delays-by-hour',
  title: {
    zh: '三家机场管理机构：按小时的航班数、平均延误与方差',
    en: 'Three authorities: flights, mean delay and variance by hour of day',
  },
  run: (context) =>
    runStep(context, delaysByHour, {
      kind: 'aggregate',
      table: 'departures',
      groups: [{ column: 'hour' }],
      measures: MEASURES,
      select: [],
    }),
};

/** The same by month and distance band. */
export const delaysByMonthAndDistance: DemoStep = {
  name: 'delays-by-month-and-distance',
  title: {
    zh: '按月份与航程分段的航班数、平均延误与方差',
    en: 'Flights, mean delay and variance by month and distance band',
  },
  run: (context) =>
    runStep(context, delaysByMonthAndDistance, {
      kind: 'aggregate',
      table: 'departures',
      groups: [{ column: 'month' }, { column: 'distanceBand' }],
      measures: MEASURES,
      select: [],
    }),
};

/** What a sealed sum does differently: its contract names a key, its result is opened here. */
export interface Sealing {
  asSealed(contract: Contract): Contract;
  opened(contract: Contract, run: FinishedRun): Promise<FinishedRun>;
}

/** Drafts, has signed, runs and shows one plan. */
export async function runStep(
  context: DemoContext,
  step: Pick<DemoStep, 'title'>,
  plan: AggregatePlan,
  sealing?: Sealing,
): Promise<readonly DemoRun[]> {
  const plain = await context.analyst.draft(plan, { title: step.title });
  return showRun(context, step, sealing?.asSealed(plain) ?? plain, sealing);
}

/** Has a drafted contract signed, runs it and shows what came of it. */
export async function showRun(
  context: DemoContext,
  step: Pick<DemoStep, 'title'>,
  drafted: Contract,
  sealing?: Pick<Sealing, 'opened'>,
): Promise<readonly DemoRun[]> {
  const { analyst, print, progress } = context;
  print(`\n■ ${step.title.en}\n  ${step.title.zh}`);
  await analyst.propose(drafted);
  const contract = await analyst.untilActive(drafted.id, progress);
  print(`  contract ${drafted.id}, signed by ${contract.signatures.length} parties`);
  const explained = await analyst.explain(drafted.id, {});
  const startedMs = performance.now();
  const sealed = await analyst.run(contract, {}, (event) => progress(event.note, event.progress));
  const run = (await sealing?.opened(drafted, sealed)) ?? sealed;
  const wallMs = performance.now() - startedMs;
  print(`\n${indented(releaseTable(run.result.release, 'mean_delay'))}\n`);
  print('  who learned what');
  for (const { party, en, zh } of explained.learns) print(`    ${party}: ${en}\n      ${zh}`);
  print(
    `\n${indented(receiptLines(run).join('\n'))}\n  ${wallMs.toFixed(0)} ms from request to verified result`,
  );
  const { receipt } = run.receipt;
  return [
    {
      protocol: explained.protocol,
      cells: run.result.release.releasedCells,
      rowBucket: Number(receipt.units['rows'] ?? 0),
      wallMs: Math.round(wallMs),
      recordSeq: Number(receipt.record.seq),
      receipt: run.verified.hash,
    },
  ];
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}
