/** What holds a result back besides thresholds and noise, in plain words. */
import type { Contract } from './contract.ts';
import type { PlainLine } from './plain-text.ts';

export function dominanceLines(terms: Contract['disclosure']['dominance']): PlainLine[] {
  if (terms === undefined) return [];
  const { percent, largest, share } = terms;
  return [
    {
      zh: `某持有方的一个格子中，最大的 ${largest} 个贡献者超过合计的 ${share}%，或第二大贡献者能把最大者估计到 ${percent}% 以内时，该格子的合计不公布`,
      en: `A sum is withheld where at some holder the ${largest} largest contributors have over ${share}% of it, or the second largest could estimate the largest within ${percent}%`,
    },
  ];
}

export function roundingLines(terms: Contract['disclosure']['rounding'] = []): PlainLine[] {
  return terms.map(({ as, base }) => ({
    zh: `${as} 取整为 ${base} 的倍数`,
    en: `${as} is rounded to multiples of ${base}`,
  }));
}

export function releaseLines(terms: Contract['release']): PlainLine[] {
  if (terms === undefined) return [];
  const { by, withinS } = terms;
  return [
    {
      zh: `每次结果须经每个参与持有方的数据管理员在 ${withinS} 秒内放行（${by}）；逾期作废不收费，拒绝则按一次运行收费`,
      en: `Each result needs the release by an ${by} of every holder of the run within ${withinS} seconds; too late voids the run, a refusal is charged as a run`,
    },
  ];
}
