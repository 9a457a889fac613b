/** Secret weights in plain words: what a holder must know of weights it never sees. */
import type { Contract } from './contract.ts';
import { decimal } from './plain-text.ts';

/** What the holder signs for, sentence by sentence. */
export function weightsLines({ protocol }: Contract): {
  readonly zh: string;
  readonly en: string;
}[] {
  if (protocol.name !== 'secret-weights') return [];
  const { maximum, scale } = protocol.weights;
  const most = decimal(maximum, scale);
  return [
    {
      zh: `接收方以自己的秘密权重（绝对值不超过 ${most}，小数 ${scale} 位）对各单元格加权求和；加密公钥 ${protocol.weighingKeyHash}`,
      en: `The recipient adds cells up with secret weights of its own (at most ${most} either way, ${scale} decimals); its public keys ${protocol.weighingKeyHash}`,
    },
    {
      zh: '权重可以取出任何一个单元格：请按公布全部可发布的单元格来判断',
      en: 'Weights can single out any one cell: judge this as if every cell that may be released were shown',
    },
  ];
}
