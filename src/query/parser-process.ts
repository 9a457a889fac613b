/**
 * The process that holds the native SQL parser: it reads texts from its parent, answers trees, and
 * ends with its parent. Started without environment and without rights to write, listen or start
 * programs (`isolated-serializer.ts`), so that a fault found in the parser by a hostile text ends
 * here, away from ledger, keys and links.
 */
import { z } from 'zod';
import { openSerializer } from './sql-serializer.ts';

const AskSchema = z.strictObject({ id: z.int(), text: z.string() });

const serializer = await openSerializer();

process.on('message', (message) => {
  const ask = AskSchema.safeParse(message);
  if (!ask.success) return;
  const { id, text } = ask.data;
  serializer.serialize(text).then(
    (tree) => tell({ id, tree, rssBytes: process.memoryUsage.rss() }),
    () => tell({ id, rssBytes: process.memoryUsage.rss() }),
  );
});
process.once('disconnect', () => process.exit(0));
tell({ ready: true });

function tell(message: object): void {
  process.send?.(message, () => undefined);
}
