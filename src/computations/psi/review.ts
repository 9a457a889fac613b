/** What an officer is shown of a match before its result leaves. */
import type { ReleaseReview } from '../computation.ts';

/**
 * @param ownItems - absent where only the number is shown.
 * @param shared - what the receiver knows before anyone, with noise where the contract says so.
 */
export function reviewOf(
  ownItems: number | undefined,
  shared?: { readonly number: number; readonly isPermitted: boolean },
): ReleaseReview {
  const own =
    ownItems === undefined
      ? []
      : [
          {
            zh: `本方参与匹配的键有 ${ownItems} 个`,
            en: `This holder matched ${ownItems} keys of its own`,
          },
        ];
  if (shared === undefined) return { lines: own };
  const { number, isPermitted } = shared;
  const matched = isPermitted
    ? { zh: `共有的键：${number} 个`, en: `${number} keys are shared` }
    : { zh: `共有的键：${number} 个；不公布`, en: `${number} keys are shared; withheld` };
  return { lines: [...own, matched] };
}
