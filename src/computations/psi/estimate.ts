/**
 * What a match costs and shows, before any row is read. Compute units by formula, never by a
 * clock, over public buckets; 1000 milli-units are one second of one core:
 *
 *     read  = Σ over holders of rowsMax · key columns · 2 µs
 *     match = Σ over holders of bucket(rowsMax) · (40 µs hash and blind + 34 µs evaluate + 6 µs sort)
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import type { Estimate } from '../computation.ts';
import { ENGINE, matchShapeOf, type MatchShape } from './shape.ts';

const READ_NS = 2_000n;
const MATCH_NS = 80_000n;
const NS_PER_MS = 1_000_000n;

/** @see Computation.estimate */
export function estimatePsi(contract: Contract, args: Arguments): Estimate {
  const shape = matchShapeOf(contract, args);
  return {
    protocol: 'psi',
    engine: ENGINE,
    exact: true,
    cells: 1,
    lanes: shape.itemsMaxTotal,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMaxTotal) as Units,
      'compute-milli-units': computeMilliUnits(shape) as Units,
      'micro-rho': 0n as Units,
    },
    learns: learns(contract, shape),
  };
}

function computeMilliUnits(shape: MatchShape): bigint {
  const read = BigInt(shape.rowsMaxTotal) * BigInt(shape.plan.key.length) * READ_NS;
  const ns = read + BigInt(shape.itemsMaxTotal) * MATCH_NS;
  return (ns + NS_PER_MS - 1n) / NS_PER_MS;
}

function learns(contract: Contract, shape: MatchShape): Estimate['learns'] {
  const { receiver, sender, plan } = shape;
  const recipient = contract.recipient.id;
  const { smallestCell } = contract.disclosure;
  const gateway = {
    party: 'gateway',
    zh: '网关只转发两方之间端到端加密的消息：它得知双方填充后的规模（2 的幂）、时间和字节数',
    en: 'The gateway relays frames sealed end to end: it learns both padded sizes (powers of two), times and bytes',
  };
  const senderLine = {
    party: sender,
    zh: '该数据方只得知对方填充后的规模，不得知任何匹配结果。',
    en: 'This holder learns the other’s padded size only, and nothing of what matches.',
  };
  if (plan.ask === 'intersection') {
    return [
      {
        ...gateway,
        zh: `${gateway.zh}，包括密封结果的长度；结果只有接收方能打开。`,
        en: `${gateway.en}, that of the sealed result included; only the recipient opens it.`,
      },
      {
        party: receiver,
        zh: '匹配方得知自己的哪些键为对方所共有，以及对方填充后的规模；不得知对方其余的键。',
        en: 'The matching holder learns which of its own keys the other shares, and the other’s padded size; it learns none of the other’s further keys.',
      },
      senderLine,
      {
        party: recipient,
        zh: `接收方得知共有的键；少于 ${smallestCell} 个时不公布。`,
        en: `The recipient learns the shared keys, unless they are fewer than ${smallestCell}.`,
      },
    ];
  }
  return [
    {
      ...gateway,
      zh: `${gateway.zh}，以及公布的数目。`,
      en: `${gateway.en}, and the number that is released.`,
    },
    {
      party: receiver,
      zh: '匹配方在任何门限之前得知共有键的确切数目，以及对方填充后的规模；不得知是哪些键。',
      en: 'The matching holder learns the exact number of shared keys, before any threshold, and the other’s padded size; it learns not which keys.',
    },
    senderLine,
    {
      party: recipient,
      zh: `接收方得知共有键的数目；少于 ${smallestCell} 个时不公布。`,
      en: `The recipient learns the number of shared keys, unless it is below ${smallestCell}.`,
    },
  ];
}
