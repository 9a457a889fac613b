/** Who learns what of a match, a sentence a party. */
import type { Contract } from '../../contracts/contract.ts';
import type { Estimate } from '../computation.ts';
import { ENGINES } from './engine.ts';
import { groupsLearn } from './groups-learn.ts';
import type { MatchShape } from './shape.ts';
import { unbalancedLearns } from './unbalanced/learns.ts';

type Learns = Estimate['learns'];

/** @see protocols/psi/README.md */
export function matchLearns(contract: Contract, shape: MatchShape): Learns {
  const recipient = contract.recipient.id;
  const { smallestCell } = contract.disclosure;
  if (shape.groups !== undefined) {
    return [gatewayLearns(groupedResult), ...groupsLearn(contract, shape)];
  }
  if (shape.engine === ENGINES.unbalanced) {
    return [gatewayLearns(sealedResult), ...unbalancedLearns(contract, shape)];
  }
  switch (shape.plan.ask) {
    case 'intersection':
      return [
        gatewayLearns(sealedResult),
        {
          party: shape.receiver,
          zh: '匹配方得知自己的哪些键为对方所共有，以及对方填充后的规模；不得知对方其余的键。',
          en: 'The matching holder learns which of its own keys the other shares, and the other’s padded size; it learns none of the other’s further keys.',
        },
        senderLearns(shape),
        {
          party: recipient,
          zh: `接收方得知共有的键；少于 ${smallestCell} 个时不公布。`,
          en: `The recipient learns the shared keys, unless they are fewer than ${smallestCell}.`,
        },
      ];
    case 'cardinality':
      return [
        gatewayLearns({ zh: '，以及公布的数目。', en: ', and the number that is released.' }),
        numberLearns(shape),
        senderLearns(shape),
        {
          party: recipient,
          zh: `接收方得知共有键的数目；少于 ${smallestCell} 个时不公布。`,
          en: `The recipient learns the number of shared keys, unless it is below ${smallestCell}.`,
        },
      ];
    case 'sum':
      return [
        gatewayLearns(sealedResult),
        numberLearns(shape),
        senderLearns(shape),
        {
          party: recipient,
          zh: `接收方得知共有键的数目与合计值；数目少于 ${smallestCell} 时二者都不公布。任何一方都不得知单个值或哪些键。`,
          en: `The recipient learns the number of shared keys and the sum, neither where the number is below ${smallestCell}; nobody learns a single value or which keys.`,
        },
      ];
  }
}

const sealedResult = {
  zh: '，包括密封结果的长度；结果只有接收方能打开。',
  en: ', that of the sealed result included; only the recipient opens it.',
};

const groupedResult = {
  zh: '，包括密封结果的长度（不随内容变化）；结果只有接收方能打开。',
  en: ', that of the sealed result included, which no content changes; only the recipient opens it.',
};

function gatewayLearns(more: { readonly zh: string; readonly en: string }): Learns[number] {
  return {
    party: 'gateway',
    zh: `网关只转发两方之间端到端加密的消息：它得知双方填充后的规模、时间和字节数${more.zh}`,
    en: `The gateway relays frames sealed end to end: it learns both padded sizes, times and bytes${more.en}`,
  };
}

function numberLearns({ receiver, noise }: MatchShape): Learns[number] {
  if (noise !== undefined) {
    return {
      party: receiver,
      zh: '匹配方得知已由另一方加噪的共有键数目，以及对方填充后的规模；任何一方都见不到确切数目。',
      en: 'The matching holder learns the number of shared keys with the other’s noise on it, and the other’s padded size; nobody sees the exact number.',
    };
  }
  return {
    party: receiver,
    zh: '匹配方在任何门限之前得知共有键的确切数目，以及对方填充后的规模；不得知是哪些键，也不得知任何值。',
    en: 'The matching holder learns the exact number of shared keys, before any threshold, and the other’s padded size; it learns not which keys, and no value.',
  };
}

function senderLearns({ sender }: MatchShape): Learns[number] {
  return {
    party: sender,
    zh: '该数据方只得知对方填充后的规模，不得知任何匹配结果。',
    en: 'This holder learns the other’s padded size only, and nothing of what matches.',
  };
}
