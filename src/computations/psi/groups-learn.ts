/** Who learns what of a match by groups, a sentence a party. */
import type { Contract } from '../../contracts/contract.ts';
import type { Estimate } from '../computation.ts';
import type { MatchShape } from './shape.ts';

type Learned = Estimate['learns'][number];

/** @see protocols/psi/README.md; of the gateway `learns.ts` tells. */
export function groupsLearn(contract: Contract, shape: MatchShape): readonly Learned[] {
  return [receiverLearns(contract, shape), senderLearns(shape), recipientLearns(contract, shape)];
}

function receiverLearns({ disclosure }: Contract, { receiver, noise }: MatchShape): Learned {
  const { smallestCell } = disclosure;
  if (noise !== undefined) {
    return {
      party: receiver,
      zh: '匹配方得知自己每一组的共有键数目，其上已有另一方的噪声，以及对方填充后的规模；任何一方都见不到确切数目。',
      en: 'The matching holder learns each of its groups’ number of shared keys with the other’s noise on it, and the other’s padded size; nobody sees an exact number.',
    };
  }
  return {
    party: receiver,
    zh: `匹配方在任何门限之前得知自己每一组的共有键的确切数目（它自己少于 ${smallestCell} 个键的组先并入 (other)），以及对方填充后的规模；不得知是哪些键，也不得知任何值。`,
    en: `The matching holder learns each of its groups’ exact number of shared keys, before any threshold (groups of fewer than ${smallestCell} keys of its own are first merged into (other)), and the other’s padded size; it learns not which keys, and no value.`,
  };
}

function senderLearns({ sender, noise }: MatchShape): Learned {
  if (noise !== undefined) {
    return {
      party: sender,
      zh: '该数据方得知对方每一组的规模，其上已有对方的噪声；不得知任何匹配结果。',
      en: 'This holder learns the size of each of the other’s groups with the other’s noise on it, and nothing of what matches.',
    };
  }
  return {
    party: sender,
    zh: '该数据方得知对方每一组填充后的规模（2 的幂），不得知任何匹配结果。',
    en: 'This holder learns the padded size of each of the other’s groups (powers of two), and nothing of what matches.',
  };
}

function recipientLearns(
  { recipient, disclosure }: Contract,
  { plan, noise }: MatchShape,
): Learned {
  const { smallestCell } = disclosure;
  const party = recipient.id;
  const [zh, en] = plan.sum === undefined ? ['数目', 'number'] : ['数目与合计值', 'number and sum'];
  if (noise !== undefined) {
    return {
      party,
      zh: `接收方得知加噪后至少 ${smallestCell} 的每一组的${zh}，其余各组只知其不公布。任何一方都不得知单个值或哪些键。`,
      en: `The recipient learns the ${en} of each group that is at least ${smallestCell} after noise, of the others only that they are not shown; nobody learns a single value or which keys.`,
    };
  }
  return {
    party,
    zh: `接收方得知数目至少为 ${smallestCell} 的每一组的${zh}，其余各组合计于 (other) 之中，合起来仍少于此数时也不公布。任何一方都不得知单个值或哪些键。`,
    en: `The recipient learns the ${en} of each group of at least ${smallestCell}; the others are added up in (other), not shown either where they are fewer together; nobody learns a single value or which keys.`,
  };
}
