/** An analyst counts how many ids of a file of its own a holder has. */
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { ContractBody } from '../../contracts/api.ts';
import type { OwnSet } from '../../client/own-set.ts';
import { InputError, StateError } from '../../errors.ts';
import { DATE_FORMATS, type DateFormat } from '../../../protocols/psi/join-key.ts';
import { countCsvColumn, csvColumn } from '../csv-ids.ts';
import { sentenceOf } from '../exit.ts';
import { ProgressLine } from '../terminal.ts';
import {
  type AnalystOptions,
  asAnalyst,
  EXIT_INTERRUPTED,
  idOf,
  type OutputOptions,
  show,
  withAnalyst,
} from './analyst.ts';

interface MatchOptions extends AnalystOptions, OutputOptions {
  readonly file: string;
  readonly column: string;
  readonly dateFormat?: string;
}

export function matchCommand(program: Command): void {
  asAnalyst(
    program
      .command('match')
      .description('how many ids of a file of your own a holder has, noised · 以自带名单匹配计数')
      .argument('<contract>', 'the contract’s id, of a plan of kind own-set'),
  )
    .requiredOption('--file <csv>', 'your ids: CSV in UTF-8 with a header')
    .requiredOption('--column <name>', 'the column that holds them')
    .option('--date-format <format>', `where the ids are dates: ${DATE_FORMATS.join(', ')}`)
    .option('--json', 'result and receipt as JSON')
    .option('--csv', 'the result as CSV')
    .addHelpText(
      'after',
      '\nThe ids stay here: only blinded points leave, sealed to the holder.\n' +
        'Each run costs privacy budget, the same file again too.\n' +
        'Example: weir match --dir me 0199… --file ids.csv --column id',
    )
    .action(async (id: string, options: MatchOptions) => {
      await withAnalyst(options, async (analyst) => {
        const contract = await analyst.client.contract(idOf(id));
        const ids = await ownSetOf(contract, options);
        const progress = new ProgressLine();
        const stop = new AbortController();
        const onInterrupt = (): void =>
          stop.abort(
            new StateError('run-cancelled', 'Cancelled; what the holder has spent stays spent.'),
          );
        process.once('SIGINT', onInterrupt);
        try {
          const run = await analyst.match(
            contract,
            ids,
            // While both compute, this side's own progress says more.
            ({ state, note }) => {
              if (state !== 'computing') progress.show(`${state}: ${note}`);
            },
            (step, done, total = ids.count) =>
              progress.show(
                step === 'blind' ? 'your ids are blinded' : 'the holder’s points are answered',
                Math.min(1, done / total),
              ),
            stop.signal,
          );
          progress.done();
          const { rows, keys } = run.tally;
          if (keys < rows)
            process.stderr.write(
              `${rows - keys} of ${rows} ids are empty or no ${asked(contract)}: left out\n`,
            );
          show(run, options);
        } catch (error) {
          if (!stop.signal.aborted) throw error;
          progress.done();
          process.stderr.write(`weir: ${sentenceOf(stop.signal.reason)}\n`);
          process.exitCode = EXIT_INTERRUPTED;
        } finally {
          process.off('SIGINT', onInterrupt);
          progress.done();
        }
      });
    });
}

async function ownSetOf(contract: ContractBody, options: MatchOptions): Promise<OwnSet> {
  const { file, column, dateFormat } = options;
  const { plan } = contract.contract;
  if (plan.kind !== 'own-set') {
    throw new InputError('query-not-supported', 'This contract takes no set of yours.', {
      rule: `plan ${plan.kind}`,
      remedy: '`weir run` runs it.',
    });
  }
  if (dateFormat !== undefined && plan.key.type !== 'date') {
    throw new InputError('parameter-invalid', 'The ids of this contract are no dates.', {
      rule: `${plan.key.as} is of type ${plan.key.type}`,
      remedy: 'Leave --date-format out.',
    });
  }
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new InputError('parameter-invalid', `There is no file ${file}.`, { path: file });
  }
  // Counted before the run, and read again in it: a pipe would be empty then, the run begun.
  if (!stat.isFile()) {
    throw new InputError('parameter-invalid', `--file ${file} is no plain file.`, {
      path: file,
      remedy: 'It is read twice: save what a pipe gives to a file first.',
    });
  }
  const count = await countCsvColumn(file, column);
  if (count === 0) {
    throw new InputError('malformed-message', `${file} has a header and no ids.`, { path: file });
  }
  return {
    count,
    read: () => csvColumn(file, column),
    ...(dateFormat === undefined ? {} : { dateFormat: formatOf(dateFormat) }),
  };
}

function formatOf(text: string): DateFormat {
  const found = DATE_FORMATS.find((format) => format === text);
  if (found !== undefined) return found;
  throw new InputError('parameter-invalid', `${text} is no way to write dates known here.`, {
    remedy: `One of ${DATE_FORMATS.join(', ')}.`,
  });
}

function asked({ contract: { plan } }: ContractBody): string {
  return plan.kind === 'own-set' ? plan.key.type : plan.kind;
}
