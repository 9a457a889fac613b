/**
 * A contract in plain words, in Chinese and English, for the officer who is to sign it: every field
 * that has a meaning shows in the text. Deterministic, so that two people compare the same words.
 *
 * Whatever others wrote (titles, labels, reasons) stands quoted and escaped: it can neither move
 * the cursor of a terminal, nor turn the direction of a line, nor pass for a line of ours.
 */
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash } from '../system/ids.ts';
import type { ColumnBounds, Contract, Dictionary, Party } from './contract.ts';
import type { AggregatePlan, Measure, Parameter } from './plan.ts';
import { dominanceLines, releaseLines, roundingLines } from './plain-disclosure.ts';
import { matchLines } from './plain-match.ts';
import { ownSetLines } from './plain-own-set.ts';
import { weightsLines } from './plain-weights.ts';
import { decimal, keyFingerprint, labelList, quoted, type PlainLine } from './plain-text.ts';
import { contractHash } from './signed-documents.ts';

export interface PlainSection {
  readonly heading: PlainLine;
  readonly lines: readonly PlainLine[];
}

/** What is shown next to what is signed. */
export interface PlainContract {
  readonly sections: readonly PlainSection[];
  /** SHA-256 of the canonical form: what every signature is over. */
  readonly hash: Hash;
}

export function describeContract(contract: Contract): PlainContract {
  return {
    sections: [
      section('合约', 'Contract', aboutLines(contract)),
      section('各方', 'Parties', partyLines(contract)),
      section('计算什么', 'What is computed', planLines(contract)),
      section('用哪些数据', 'Over which data', dataLines(contract)),
      section('公开取值与范围', 'Public labels and bounds', partitionLines(contract)),
      section('谁得到什么', 'Who gets what', outcomeLines(contract)),
      section('限额与期限', 'Limits and dates', limitLines(contract)),
    ],
    hash: contractHash(contract),
  };
}

/** The text of one language, a line each, for a terminal. */
export function plainText(plain: PlainContract, language: 'zh' | 'en'): string {
  const lines = plain.sections.flatMap(({ heading, lines: inner }) => [
    `# ${heading[language]}`,
    ...inner.map((one) => `- ${one[language]}`),
    '',
  ]);
  return lines.join('\n');
}

function aboutLines(contract: Contract): PlainLine[] {
  const { title, purpose } = contract;
  return [
    line(
      `编号 ${contract.id}，格式 ${contract.format}`,
      `Id ${contract.id}, format ${contract.format}`,
    ),
    line(`名称：${both(title)}`, `Title: ${both(title)}`),
    line(`目的：${both(purpose)}`, `Purpose: ${both(purpose)}`),
    ...(contract.purposeCode === undefined
      ? []
      : [
          line(
            `目的代码 ${contract.purposeCode}：只使用同意该目的的数据主体的行。`,
            `Purpose code ${contract.purposeCode}: only rows of people who consent to it are used.`,
          ),
        ]),
    line(`法律依据：${quoted(contract.legalBasis)}`, `Legal basis: ${quoted(contract.legalBasis)}`),
  ];
}

function partyLines(contract: Contract): PlainLine[] {
  const named = (zh: string, en: string, party: Party): PlainLine =>
    line(
      `${zh} ${party.id} ${both(party.name)}，签名公钥指纹 ${keyFingerprint(party.signKey)}`,
      `${en} ${party.id} ${both(party.name)}, signing key ${keyFingerprint(party.signKey)}`,
    );
  return [
    named('分析方', 'Analyst', contract.analyst),
    ...contract.holders.map((holder) => named('数据持有方', 'Holder', holder)),
    line(
      `每次至少 ${contract.minimumParties} 个持有方参与，否则不运行`,
      `At least ${contract.minimumParties} holders take part each time, or nothing runs`,
    ),
  ];
}

function planLines(contract: Contract): PlainLine[] {
  const { parameters, protocol } = contract;
  const sealing =
    protocol.name === 'sealed-sum' ? canonicalHash(protocol.sealingKey).slice(0, 32) : undefined;
  return [
    line(
      `协议 ${protocol.name}${sealing === undefined ? '' : `，接收方加密公钥 ${sealing}`}`,
      `Protocol ${protocol.name}${sealing === undefined ? '' : `, recipient’s sealing key ${sealing}`}`,
    ),
    ...weightsLines(contract),
    ...planKindLines(contract),
    ...Object.keys(parameters)
      .toSorted()
      .flatMap((name) => {
        const parameter = parameters[name];
        return parameter === undefined ? [] : [parameterLine(name, parameter)];
      }),
  ];
}

