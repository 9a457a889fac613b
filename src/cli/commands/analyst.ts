/** What an analyst does: look at the catalog, ask what a run costs, run, fetch, verify. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ContractIdSchema, type RunId, RunIdSchema } from '../../system/ids.ts';
import { type Arguments, ArgumentsSchema } from '../../contracts/plan.ts';
import { InputError } from '../../errors.ts';
import type { FinishedRun } from '../../client/analyst.ts';
import { releaseKindOf } from '../../client/release-kind.ts';
import type { RunEventBody } from '../../contracts/api.ts';
import type { Contract } from '../../contracts/contract.ts';
import { visible } from '../../contracts/plain-text.ts';
import { Analyst } from '../analyst.ts';
import {
  loadSealingKey,
  makeSealingKey,
  openedRun,
  PASSPHRASE_VARIABLE,
  passphraseFrom,
} from '../sealing.ts';
import { loadWeighingKey, weightsFor } from '../weighing.ts';
import { receiptLines, releaseCsv, releaseTable } from '../show-run.ts';
import { ProgressLine, table } from '../terminal.ts';

export interface AnalystOptions {
  readonly dir: string;
  readonly url?: string;
}
export interface OutputOptions {
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly bar?: string;
  readonly passphraseFile?: string;
}

interface RunOptions extends AnalystOptions, OutputOptions {
  readonly arg: string[];
  readonly weights?: string;
}

/** As a shell has it for Ctrl-C. */
export const EXIT_INTERRUPTED = 130;

const PASSPHRASE_HELP = `the sealing key’s passphrase, if not in ${PASSPHRASE_VARIABLE}`;

/** `--dir` and `--url` of every analyst's command. */
export function asAnalyst(command: Command): Command {
  return command
    .requiredOption('--dir <directory>', 'the analyst’s directory')
    .option('--url <url>', 'the gateway, if not the configured one');
}

export function analystCommands(program: Command): void {
  asAnalyst(program.command('catalog').description('datasets that holders publish · 数据目录'))
    .option('--json', 'as JSON')
    .action(async (options: AnalystOptions & { json?: boolean }) => {
      await withAnalyst(options, async (analyst) => showCatalog(analyst, options.json === true));
    });

  asAnalyst(
    program
      .command('explain')
      .description('what a run would cost and show; nothing is spent · 试算')
      .argument('<contract>', 'the contract’s id'),
  )
    .option('--arg <name=labels>', 'a parameter’s labels, comma separated', collect, [])
    .action(async (id: string, options: AnalystOptions & { arg: string[] }) => {
      await withAnalyst(options, async (analyst) => {
        const explained = await analyst.explain(idOf(id), argumentsOf(options.arg));
        process.stdout.write(`${JSON.stringify(explained, undefined, 2)}\n`);
      });
    });

  runCommands(program);

  program
    .command('sealing-key')
    .description('make the key that opens sealed sums; stored under a passphrase · 生成密封密钥')
    .requiredOption('--dir <directory>', 'the analyst’s directory')
    .option('--passphrase-file <file>', PASSPHRASE_HELP)
    .action(async (options: { dir: string; passphraseFile?: string }) => {
      await makeSealingKey(options.dir, passphraseFrom(options.passphraseFile));
      process.stdout.write(
        'made; `weir contract draft` with "sealed": true puts it in a contract\n',
      );
    });
}

/** Runs and their results, opened where only their recipient can. */
function runCommands(program: Command): void {
  output(
    asAnalyst(
      program
        .command('run')
        .description('run a signed contract once · 运行')
        .argument('<contract>', 'the contract’s id'),
    )
      .option('--arg <name=labels>', 'a parameter’s labels, comma separated', collect, [])
      .option('--weights <file>', 'secret weights as CSV: encrypted here, seen by nobody else'),
  )
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  weir run --dir me 0199… --arg hours=7,8,9\n' +
        '  weir run --dir me 0199… --weights weights.csv --passphrase-file passphrase',
    )
    .action(async (id: string, options: RunOptions) => {
      await withAnalyst(options, async (analyst) => {
        const contract = await analyst.client.contract(idOf(id));
        requireNoSet(contract.contract);
        const weights = await weightsOf(contract.contract, options);
        const progress = new ProgressLine();
        const args = argumentsOf(options.arg);
        let runId: RunId | undefined;
        const told = (event: RunEventBody): void => {
          runId = event.runId;
          progress.show(`${event.state}: ${event.note}`, event.progress);
        };
        // The gateway goes on without its analyst: whoever leaves is told so, and how to come back.
        const onInterrupt = (): void => {
          progress.done();
          process.stderr.write(`weir: ${leftWords(options.dir, runId)}\n`);
          process.exit(EXIT_INTERRUPTED);
        };
        process.once('SIGINT', onInterrupt);
        const run = await analyst
          .run(contract, args, told, weights)
          .finally(() => process.off('SIGINT', onInterrupt));
        progress.done();
        await showOpened(analyst, contract.contract, run, options);
      });
    });

  output(
    asAnalyst(
      program
        .command('result')
        .description('fetch a run’s result again, while it is kept · 取回结果')
        .argument('<run>', 'the run’s id'),
    ),
  ).action(async (id: string, options: AnalystOptions & OutputOptions) => {
    await withAnalyst(options, async (analyst) => {
      const run = await analyst.result(runOf(id));
      const { contract } = await analyst.client.contract(run.receipt.receipt.contractId);
      await showOpened(analyst, contract, run, options);
    });
  });
}

