/** A finished run as people read it: the table, a bar where one measure is asked for, the receipt. */
import type { FinishedRun } from '../client/analyst.ts';
import type { Release } from '../computations/computation.ts';
import { visible } from '../contracts/plain-text.ts';
import { bar, table } from './terminal.ts';

/** Rows a terminal is shown; `--json` and `--csv` give all. */
const ROWS_SHOWN_MAX = 200;

/** The release as a table; `barOf` draws one measure as bars. */
export function releaseTable(release: Release, barOf?: string): string {
  const measure = barOf === undefined ? -1 : release.columns.indexOf(barOf);
  const shown = release.rows.slice(0, ROWS_SHOWN_MAX);
  const largest = Math.max(0, ...shown.map((row) => Number(row[measure] ?? 0)));
  const rows = shown.map((row) => [
    ...row.map((cell) =>
      typeof cell === 'number' && !Number.isInteger(cell) ? cell.toFixed(2) : cell,
    ),
    ...(measure < 0 ? [] : [bar(Number(row[measure] ?? 0), largest)]),
  ]);
  const head = measure < 0 ? release.columns : [...release.columns, ''];
  const notes = [
    ...(release.rows.length > shown.length
      ? [`… ${release.rows.length - shown.length} more rows`]
      : []),
    ...(release.suppressedCells > 0
      ? [`${counted(release.suppressedCells, 'cell')} suppressed (too small)`]
      : []),
    ...(release.rounding ?? []).map(({ as, base }) => `${as} in multiples of ${base}`),
  ];
  return [table(head, rows), ...notes].join('\n');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** What the receipt says, and who vouches for it. */
export function receiptLines(run: FinishedRun): readonly string[] {
  const { receipt } = run.receipt;
  const units = Object.entries(receipt.units)
    .filter(([, value]) => value !== '0')
    .map(([name, value]) => `${name} ${value}`);
  return [
    `run       ${run.runId} (${receipt.outcome})`,
    `charged   ${Number(receipt.chargeMicros) / 1e6} ${receipt.currency} for ${units.join(', ')}`,
    `record    ${receipt.record.seq} · audit chain at ${receipt.audit.size}`,
    `receipt   ${run.verified.hash}`,
    `signed by the gateway, countersigned by ${run.verified.countersignedBy.join(', ') || 'nobody yet'}`,
  ].map(visible);
}

/** CSV with a header line. @see RFC 4180 */
export function releaseCsv(release: Release): string {
  const cell = (value: string | number | null): string => {
    const text = value === null ? '' : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [release.columns, ...release.rows].map((row) => row.map(cell).join(','));
  return `${lines.join('\r\n')}\r\n`;
}
