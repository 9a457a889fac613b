/** A judged query as people read it: what refuses it, what it would cost, who would learn what. */
import type { ExplainBody, PlanBody, RefusalBody } from '../contracts/api.ts';
import { table } from './terminal.ts';

/** The refusals, or that there are none; then the explanation, where the plan can be computed. */
export function planText({ draft, refusals, explanation }: PlanBody): string {
  const parts: string[] = [];
  if (refusals.length > 0) {
    const count = refusals.length === 1 ? '1 refusal' : `${refusals.length} refusals`;
    parts.push([`${count} · 拒绝`, ...refusals.flatMap(refusalLines)].join('\n'));
  }
  if (explanation !== undefined) {
    parts.push(explanationTable(explanation, draft), learnsLines(explanation).join('\n'));
  }
  return parts.join('\n\n');
}

function refusalLines({ code, detail, path, column, rule, party, remedy }: RefusalBody): string[] {
  const named = [
    ['where', path],
    ['column', column],
    ['rule', rule],
    ['party', party],
    ['remedy', remedy],
  ] as const;
  return [
    `  ${code}: ${detail}`,
    ...named.flatMap(([name, text]) =>
      text === undefined ? [] : [`    ${name.padEnd(6)}  ${text}`],
    ),
  ];
}

function explanationTable(explained: ExplainBody, draft: PlanBody['draft']): string {
  const { units, quota, currency, priceMicros } = explained;
  const rows: [string, string, string][] = [
    ['protocol', '协议', `${explained.protocol}, engine ${explained.engine}`],
    ['answer', '结果', answerText(explained, draft)],
    ['cells', '单元格', String(explained.cells)],
    ...(draft?.datasets ?? []).map(({ holder, dataset, rowsMax }): [string, string, string] => [
      'rows',
      '行数区间',
      `${holder}/${dataset}: at most ${rowsMax}`,
    ]),
    ['price', '单价', `${Number(priceMicros) / 1e6} ${currency} a run`],
    ['time', '预计耗时', `${seconds(units)} s of one core, by the published formula`],
    ...quota.map(({ dimension, window, limit, left }): [string, string, string] => [
      'quota',
      '配额',
      `${dimension}, ${window}: ${left} of ${limit} left; a run takes ${units[dimension] ?? '0'}`,
    ]),
  ];
  return table(['', '', 'a run of this plan · 试算'], rows);
}

function answerText({ exact }: ExplainBody, draft: PlanBody['draft']): string {
  if (!exact) return 'noised · 加噪';
  const smallest = draft?.disclosure.smallestCell;
  return smallest === undefined ? 'exact · 精确' : `exact · 精确; cells under ${smallest} withheld`;
}

/** Milli-units are thousandths of a second of one core. */
function seconds(units: ExplainBody['units']): string {
  return (Number(units['compute-milli-units'] ?? '0') / 1000).toFixed(3);
}

/** A sentence a party in both languages; the same sentence of several parties once. */
function learnsLines({ learns }: ExplainBody): string[] {
  const parties = new Map<string, string[]>();
  for (const { party, zh, en } of learns) {
    const key = `    ${zh}\n    ${en}`;
    parties.set(key, [...(parties.get(key) ?? []), party]);
  }
  return [
    'who learns what · 各方获知',
    ...[...parties].map(([words, names]) => `  ${names.join(', ')}\n${words}`),
  ];
}
