/** The `weir` command: one sub-command a file, one sentence an error, no stack traces. */
import { Command, CommanderError } from 'commander';
import { analystCommands } from './commands/analyst.ts';
import { backupCommands } from './commands/backup.ts';
import { contractCommands } from './commands/contract.ts';
import { datasetCommands } from './commands/dataset.ts';
import { domainCommands } from './commands/domain.ts';
import { gatewayCommands } from './commands/gateway.ts';
import { initCommands } from './commands/init.ts';
import { matchCommand } from './commands/match.ts';
import { meteringCommands } from './commands/metering.ts';
import { mockCommands } from './commands/mock.ts';
import { queryCommands } from './commands/query.ts';
import { releaseCommands } from './commands/release.ts';
import { upCommand } from './commands/up.ts';
import { weightsCommands } from './commands/weights.ts';
import { exitCodeOf, sentenceOf } from './exit.ts';
import { tellFailed } from './processes.ts';

const program = new Command('weir')
  .description(
    'Privacy-preserving computation gateway: raw data stays in its domain,\n' +
      'only approved computations pass, and every pass is metered.\n' +
      '隐私计算网关：原始数据不出域，可用不可见，可控可计量。',
  )
  .showHelpAfterError('(weir --help lists the commands)')
  .exitOverride();

for (const add of [
  upCommand,
  initCommands,
  gatewayCommands,
  domainCommands,
  datasetCommands,
  contractCommands,
  releaseCommands,
  analystCommands,
  queryCommands,
  weightsCommands,
  mockCommands,
  matchCommand,
  meteringCommands,
  backupCommands,
]) {
  add(program);
}

// A reader that closes the pipe (`weir … | head`) has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 74);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 64;
  } else {
    const sentence = sentenceOf(error);
    process.stderr.write(`weir: ${sentence}\n`);
    tellFailed(sentence, exitCodeOf(error));
    // Threads and sockets of a half-started program would keep it alive.
    process.exit(exitCodeOf(error));
  }
}
