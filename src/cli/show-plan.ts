/** A judged query as people read it: what refuses it, what it would cost, who would learn what. */
import type { ExplainBody, PlanBody, RefusalBody } from '../contracts/api.ts';
import { matchLines } from '../contracts/plain-match.ts';
import type { MatchPlan } from '../contracts/plan.ts';
import type { WeirError } from '../errors.ts';
import { visible } from '../contracts/plain-text.ts';
import { table } from './terminal.ts';

/** The refusals, or that there are none; then the explanation, where the plan can be computed. */
export function planText({ draft, refusals, explanation }: PlanBody): string {
  const parts: string[] = [];
  if (refusals.length > 0) parts.push(refusalLines(refusals).join('\n'));
  if (draft?.plan.kind === 'match') parts.push(matchText(draft.plan, draft.disclosure));
  if (explanation !== undefined) {
    parts.push(explanationTable(explanation, draft), learnsLines(explanation).join('\n'));
  }
  return parts.join('\n\n');
}

/** What a match asks, in the words of the contract over it: SQL would read some of it otherwise. */
function matchText(
  plan: MatchPlan,
  { noise }: NonNullable<PlanBody['draft']>['disclosure'],
): string {
  const lines = matchLines(plan, noise !== undefined);
  return [
    'what is matched · 匹配内容',
    ...lines.flatMap(({ zh, en }) => [`  ${zh}`, `  ${en}`]),
  ].join('\n');
}

/** Refusals that were met here rather than told by a gateway. */
export function refusalsText(refusals: readonly WeirError[]): string {
  return refusalLines(
    refusals.map(({ code, message, facts }) => ({ ...facts, code, detail: message })),
  ).join('\n');
}

/** One refusal of several parties is shown once. */
function refusalLines(refusals: readonly RefusalBody[]): string[] {
  const merged = new Map<string, RefusalBody>();
  for (const { party, ...refusal } of refusals) {
    const key = JSON.stringify(refusal);
    const before = merged.get(key)?.party;
    const parties = [before, party].filter((name) => name !== undefined).join(', ');
    merged.set(key, { ...refusal, party: parties === '' ? undefined : parties });
  }
  const count = refusals.length === 1 ? '1 refusal' : `${refusals.length} refusals`;
  return [`${count} · 拒绝`, ...[...merged.values()].flatMap(linesOf)];
}

function linesOf({ code, detail, path, column, rule, party, remedy }: RefusalBody): string[] {
  const named = [
    ['where', path],
    ['column', column],
    ['rule', rule],
    ['party', party],
    ['remedy', remedy],
  ] as const;
  return [
    `  ${code}: ${visible(detail)}`,
    ...named.flatMap(([name, text]) =>
      text === undefined ? [] : [`    ${name.padEnd(6)}  ${visible(text)}`],
    ),
  ];
}

function explanationTable(explained: ExplainBody, draft: PlanBody['draft']): string {
  const { units, quota, currency, priceMicros } = explained;
  const rows: [string, string, string][] = [
    ['protocol', '协议', `${explained.protocol}, engine ${explained.engine}`],
    ...engineRows(explained),
    ['answer', '结果', answerText(explained, draft)],
    ['cells', '单元格', String(explained.cells)],
    ...noiseRows(explained),
    ...ruleRows(explained),
    ...releaseRows(explained),
    ...(draft?.datasets ?? []).map(({ holder, dataset, rowsMax }): [string, string, string] => [
      'rows',
      '行数区间',
      `${holder}/${dataset}: at most ${rowsMax}`,
    ]),
    ['price', '单价', `${Number(priceMicros) / 1e6} ${currency} a run`],
    ['time', '预计耗时', `${seconds(units)} s of one core, by the published formula`],
    ...quota.map(({ dimension, window, left }): [string, string, string] => [
      'quota',
      '配额',
      `${dimension}, ${window}: ${units[dimension] ?? '0'} of ${left} left`,
    ]),
  ];
  return table(['', '', 'a run of this plan · 试算'], rows);
}

/** What each engine would take, where there is a choice. */
function engineRows({ engine: chosen, engines = [] }: ExplainBody): [string, string, string][] {
  if (engines.length < 2) return [];
  return engines.map(({ engine, computeMilliUnits, bytes }) => [
    engine === chosen ? 'engine *' : 'engine',
    engine === chosen ? '所选引擎' : '备选引擎',
    `${engine}: ${Number(computeMilliUnits) / 1000} s of one core, ${(Number(bytes) / 1e6).toFixed(1)} MB`,
  ]);
}

function answerText({ exact }: ExplainBody, draft: PlanBody['draft']): string {
  if (!exact) return 'noised · 加噪: expected errors below';
  const smallest = draft?.disclosure.smallestCell;
  return smallest === undefined ? 'exact · 精确' : `exact · 精确; cells under ${smallest} withheld`;
}

/** What noise costs each person, and how far off each result is to be expected. */
function noiseRows({ noise }: ExplainBody): [string, string, string][] {
  if (noise === undefined) return [];
  const { mechanism, microRho, epsilon, delta, deviations } = noise;
  return [
    ['noise', '噪声', `${mechanism}, ρ ${microRho / 1e6}: ε ${epsilon.toFixed(2)}, δ ${delta}`],
    ...deviations.map(({ of, deviation }): [string, string, string] => [
      'error',
      '标准差',
      `${of}: ± ${deviation.toPrecision(3)}`,
    ]),
  ];
}

/** Sums that are withheld though many rows make them, and the last digits that are not shown. */
function ruleRows({ dominance, rounding = [] }: ExplainBody): [string, string, string][] {
  const rows: [string, string, string][] = rounding.map(({ as, base }) => [
    'rounded',
    '取整',
    `${as}: multiples of ${base}`,
  ]);
  if (dominance === undefined) return rows;
  const { percent, largest, share } = dominance;
  return [
    [
      'dominance',
      '支配规则',
      `sums withheld where a holder's ${largest} largest have over ${share}%, or its largest is known within ${percent}%`,
    ],
    ...rows,
  ];
}

function releaseRows({ release }: ExplainBody): [string, string, string][] {
  if (release === undefined) return [];
  return [['release', '放行', `an officer of each holder, within ${release.withinS} s`]];
}

/** Milli-units are thousandths of a second of one core. */
function seconds(units: ExplainBody['units']): string {
  return (Number(units['compute-milli-units'] ?? '0') / 1000).toFixed(3);
}

/** A sentence a party in both languages; the same sentence of several parties once. */
function learnsLines({ learns }: ExplainBody): string[] {
  const parties = new Map<string, string[]>();
  for (const { party, zh, en } of learns) {
    const key = `    ${visible(zh)}\n    ${visible(en)}`;
    parties.set(key, [...(parties.get(key) ?? []), visible(party)]);
  }
  return [
    'who learns what · 各方获知',
    ...[...parties].map(([words, names]) => `  ${names.join(', ')}\n${words}`),
  ];
}
