/** `weir mock`: tries a plan on generated data, under the rules of the real thing. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import { planRefusals } from '../../catalog/check-plan.ts';
import type { PublishedDataset } from '../../catalog/published.ts';
import type { Release } from '../../computations/computation.ts';
import { COMPUTATIONS } from '../../computations/registry.ts';
import { ContractSchema } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import { type ProvisionalPlan, widestArguments } from '../../contracts/provisional.ts';
import { InputError, type WeirError } from '../../errors.ts';
import { openPool } from '../../pool/piscina-pool.ts';
import { judgeQuery } from '../../query/compile-plan.ts';
import { sqlParserOver } from '../../query/sql-parser.ts';
import { openSerializer } from '../../query/sql-serializer.ts';
import { ContractIdSchema } from '../../system/ids.ts';
import type { Analyst } from '../analyst.ts';
import { parseJsonFile } from '../directories.ts';
import { mockRun } from '../mock/mock-run.ts';
import { verifiedCatalog } from '../verified-catalog.ts';
import { refusalsText } from '../show-plan.ts';
import { releaseCsv, releaseTable } from '../show-run.ts';
import { argumentsOf, asAnalyst, collect, withAnalyst } from './analyst.ts';
import { EXIT_REFUSED, purposeOf } from './query.ts';

const ROWS_DEFAULT = '10000';
const ROWS_MAX = 1_000_000;

interface MockOptions {
  readonly dir: string;
  readonly url?: string;
  readonly arg: string[];
  readonly contract?: string;
  readonly purpose?: string;
  readonly rows: string;
  readonly seed: string;
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly bar?: string;
}

/** A plan with everything that the published rules say against it. */
interface Judged {
  readonly planned: ProvisionalPlan | undefined;
  readonly refusals: readonly WeirError[];
}

export function mockCommands(program: Command): void {
  asAnalyst(
    program
      .command('mock')
      .description('try a query or a contract on generated data; nothing is spent · 模拟运行')
      .argument('[query]', 'SELECT …; or name a contract'),
  )
    .option('--contract <id or file>', 'a filed contract, or a draft in a file')
    .option('--arg <name=labels>', 'labels for a $parameter, comma separated', collect, [])
    .option('--purpose <code>', 'of a query, where people’s consent is per purpose')
    .option('--rows <count>', 'rows of each holder', ROWS_DEFAULT)
    .option('--seed <text>', 'the same seed makes the same rows', 'weir')
    .option('--json', 'as JSON')
    .option('--csv', 'as CSV')
    .option('--bar <column>', 'draw this column as bars')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  weir mock --dir me "SELECT hour, COUNT(*) FROM departures GROUP BY hour" --bar count\n' +
        '  weir mock --dir me --contract delays.json --rows 200',
    )
    .action(async (sql: string | undefined, options: MockOptions) => {
      await withAnalyst(options, (analyst) => tryPlan(analyst, sql, options));
    });
}

async function tryPlan(
  analyst: Analyst,
  sql: string | undefined,
  options: MockOptions,
): Promise<void> {
  const rows = Number(options.rows);
  if (!Number.isInteger(rows) || rows < 1 || rows > ROWS_MAX) {
    throw new InputError('parameter-invalid', `--rows is a number from 1 to ${ROWS_MAX}.`);
  }
  const published = await verifiedCatalog(analyst);
  const { planned, refusals } = await judged(analyst, sql, options, published);
  if (planned === undefined || refusals.length > 0) {
    process.stdout.write(`${refusalsText(refusals)}\n`);
    process.exitCode = EXIT_REFUSED;
    return;
  }
  const stated: Arguments | undefined =
    options.arg.length === 0 ? undefined : argumentsOf(options.arg);
  const pool = openPool({ threadsMax: 1 });
  try {
    const release = await mockRun({
      planned,
      arguments: stated ?? widestArguments(planned.parameters),
      published,
      rows,
      seed: options.seed,
      analyst: analyst.config.party.id,
      directory: tmpdir(),
      computations: COMPUTATIONS,
      pool,
    });
    show(release, options);
  } finally {
    await pool.close();
  }
}

async function judged(
  analyst: Analyst,
  sql: string | undefined,
  options: MockOptions,
  published: readonly PublishedDataset[],
): Promise<Judged> {
  const { contract } = options;
  if ((sql === undefined) === (contract === undefined)) {
    throw new InputError('parameter-invalid', 'Give a query, or --contract with an id or a file.');
  }
  if (sql !== undefined) return judgedQuery(sql, published, purposeOf(options).purposeCode);
  const planned = await contractOf(analyst, contract ?? '');
  return { planned, refusals: planRefusals(planned, published) };
}

async function judgedQuery(
  sql: string,
  published: readonly PublishedDataset[],
  purposeCode: string | undefined,
): Promise<Judged> {
  // The analyst's own text in the analyst's own process: nothing to isolate it from.
  const parser = sqlParserOver(await openSerializer());
  try {
    const { compiled, refusals } = await judgeQuery(parser, sql, published, purposeCode);
    if (compiled === undefined) return { planned: undefined, refusals };
    return { planned: { ...compiled.draft, parameters: compiled.parameters }, refusals };
  } finally {
    parser.close();
  }
}

async function contractOf(analyst: Analyst, named: string): Promise<ProvisionalPlan> {
  const id = ContractIdSchema.safeParse(named);
  if (id.success) return (await analyst.client.contract(id.data)).contract;
  if (existsSync(named)) return parseJsonFile(named, ContractSchema);
  throw new InputError('parameter-invalid', `${named} is neither a contract’s id nor a file.`);
}

function show(release: Release, options: MockOptions): void {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ mock: true, release }, undefined, 2)}\n`);
  } else if (options.csv === true) {
    process.stdout.write(releaseCsv(release));
  } else {
    process.stdout.write(
      `${releaseTable(release, options.bar)}\n\n` +
        'mock data, made from what holders publish: no row was read, nothing was spent\n' +
        '模拟数据，仅由公开元数据生成：未读取任何数据行，未消耗任何配额\n',
    );
  }
}