function leftWords(directory: string, runId: RunId | undefined): string {
  if (runId === undefined) return 'Interrupted before the run was known to have begun.';
  return (
    `The run ${runId} goes on without you and is charged when it ends; ` +
    `\`weir result --dir ${directory} ${runId}\` fetches its result.`
  );
}

/**
 * Opened after the last byte to or from the gateway: whether it opened, or how soon it did not, is
 * nothing that a gateway could see.
 */
async function showOpened(
  analyst: Analyst,
  contract: Contract,
  run: FinishedRun,
  options: AnalystOptions & OutputOptions,
): Promise<void> {
  analyst.close();
  const load = releaseKindOf(contract) === 'weighted-sum' ? loadWeighingKey : loadSealingKey;
  const opened = await openedRun(analyst, contract, run, () =>
    load(options.dir, passphraseFrom(options.passphraseFile)),
  );
  show(opened, options);
}

/** @throws InputError `query-not-supported` */
function requireNoSet({ plan }: Contract): void {
  if (plan.kind !== 'own-set') return;
  throw new InputError('query-not-supported', 'This contract needs a set of yours.', {
    rule: `plan ${plan.kind}`,
    remedy: 'Run it by `weir match` with a file of ids.',
  });
}

/** Encrypted in this process. @throws InputError, SetupError */
async function weightsOf(
  contract: Contract,
  { dir, weights }: RunOptions,
): Promise<Uint8Array | undefined> {
  if (weights === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(weights, 'utf8');
  } catch {
    throw new InputError('parameter-invalid', `There are no weights in ${weights}.`, {
      remedy: '`weir weights template` writes a file to fill in.',
    });
  }
  return weightsFor(dir, contract, text);
}

function output(command: Command): Command {
  return command
    .option('--json', 'result and receipt as JSON')
    .option('--csv', 'the result as CSV')
    .option('--bar <column>', 'draw this column as bars')
    .option('--passphrase-file <file>', `for a sealed or weighted sum: ${PASSPHRASE_HELP}`);
}

/** A finished run as its options ask for it. */
export function show(run: FinishedRun, options: OutputOptions): void {
  const { release } = run.result;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ release, receipt: run.receipt }, undefined, 2)}\n`);
  } else if (options.csv === true) {
    process.stdout.write(releaseCsv(release));
  } else {
    process.stdout.write(
      `${releaseTable(release, options.bar)}\n\n${receiptLines(run).join('\n')}\n`,
    );
  }
}

/** Opens the analyst's directory and closes its connections whatever happens. */
export async function withAnalyst(
  options: AnalystOptions,
  work: (analyst: Analyst) => Promise<void>,
): Promise<void> {
  const analyst = new Analyst(options.dir, options.url);
  try {
    await work(analyst);
  } finally {
    analyst.close();
  }
}

async function showCatalog(analyst: Analyst, json: boolean): Promise<void> {
  const { datasets } = await analyst.client.datasets();
  if (json) {
    process.stdout.write(`${JSON.stringify(datasets, undefined, 2)}\n`);
    return;
  }
  for (const dataset of datasets) {
    process.stdout.write(
      `${dataset.holder}/${dataset.dataset}: ${visible(`${dataset.title.en} · ${dataset.title.zh}`)}\n` +
        `grade ${dataset.grade}, at most ${dataset.rowsMax} rows; ` +
        `${groupingOf(dataset.partitions)}\n`,
    );
    const rows = dataset.columns.map((column) => [
      column.name,
      column.type,
      column.usage.join(', '),
    ]);
    process.stdout.write(`${table(['column', 'type', 'may be used for'], rows)}\n\n`);
  }
}

function groupingOf(partitions: readonly (readonly string[])[]): string {
  const sets = partitions.filter((set) => set.length > 0).map((set) => set.join(' × '));
  return sets.length === 0 ? 'no groups of its own' : `group by ${visible(sets.join(' or '))}`;
}

/** `name=label,label` as often as there are parameters. */
export function argumentsOf(texts: readonly string[]): Arguments {
  const pairs = texts.map((text): [string, string[]] => {
    const at = text.indexOf('=');
    if (at < 1) {
      throw new InputError('parameter-invalid', `--arg ${text}: write name=label,label.`);
    }
    return [text.slice(0, at), text.slice(at + 1).split(',')];
  });
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new InputError('parameter-invalid', `--arg ${twice} is there twice.`, {
      remedy: 'Write its labels in one, comma separated.',
    });
  }
  const parsed = ArgumentsSchema.safeParse(Object.fromEntries(pairs));
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', '--arg: a name or a label is not accepted.');
}

/** Gathers a repeated option. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** @throws InputError `parameter-invalid` */
export function idOf(text: string): ReturnType<typeof ContractIdSchema.parse> {
  const parsed = ContractIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', `${text} is not a contract’s id.`, {
    remedy: '`weir contract list` shows them.',
  });
}

/** @throws InputError `parameter-invalid` */
function runOf(text: string): RunId {
  const parsed = RunIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', `${text} is not a run’s id.`, {
    remedy: '`weir run` shows it.',
  });
}
