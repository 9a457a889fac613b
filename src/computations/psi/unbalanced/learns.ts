/** Who learns what of a match over a kept filter; what stays with the holders is named too. */
import type { Contract } from '../../../contracts/contract.ts';
import { filterBytes, filterShape } from '../../../../protocols/psi/unbalanced/filter.ts';
import type { Estimate } from '../../computation.ts';
import type { MatchShape } from '../shape.ts';

/** @see protocols/psi/unbalanced/README.md */
export function unbalancedLearns(contract: Contract, shape: MatchShape): Estimate['learns'] {
  const { itemsMax, sender, receiver } = shape;
  const items = itemsMax.get(receiver) ?? 1;
  const once = filterBytes(filterShape(itemsMax.get(sender) ?? 1, items));
  return [
    {
      party: receiver,
      zh: `匹配方得知自己的哪些键为对方所共有，以及对方填充后的规模。对方的过滤器（至多 ${once} 字节）只传送一次并予保留；没有对方的应答，过滤器不说明任何键，而对方每次运行至多应答 ${items} 项，并自行计数。`,
      en: `The matching holder learns which of its own keys the other shares, and the other’s padded size. It is sent the other’s filter (at most ${once} bytes) once and keeps it; the filter tells of no key without the other’s answers, of which there are at most ${items} a run, by the other’s own count.`,
    },
    {
      party: sender,
      zh: '该数据方只得知对方填充后的规模。它为本合约和这一版本的数据保留一把密钥和一个过滤器；数据变更或合约撤销时即予删除。',
      en: 'This holder learns the other’s padded size only. It keeps a key and a filter for this contract and this version of its data, and erases both when the data changes or the contract is revoked.',
    },
    {
      party: contract.recipient.id,
      zh: `接收方得知共有的键；少于 ${contract.disclosure.smallestCell} 个时不公布。`,
      en: `The recipient learns the shared keys, unless they are fewer than ${contract.disclosure.smallestCell}.`,
    },
  ];
}
