/** A plan that matches, in plain words. */
import type { MatchPlan } from './plan.ts';

interface Line {
  readonly zh: string;
  readonly en: string;
}

/**
 * What a match asks, who learns it first, and over which columns.
 * @param isNoised - then the number that the receiver learns is nobody's exact one.
 */
export function matchLines(plan: MatchPlan, isNoised: boolean): Line[] {
  const { receiver, ask, duplicates, sum, group, engine } = plan;
  const isCount = ask !== 'intersection';
  const isOnce = duplicates === 'distinct';
  const number = isNoised
    ? { zh: '已由另一方加噪的数目', en: 'number with the other’s noise on it' }
    : { zh: '确切数目', en: 'exact number' };
  const learned = isCount ? number : { zh: '共有的键', en: 'shared keys' };
  return [
    line(
      isCount
        ? `两个持有方共有多少个匹配键（${plan.kind}，${ask}）；不公布是哪些`
        : `两个持有方共有哪些匹配键（${plan.kind}，${ask}）：这些键会公布给结果接收方`,
      isCount
        ? `How many join keys the two holders share (${plan.kind}, ${ask}); which ones is not shown`
        : `Which join keys the two holders share (${plan.kind}, ${ask}): they are shown to the recipient`,
    ),
    line(
      `由 ${receiver} 进行匹配，它最先得知${learned.zh}，在任何门限之前`,
      `${receiver} matches, and learns the ${learned.en} first, before any threshold`,
    ),
    line(
      isOnce ? '重复的键只计一次' : '重复的键按双方出现次数的较小值计',
      isOnce
        ? 'A repeated key counts once'
        : 'A repeated key counts as often as it occurs on both sides',
    ),
    ...(engine === undefined
      ? []
      : [line(`计算引擎：${engine}`, `Computed by the engine ${engine}`)]),
    ...filterLines(plan),
    ...(sum === undefined
      ? []
      : [
          line(
            `${sum.as} = 另一方的 ${sum.column} 在共有键上的合计`,
            `${sum.as} = sum of the other holder’s ${sum.column} over the shared keys`,
          ),
        ]),
    ...(group === undefined
      ? []
      : [
          line(
            `${group.as} = 按 ${receiver} 的 ${group.column} 分组；过小的组${isNoised ? '不公布' : '并入 (other)'}`,
            `${group.as} = by groups of ${receiver}’s ${group.column}; groups too small to be shown ${isNoised ? 'are withheld' : 'count as (other)'}`,
          ),
          line(
            `${receiver} 得知每组的数目；另一方得知每组${isNoised ? '加噪' : '填充'}后的规模`,
            `${receiver} learns the number of each group; the other holder learns each group’s ${isNoised ? 'noised' : 'padded'} size`,
          ),
        ]),
    ...plan.key.map(({ as, type, columns }) => {
      const named = columns
        .map(({ holder, column, dateFormat }) =>
          dateFormat === undefined ? `${holder}.${column}` : `${holder}.${column} (${dateFormat})`,
        )
        .join(' = ');
      return line(`键 ${as}（${type}）：${named}`, `Key ${as} (${type}): ${named}`);
    }),
  ];
}

function line(zh: string, en: string): Line {
  return { zh, en };
}

/** What a holder lets stay with the other one between runs. */
function filterLines({ receiver, ask, engine = 'auto' }: MatchPlan): Line[] {
  const isPinned = engine === 'unbalanced';
  if (ask !== 'intersection' || !(isPinned || engine === 'auto')) return [];
  const when = isPinned
    ? { zh: '', en: '' }
    : {
        zh: '若另一方的数据集大得多且可多次运行，',
        en: 'Where the other holder’s set is far larger and runs may repeat, ',
      };
  const keeps = isPinned ? `${receiver} keeps` : `${receiver} may keep`;
  return [
    line(
      `${when.zh}${receiver} 在各次运行之间保留另一方数据的过滤器；没有另一方逐项应答并计数，它不说明任何键；合约撤销、到期或数据变更时删除`,
      `${when.en}${keeps} a filter of the other’s set between runs; it tells of no key without the other’s answers, which are counted, and goes when the contract is revoked or over or the data changes`,
    ),
  ];
}
