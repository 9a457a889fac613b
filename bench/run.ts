/**
 * `npm run bench -- SUITE [--json] [--large] [--case NAME]`: prints a table, or with `--json` one
 * object a line. Runs from the build, so that threads are the files that production loads.
 */
import { parseArgs } from 'node:util';
import type { BenchResult } from './suite.ts';
import { SUITES } from './suites.ts';

const USAGE = `npm run bench -- SUITE [--json] [--large] [--case NAME]

  SUITE        ${Object.keys(SUITES).join(', ')}
  --json       one object a line instead of a table
  --large      longer measurements, and the cases that take minutes
  --case NAME  this case alone

Example: npm run bench -- psi --case 'ecdh 2^14'
`;

const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [suite = ''] = positionals;
const load = Object.hasOwn(SUITES, suite) ? SUITES[suite] : undefined;
if (load === undefined) {
  process.stderr.write(`Name one suite: ${Object.keys(SUITES).join(', ')}.\n`);
  process.exit(2);
}

const results: BenchResult[] = [];
await (await load()).run({
  large: values.large,
  wants: (caseName) => values.case === undefined || values.case === caseName,
  report: (caseName, metric, value, unit) => {
    const result = { suite, case: caseName, metric, value, unit };
    results.push(result);
    if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  },
});
if (results.length === 0) {
  process.stderr.write(`The suite ${suite} has no case ${values.case ?? ''}.\n`);
  process.exitCode = 2;
}
if (!values.json) process.stdout.write(table(results));

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        large: { type: 'boolean', default: false },
        case: { type: 'string' },
      },
    });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

function table(rows: readonly BenchResult[]): string {
  const cells = rows.map((row) => [row.case, row.metric, formatNumber(row.value), row.unit]);
  const widths = [0, 1, 2, 3].map((at) => Math.max(0, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (at === 2 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ');
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('');
}

function formatNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 4 });
}
