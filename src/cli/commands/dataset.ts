/** `weir dataset`: how well a dataset hides people, and the officer's decision on its grade. */
import type { Command } from 'commander';
import {
  type AnonymityFigures,
  type AnonymityQuestion,
  AnonymityDemandSchema,
  AnonymityQuestionSchema,
} from '../../catalog/anonymity.ts';
import { adminClient } from '../../domain/admin-client.ts';
import { InputError } from '../../errors.ts';
import { table } from '../terminal.ts';

interface QuestionOptions {
  readonly dir: string;
  readonly quasi: string;
  readonly sensitive?: string;
  readonly unit?: string;
  readonly json?: boolean;
}

interface RegradeOptions extends QuestionOptions {
  readonly k: string;
  readonly l: string;
  readonly reason: string;
  readonly by: string;
}

export function datasetCommands(program: Command): void {
  const dataset = program.command('dataset').description('a holder’s datasets · 数据集');
  question(
    dataset
      .command('examine')
      .description(
        'k-anonymity, l-diversity, uniqueness; exact, for the officer’s eyes · 匿名化评估',
      ),
  )
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\nExample: weir dataset examine --dir hospital visits --quasi region,ageBand --sensitive diagnosis',
    )
    .action(async (name: string, options: QuestionOptions) => {
      const found = await adminClient(options.dir).examine(name, questionOf(options));
      const text =
        options.json === true
          ? JSON.stringify(found, undefined, 2)
          : `${name}, grade ${found.grade}, version ${found.fingerprint.slice(0, 16)}\n\n${figuresTable(found.figures)}`;
      process.stdout.write(`${text}\n`);
    });

  question(
    dataset
      .command('regrade')
      .description('examine, and sign the decision to grade this version general · 降级决定'),
  )
    .requiredOption('--k <count>', 'the smallest class there may be')
    .option('--l <count>', 'the fewest different sensitive values in a class', '1')
    .requiredOption('--reason <text>', 'why; signed with the decision')
    .requiredOption('--by <name>', 'who decides')
    .addHelpText(
      'after',
      '\nExample: weir dataset regrade --dir hospital visits --quasi region,ageBand --k 10 \\\n' +
        '  --sensitive diagnosis --l 3 --reason "assessment 2026-14" --by "Li Na"',
    )
    .action(async (name: string, options: RegradeOptions) => {
      const demand = AnonymityDemandSchema.safeParse({
        k: Number(options.k),
        l: Number(options.l),
      });
      if (!demand.success) {
        throw new InputError('parameter-invalid', '--k is a number from 2, --l one from 1.');
      }
      const { hash, figures } = await adminClient(options.dir).regrade(name, {
        question: questionOf(options),
        demand: demand.data,
        reason: options.reason,
        decidedBy: options.by,
      });
      process.stdout.write(
        `${figuresTable(figures)}\n\n${name} is general while its data stays as it is\ndecision ${hash}\n`,
      );
    });

  dataset
    .command('keep-grade')
    .description('withdraw such a decision: the registered grade holds again · 撤回降级')
    .requiredOption('--dir <directory>', 'the domain’s directory')
    .argument('<dataset>', 'its name')
    .action(async (name: string, { dir }: { dir: string }) => {
      await adminClient(dir).withdrawRegrade(name);
      process.stdout.write(`${name} has its registered grade again\n`);
    });
}

function question(command: Command): Command {
  return command
    .requiredOption('--dir <directory>', 'the domain’s directory')
    .argument('<dataset>', 'its name')
    .requiredOption('--quasi <columns>', 'columns an outsider may know, comma separated')
    .option('--sensitive <columns>', 'columns that must not be learned from them')
    .option('--unit <column>', 'count persons or firms instead of rows');
}

function questionOf(options: QuestionOptions): AnonymityQuestion {
  const parsed = AnonymityQuestionSchema.safeParse({
    quasiIdentifiers: options.quasi.split(','),
    sensitive: options.sensitive?.split(',') ?? [],
    ...(options.unit === undefined ? {} : { privacyUnit: options.unit }),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError('parameter-invalid', `The columns: ${issue?.message ?? 'malformed'}.`);
}

function figuresTable(figures: AnonymityFigures): string {
  const { l, ...plain } = figures;
  const rows: [string, string, number][] = [
    ['rows', '行数', plain.rows],
    ['units', '主体数', plain.units],
    ['classes', '等价类', plain.classes],
    ['k: smallest class', '最小等价类', plain.k],
    ['alone in a class', '唯一', plain.unique],
    ['in classes under 5', '小于 5', plain.below5],
    ['in classes under 10', '小于 10', plain.below10],
    ...l.map(({ column, distinct }): [string, string, number] => [
      `l: ${column}`,
      '多样性',
      distinct,
    ]),
  ];
  return table(['figure', '指标', 'count'], rows);
}
