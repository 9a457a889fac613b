/** `weir release`: an officer looks at results that wait in the domain, and lets them go or not. */
import type { Command } from 'commander';
import { quoted } from '../../contracts/plain-text.ts';
import { adminClient } from '../../domain/admin-client.ts';
import type { WaitingReleaseReview } from '../../domain/admin-messages.ts';
import { InputError } from '../../errors.ts';
import { HashSchema, type RunId, RunIdSchema } from '../../system/ids.ts';
import { table } from '../terminal.ts';

export function releaseCommands(program: Command): void {
  const release = program
    .command('release')
    .description('results that wait for an officer of this domain · 结果放行');
  const officer = (name: string, description: string): Command =>
    release
      .command(name)
      .description(description)
      .requiredOption('--dir <directory>', 'the domain’s directory');

  officer('list', 'results that wait, and until when · 待放行的结果').action(
    async ({ dir }: { dir: string }) => {
      const rows = (await adminClient(dir).releases()).map((one) => [
        one.runId,
        one.decision ?? 'waits',
        one.until,
        one.analyst,
        quoted(one.title.en),
        quoted(one.title.zh),
      ]);
      const head = ['run', 'decision', 'until', 'analyst', 'title', '名称'];
      process.stdout.write(`${table(head, rows)}\n`);
    },
  );

  officer('show', 'what would go: who asked, counts, what is withheld · 查看')
    .argument('<run>', 'its id')
    .option('--contract', 'the whole contract in plain words, too')
    .action(async (text: string, { dir, contract }: { dir: string; contract?: boolean }) => {
      const review = await adminClient(dir).reviewRelease(runOf(text));
      process.stdout.write(reviewText(review));
      if (contract === true) process.stdout.write(`\n${review.zh}\n\n${review.en}\n`);
      const { runId } = review.waiting;
      process.stdout.write(
        `\nhash ${review.hash}\n` +
          `To release:  weir release approve --dir ${dir} ${runId} --hash ${review.hash}\n` +
          `To refuse:   weir release refuse --dir ${dir} ${runId} --hash ${review.hash}\n`,
      );
    });

  for (const [name, decision, description] of [
    ['approve', 'approved', 'let a result go, with every other holder’s officer · 放行'],
    ['refuse', 'refused', 'keep a result back for good; the run is charged · 不予放行'],
  ] as const) {
    officer(name, description)
      .argument('<run>', 'its id')
      .requiredOption('--hash <hash>', 'the hash that `weir release show` showed')
      .action(async (text: string, { dir, hash }: { dir: string; hash: string }) => {
        const parsed = HashSchema.safeParse(hash);
        if (!parsed.success) {
          throw new InputError('parameter-invalid', '--hash is 64 hexadecimal digits.', {
            remedy: '`weir release show` shows it.',
          });
        }
        await adminClient(dir).decideRelease(runOf(text), { decision, hash: parsed.data });
        process.stdout.write(`${decision}, in this domain at once\n`);
      });
  }
}

function reviewText(review: WaitingReleaseReview): string {
  const { waiting, parties, lines, table: cells } = review;
  const chosen = Object.entries(review.arguments).map(
    ([name, labels]) => `${name}: ${labels.map(quoted).join(', ')}`,
  );
  const parts = [
    `run        ${waiting.runId}`,
    `contract   ${waiting.contractId}`,
    `title      ${quoted(waiting.title.zh)} / ${quoted(waiting.title.en)}`,
    `analyst    ${waiting.analyst}`,
    `holders    ${parties.join(', ')}`,
    `chosen     ${chosen.join('; ') || '-'}`,
    `until      ${waiting.until}`,
    `decision   ${waiting.decision ?? 'none yet · 尚未决定'}`,
    '',
    ...lines.flatMap(({ zh, en }) => [zh, en]),
  ];
  if (cells !== undefined) {
    const rows = cells.rows.map((row) =>
      row.map((cell) => (typeof cell === 'string' ? seen(cell) : cell)),
    );
    parts.push('', table([...cells.columns], rows));
  }
  return `${parts.join('\n')}\n`;
}

/** A label that others chose, quoted where something in it would not show. */
function seen(text: string): string {
  const shown = quoted(text);
  return shown === `"${text}"` ? text : shown;
}

function runOf(text: string): RunId {
  const parsed = RunIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', `${text} is not a run’s id.`, {
    remedy: '`weir release list` shows them.',
  });
}
