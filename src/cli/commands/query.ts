/** `weir sql`: what a query would cost and show, before anything is spent and without a row. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { PlanBody } from '../../contracts/api.ts';
import type { Contract } from '../../contracts/contract.ts';
import { InputError, StateError } from '../../errors.ts';
import { NameSchema } from '../../system/ids.ts';
import type { Analyst } from '../analyst.ts';
import { writePrivateFile } from '../directories.ts';
import { planText } from '../show-plan.ts';
import { argumentsOf, asAnalyst, collect, withAnalyst } from './analyst.ts';

interface SqlOptions {
  readonly dir: string;
  readonly url?: string;
  readonly arg: string[];
  readonly draft?: string;
  readonly purpose?: string;
  readonly title: string;
  readonly titleZh: string;
  readonly json?: boolean;
}

/** What `sysexits` calls wrong data: the query was understood, and refused. */
export const EXIT_REFUSED = 65;

export function queryCommands(program: Command): void {
  asAnalyst(
    program
      .command('sql')
      .description('explain a query: cost, quota, who learns what; nothing is spent · 查询试算')
      .argument(
        '<query>',
        'SELECT groups, COUNT(*), SUM(column) … FROM dataset GROUP BY groups; or FROM a JOIN b USING (key)',
      ),
  )
    .option('--arg <name=labels>', 'labels for a $parameter, comma separated', collect, [])
    .option('--purpose <code>', 'what it is for, where people’s consent is per purpose')
    .option('--draft <file>', 'write a contract draft over the plan, to propose')
    .option('--title <text>', 'the draft’s title', 'Query')
    .option('--title-zh <text>', 'its title in Chinese', '查询')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  weir sql --dir me "SELECT hour, COUNT(*), AVG(delay) FROM departures GROUP BY hour"\n' +
        '  weir sql --dir me --draft delays.json --arg hours=07,08 \\\n' +
        "    'SELECT hour, AVG(delay) FROM departures WHERE hour IN ($hours) GROUP BY hour'\n" +
        '  weir contract propose --dir me delays.json\n' +
        'of keys that two holders share, without showing them (two datasets, each behind its holder):\n' +
        '  weir sql --dir me "SELECT COUNT(*) FROM west.departures JOIN east.arrivals USING (date, origin)"\n' +
        '  weir sql --dir me "SELECT COUNT(DISTINCT id), SUM(b.cost) FROM a.visits JOIN b.bills USING (id)"\n' +
        '  weir sql --dir me --draft match.json \\\n' +
        '    "SELECT a.ward, COUNT(*), SUM(b.cost) FROM a.visits JOIN b.bills ON a.id = b.person GROUP BY a.ward"\n' +
        'COUNT(*) counts a repeated key as often as both have it; groups are of one side, sums of the other.',
    )
    .action(async (sql: string, options: SqlOptions) => {
      await withAnalyst(options, (analyst) => explainSql(analyst, sql, options));
    });
}

/** @throws InputError `parameter-invalid` */
export function purposeOf({ purpose }: { readonly purpose?: string }): { purposeCode?: string } {
  if (purpose === undefined) return {};
  if (NameSchema.safeParse(purpose).success) return { purposeCode: purpose };
  throw new InputError('parameter-invalid', '--purpose is a code of letters, digits, underscores.');
}

async function explainSql(analyst: Analyst, sql: string, options: SqlOptions): Promise<void> {
  const args = options.arg.length === 0 ? {} : { arguments: argumentsOf(options.arg) };
  const judged = await analyst.client.plan({ sql, ...args, ...purposeOf(options) });
  const text = options.json === true ? JSON.stringify(judged, undefined, 2) : planText(judged);
  process.stdout.write(`${text}\n`);
  if (judged.refusals.length > 0) {
    process.exitCode = EXIT_REFUSED;
  } else if (options.draft !== undefined) {
    await writeDraft(analyst, judged, options, options.draft);
  }
}

function draftOver(
  analyst: Analyst,
  { plan, parameters, datasets, disclosure, purposeCode }: NonNullable<PlanBody['draft']>,
  title: Contract['title'],
): Promise<Contract> {
  const purpose = purposeCode === undefined ? {} : { purposeCode };
  if (plan.kind !== 'match') return analyst.draft(plan, { title, parameters, ...purpose });
  const tables = new Map(datasets.map(({ holder, dataset }) => [holder, dataset]));
  const noise = disclosure.noise === undefined ? {} : { noise: disclosure.noise };
  return analyst.draftMatch(plan, tables, { title, ...noise, ...purpose });
}

async function writeDraft(
  analyst: Analyst,
  { draft }: PlanBody,
  options: SqlOptions,
  file: string,
): Promise<void> {
  if (draft === undefined) return;
  if (existsSync(file)) {
    throw new StateError('already-exists', `There is a file ${file} already.`, {
      remedy: 'Choose another name for the draft.',
    });
  }
  const contract = await draftOver(analyst, draft, { zh: options.titleZh, en: options.title });
  // The grades' thresholds, where they are above the default; what datasets demand is drafted already.
  const smallestCell = Math.max(contract.disclosure.smallestCell, draft.disclosure.smallestCell);
  const drafted = { ...contract, disclosure: { ...contract.disclosure, smallestCell } };
  writePrivateFile(file, `${JSON.stringify(drafted, undefined, 2)}\n`);
  process.stderr.write(
    `draft in ${file}; next: weir contract propose --dir ${options.dir} ${file}\n`,
  );
}
