/** What an officer is shown of a sum by groups before its measures leave: counts, never a sum. */
import type { AggregateAnswer } from '../../catalog/data-source.ts';
import type { CountedCells } from '../../disclosure/stage.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import type { ReleaseReview } from '../computation.ts';
import { labelsOf } from './finalize.ts';
import { countedLanes } from './lanes.ts';
import type { Shape } from './shape.ts';
import { selectedCells } from './suppression.ts';

/** Cells shown one by one. */
const CELLS_SHOWN_MAX = 1000;

/**
 * The opened counts of the asked cells beside this domain's own (with noise on both where the
 * contract says so), and what of each cell is withheld. Nobody knows the sums yet.
 * @param maps - 1 a cell that may be released: for the rows, then for each measured column.
 */
export function reviewOf(
  shape: Shape,
  answer: AggregateAnswer,
  opened: readonly CountedCells[],
  maps: readonly Uint8Array[],
): ReleaseReview {
  const selected = selectedCells(shape);
  const own = viewOf(countedLanes(answer)[0] ?? new Uint8Array());
  const rows: (string | number | null)[][] = [];
  let asked = 0;
  let released = 0;
  let ownReleased = 0n;
  for (let cell = selected.indexOf(1); cell !== -1; cell = selected.indexOf(1, cell + 1)) {
    const isReleased = maps[0]?.[cell] === 1;
    const ownCount = own.getBigInt64(cell * 8, true);
    asked++;
    if (isReleased) released++;
    if (isReleased) ownReleased += ownCount;
    if (rows.length === CELLS_SHOWN_MAX) continue;
    const withheld = shape.columns.flatMap(({ column }, index) =>
      maps[index + 1]?.[cell] === 1 ? [] : [column],
    );
    rows.push([
      ...labelsOf(shape, cell),
      opened[0]?.counts[cell] ?? 0,
      Number(ownCount),
      isReleased ? withheld.join(' ') : 'all · 全部',
    ]);
  }
  const counted = shape.noise === undefined ? ['', ''] : ['noised ', '加噪后的'];
  return {
    lines: [
      {
        zh: `${asked} 个单元格中公布 ${released} 个，隐藏 ${asked - released} 个`,
        en: `${released} of ${asked} cells are released, ${asked - released} withheld`,
      },
      {
        zh: `公布的单元格中，本方贡献的${counted[1]}计数合计为 ${ownReleased}`,
        en: `This holder's ${counted[0]}counts in released cells add up to ${ownReleased}`,
      },
      {
        zh: '此时任何一方都还不知道合计值；计数只有各数据域知道',
        en: 'Nobody knows the sums yet; the counts are known in the domains alone',
      },
    ],
    table: {
      columns: [
        ...shape.groups.map(({ column }) => column),
        'counted · 合计计数',
        'own · 本方',
        'withheld · 隐藏',
      ],
      rows,
    },
  };
}