function planKindLines({ plan, disclosure }: Contract): PlainLine[] {
  switch (plan.kind) {
    case 'match':
      return matchLines(plan, disclosure.noise !== undefined);
    case 'own-set':
      return ownSetLines(plan);
    case 'aggregate':
      return aggregateLines(plan);
  }
}

function aggregateLines(plan: AggregatePlan): PlainLine[] {
  const groups = plan.groups.map((group) => group.column).join(' × ');
  return [
    line(
      `对表 ${plan.table} 在所有持有方处的部分做${groups === '' ? '总计' : `分组统计，分组：${groups}`}（${plan.kind}）`,
      `Over every holder’s part of table ${plan.table}: ${groups === '' ? 'one total' : `by ${groups}`} (${plan.kind})`,
    ),
    ...plan.measures.map((measure) => measureLine(measure)),
    ...plan.select.map(({ column, in: source }) =>
      'values' in source
        ? line(
            `只取 ${column} 为：${labelList(source.values)}`,
            `Only where ${column} is: ${labelList(source.values)}`,
          )
        : line(
            `${column} 的取值每次由分析方以参数 ${source.parameter} 选定`,
            `The analyst chooses ${column} each time by parameter ${source.parameter}`,
          ),
    ),
  ];
}

function measureLine(measure: Measure): PlainLine {
  switch (measure.fn) {
    case 'count':
      return line(`${measure.as} = 行数`, `${measure.as} = number of rows`);
    case 'sum':
      return line(
        `${measure.as} = ${measure.column} 之和`,
        `${measure.as} = sum of ${measure.column}`,
      );
    case 'avg':
      return line(
        `${measure.as} = ${measure.column} 的平均值`,
        `${measure.as} = mean of ${measure.column}`,
      );
    case 'var':
      return line(
        `${measure.as} = ${measure.column} 的样本方差`,
        `${measure.as} = sample variance of ${measure.column}`,
      );
  }
}

function parameterLine(name: string, parameter: Parameter): PlainLine {
  const { column, most, labels } = parameter;
  return line(
    `参数 ${name}：${column} 中至多 ${most} 个，可选：${labelList(labels)}`,
    `Parameter ${name}: at most ${most} of ${column}, out of: ${labelList(labels)}`,
  );
}

function dataLines(contract: Contract): PlainLine[] {
  return contract.datasets.map(({ holder, dataset, version, rowsMax }) =>
    line(
      `${holder} 的数据集 ${dataset}，${version === 'any' ? '任何版本' : `仅版本 ${version}`}，至多 ${rowsMax} 行`,
      `Dataset ${dataset} of ${holder}, ${version === 'any' ? 'any version' : `version ${version} only`}, at most ${rowsMax} rows`,
    ),
  );
}

function partitionLines(contract: Contract): PlainLine[] {
  return [
    ...contract.dictionaries.map((dictionary) => dictionaryLine(dictionary)),
    ...contract.bounds.map((bounds) => boundsLine(bounds)),
  ];
}

function dictionaryLine({ column, labels }: Dictionary): PlainLine {
  return line(
    `${column}：${labelList(labels)}；其余一律归入 (other)`,
    `${column}: ${labelList(labels)}; everything else counts as (other)`,
  );
}

function boundsLine({ column, minimum, maximum, scale }: ColumnBounds): PlainLine {
  const low = decimal(minimum, scale);
  const high = decimal(maximum, scale);
  return line(
    `${column} 的值截取到 ${low} 至 ${high}（小数 ${scale} 位）`,
    `Values of ${column} are clamped to ${low} … ${high} (${scale} decimals)`,
  );
}

function noiseLines({ disclosure: { noise }, plan }: Contract): PlainLine[] {
  if (noise === undefined)
    return [line('结果是精确值，不加噪声', 'The answer is exact: no noise is added')];
  const rho = decimal(String(noise.microRhoPerRun), 6);
  if (plan.kind === 'own-set') {
    return [
      line(
        `持有方单独给数目加离散高斯噪声，每次消耗每个隐私单位 ${rho} ρ（δ = 10^-${noise.deltaExponent}）；再次提问也是新的噪声、新的消耗`,
        `The holder alone adds discrete Gaussian noise to the number; a run costs each privacy unit ${rho} ρ (δ = 10^-${noise.deltaExponent}), and asking again is new noise and a new cost`,
      ),
    ];
  }
  return [
    line(
      `每个格子加离散高斯噪声，每次消耗每个隐私单位 ${rho} ρ（δ = 10^-${noise.deltaExponent}）；假定至少 ${noise.honestDomains} 个其他持有方不泄露自己的噪声`,
      `Every cell gets discrete Gaussian noise; a run costs each privacy unit ${rho} ρ (δ = 10^-${noise.deltaExponent}), if at least ${noise.honestDomains} other holders keep their noise to themselves`,
    ),
    line(
      `每个隐私单位在每个持有方最多计入 ${noise.cellsPerUnit} 个格子，每格最多 ${noise.rowsPerCell} 行`,
      `A privacy unit counts in at most ${noise.cellsPerUnit} cells at each holder, with at most ${noise.rowsPerCell} rows in each`,
    ),
  ];
}

