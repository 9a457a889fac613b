/**
 * Dominance in the counting round: beside its counts each domain sends, for each summed column, 1
 * for a cell whose own part a few contributors dominate. Only the number of objecting holders opens,
 * in the domains and nowhere else; which they are none of them is told. (With two holders each
 * knows; with three that collude in pairs, the pair does: one bit of the third's cell.)
 */
import type { Contract } from '../../contracts/contract.ts';
import type { CountedCells } from '../../disclosure/stage.ts';
import { isDominated } from '../../disclosure/dominance.ts';
import { InputError } from '../../errors.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import type { DomainRole, Estimate } from '../computation.ts';
import type { Shape } from './shape.ts';

/**
 * This domain's objections, u64 × cells for each column; undefined where no terms are agreed on.
 * @throws InputError `query-not-supported` for a source that cannot tell.
 */
export async function objectionsOf(
  role: DomainRole,
  shape: Shape,
): Promise<readonly Uint8Array[] | undefined> {
  const { groups, chosen, columns, dominance, cells } = shape;
  if (dominance === undefined) return undefined;
  if (role.source.concentrations === undefined) throw notOffered();
  const sums = columns.map((column) => ({ ...column, squares: false }));
  const all = await role.source.concentrations(
    { groups, chosen, sums },
    dominance.largest,
    role.channel.signal,
  );
  return all.map(({ totals, firsts, seconds, tops }) => {
    const objections = new Uint8Array(cells * 8);
    const view = viewOf(objections);
    for (const [cell, total] of totals.entries()) {
      const [first = 0n, second = 0n, top = 0n] = [firsts[cell], seconds[cell], tops[cell]];
      if (isDominated({ total, first, second, top }, dominance)) view.setUint8(cell * 8, 1);
    }
    return objections;
  });
}

/** Opened counts with what was objected to each column, which travelled behind them. */
export function withObjections(
  shape: Shape,
  opened: readonly CountedCells[],
): readonly CountedCells[] {
  if (shape.dominance === undefined) return opened;
  const columns = shape.columns.length;
  return opened.slice(0, 1 + columns).map((cells, index) => {
    const objections = index === 0 ? undefined : opened[columns + index]?.counts;
    return objections === undefined ? cells : { ...cells, objections };
  });
}

/** Who learns what of objections, beside what they learn anyway. */
export function objectionsLearned({ holders, disclosure }: Contract): Estimate['learns'] {
  if (disclosure.dominance === undefined) return [];
  return holders.map(({ id }) => ({
    party: id,
    zh: '数据方另获知：每个单元格的每项合计，有几个持有方因少数贡献者占比过大而反对公布；不获知是哪些持有方。',
    en: 'This holder also learns how many holders object to each sum of each cell, as a few contributors dominate their part; not which ones.',
  }));
}

function notOffered(): InputError {
  return new InputError('query-not-supported', 'This source cannot tell who dominates a cell.', {
    rule: 'disclosure.dominance',
    remedy: 'Ask for a noised answer.',
  });
}
