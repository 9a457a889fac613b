/** `weir weights`: the key that secret weights are encrypted under, and a file to fill in. */
import type { Command } from 'commander';
import { weightedShape } from '../../client/weights-sender.ts';
import { weightsTemplate } from '../../client/weights-table.ts';
import { makeWeighingKey } from '../weighing.ts';
import { PASSPHRASE_VARIABLE, passphraseFrom } from '../sealing.ts';
import { asAnalyst, idOf, withAnalyst } from './analyst.ts';

export function weightsCommands(program: Command): void {
  const weights = program
    .command('weights')
    .description('add cells up with weights that nobody else sees · 秘密权重')
    .addHelpText(
      'after',
      '\nExample, from key to result:\n' +
        '  weir weights key --dir me --passphrase-file passphrase\n' +
        '  weir contract draft --dir me weighted.json --out contract.json   # "weights":{"maximum":"1000","scale":2}\n' +
        '  weir contract propose --dir me contract.json\n' +
        '  weir weights template --dir me 0199… > weights.csv               # fill it in\n' +
        '  weir run --dir me 0199… --weights weights.csv --passphrase-file passphrase',
    );
  weights
    .command('key')
    .description('make the key; its secret half is stored under a passphrase · 生成加权密钥')
    .requiredOption('--dir <directory>', 'the analyst’s directory')
    .option('--passphrase-file <file>', `its passphrase, if not in ${PASSPHRASE_VARIABLE}`)
    .action(async (options: { dir: string; passphraseFile?: string }) => {
      await makeWeighingKey(options.dir, passphraseFrom(options.passphraseFile));
      process.stdout.write(
        'made; `weir contract draft` with "weights": {"maximum": "1000", "scale": 2} puts it in a contract\n',
      );
    });
  asAnalyst(
    weights
      .command('template')
      .description('a CSV of every cell of a contract, each weighing nothing · 权重模板')
      .argument('<contract>', 'the contract’s id'),
  ).action(async (id: string, options: { dir: string; url?: string }) => {
    await withAnalyst(options, async (analyst) => {
      const { contract } = await analyst.client.contract(idOf(id));
      process.stdout.write(weightsTemplate(weightedShape(contract)));
    });
  });
}
