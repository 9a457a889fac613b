/** A match with the analyst's own set in plain words. */
import type { OwnSetPlan } from './plan.ts';

/** What the holder signs for, sentence by sentence. */
export function ownSetLines(plan: OwnSetPlan): { readonly zh: string; readonly en: string }[] {
  const { as, type, column, dateFormat } = plan.key;
  const read = dateFormat === undefined ? type : `${type}, ${dateFormat}`;
  return [
    {
      zh: `分析方自带的集合中有多少个标识在持有方的数据里（${plan.kind}）；不公布是哪些，数目总是加噪声`,
      en: `How many ids of a set that the analyst brings the holder has (${plan.kind}); which ones is not shown, and the number is always noised`,
    },
    {
      zh: `分析方的集合每次至多 ${plan.setSizeMax} 项；其内容由分析方自定，无法核实，每次运行都用新的噪声并计费`,
      en: `The analyst’s set has at most ${plan.setSizeMax} items each time; what is in it is the analyst’s choice and cannot be verified, so every run gets fresh noise and is charged`,
    },
    {
      zh: '由持有方进行匹配：它在加噪声之前得知确切数目，但不得知是哪些标识',
      en: 'The holder matches: it learns the exact number before noise, and not which ids',
    },
    {
      zh: `键 ${as}（${read}）：持有方的 ${column}；重复的键只计一次`,
      en: `Key ${as} (${read}): the holder’s ${column}; a repeated key counts once`,
    },
  ];
}
