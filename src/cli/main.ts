/** The `weir` command: one sub-command a file, one sentence an error, no stack traces. */
import { Command, CommanderError } from 'commander';
import { addCommands } from './command-groups.ts';
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

// A reader that closes the pipe (`weir … | head`) has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 74);
});

try {
  await addCommands(
    program,
    process.argv.slice(2).find((word) => !word.startsWith('-')),
  );
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