function outcomeLines(contract: Contract): PlainLine[] {
  const { recipient, disclosure, resultRetentionS, price } = contract;
  const key = keyFingerprint(recipient.encryptionKey);
  const perRun = decimal(String(price.perRunMicros), 6);
  const perUnit = decimal(String(price.perComputeUnitMicros), 6);
  const { currency } = price;
  return [
    line(
      `结果加密给 ${recipient.id}，加密公钥指纹 ${key}`,
      `The result is encrypted to ${recipient.id}, encryption key ${key}`,
    ),
    line(
      `少于 ${disclosure.smallestCell} 行的格子不公布`,
      `A cell of fewer than ${disclosure.smallestCell} rows is not released`,
    ),
    line(
      `少于 ${disclosure.smallestContributors} 个持有方有数据的格子不公布`,
      `A cell to which fewer than ${disclosure.smallestContributors} holders contribute is not released`,
    ),
    ...(disclosure.complementary === true
      ? [
          line(
            '为避免由合计反推，必要时再隐藏其他格子',
            'Further cells are withheld where a total would give a withheld one back',
          ),
        ]
      : []),
    ...dominanceLines(disclosure.dominance),
    ...noiseLines(contract),
    ...roundingLines(disclosure.rounding),
    ...releaseLines(contract.release),
    line(
      `加密的结果保存 ${resultRetentionS} 秒，之后删除`,
      `The encrypted result is kept for ${resultRetentionS} seconds, then deleted`,
    ),
    line(
      `价格：每次 ${perRun} ${currency}，每计算单位 ${perUnit} ${currency}`,
      `Price: ${perRun} ${currency} a run, ${perUnit} ${currency} a compute unit`,
    ),
    ...(price.tiers ?? []).map((tier) => {
      const tierRun = decimal(String(tier.perRunMicros), 6);
      const tierUnit = decimal(String(tier.perComputeUnitMicros), 6);
      return line(
        `自每月第 ${tier.fromRun} 次起：每次 ${tierRun} ${currency}，每计算单位 ${tierUnit} ${currency}`,
        `From the ${tier.fromRun}. run of a month: ${tierRun} ${currency} a run, ${tierUnit} ${currency} a compute unit`,
      );
    }),
  ];
}

function limitLines(contract: Contract): PlainLine[] {
  const { limits, validity, timeZone } = contract;
  const compute = decimal(String(limits.computeMilliUnitsTotal), 3);
  return [
    line(
      `共 ${limits.runsTotal} 次，每天 ${limits.runsPerDay} 次，每月 ${limits.runsPerMonth} 次（时区 ${quoted(timeZone)}）`,
      `${limits.runsTotal} runs in all, ${limits.runsPerDay} a day, ${limits.runsPerMonth} a month (time zone ${quoted(timeZone)})`,
    ),
    line(
      `共 ${limits.rowsTotal} 行（按公开档位计），${compute} 个计算单位`,
      `${limits.rowsTotal} rows in all (by public buckets), ${compute} compute units`,
    ),
    ...(limits.paddedItemsTotal === undefined
      ? []
      : [
          line(
            `求交项目（填充后）共 ${limits.paddedItemsTotal} 个`,
            `${limits.paddedItemsTotal} matched items in all, as padded`,
          ),
        ]),
    ...(limits.bytesTotal === undefined
      ? []
      : [line(`传输共 ${limits.bytesTotal} 字节`, `${limits.bytesTotal} bytes sent in all`)]),
    line(
      `隐私预算共 ${decimal(String(limits.microRhoTotal), 6)} ρ`,
      `Privacy budget ${decimal(String(limits.microRhoTotal), 6)} ρ in all`,
    ),
    line(
      `自 ${validity.notBefore} 起，至 ${validity.notAfter} 前有效`,
      `In force from ${validity.notBefore} until before ${validity.notAfter}`,
    ),
  ];
}

function section(zh: string, en: string, lines: readonly PlainLine[]): PlainSection {
  return { heading: line(zh, en), lines };
}

function line(zh: string, en: string): PlainLine {
  return { zh, en };
}

function both(text: { readonly zh: string; readonly en: string }): string {
  return `${quoted(text.zh)} / ${quoted(text.en)}`;
}
