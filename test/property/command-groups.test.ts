/** Which module has which commands: each is loaded alone for its own, and all for anything else. */
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addCommands, COMMAND_GROUPS } from '../../src/cli/command-groups.ts';

const ALL = COMMAND_GROUPS.flatMap(({ names }) => names);

async function commandsFor(name: string | undefined): Promise<readonly string[]> {
  const program = new Command();
  await addCommands(program, name);
  return program.commands.map((command) => command.name());
}

describe('the commands of weir', () => {
  it('are each in one group', () => {
    expect(new Set(ALL).size).toBe(ALL.length);
  });

  it.each(COMMAND_GROUPS.map(({ names }) => names))(
    '%s come from their module, which has no others',
    async (...names) => {
      for (const name of names) expect(await commandsFor(name)).toEqual(names);
    },
  );

  it('are all there for a word that is none of them: for the help, and for what was meant', async () => {
    for (const name of [undefined, 'help', 'contarct'])
      expect(await commandsFor(name)).toEqual(ALL);
  });
});
