/**
 * Which module has which commands. Only the module of the command that is given is loaded: all of them
 * together take most of a short command's time.
 */
import type { Command } from 'commander';

interface CommandGroup {
  readonly names: readonly string[];
  /** What adds them to a program. */
  readonly load: () => Promise<(program: Command) => void>;
}

export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    names: ['up', 'demo-analyst'],
    load: async () => (await import('./commands/up.ts')).upCommand,
  },
  { names: ['init'], load: async () => (await import('./commands/init.ts')).initCommands },
  {
    names: ['gateway', 'token-create', 'enrol-token', 'domains'],
    load: async () => (await import('./commands/gateway.ts')).gatewayCommands,
  },
  { names: ['domain'], load: async () => (await import('./commands/domain.ts')).domainCommands },
  { names: ['dataset'], load: async () => (await import('./commands/dataset.ts')).datasetCommands },
  {
    names: ['contract'],
    load: async () => (await import('./commands/contract.ts')).contractCommands,
  },
  { names: ['release'], load: async () => (await import('./commands/release.ts')).releaseCommands },
  {
    names: ['catalog', 'explain', 'run', 'result', 'sealing-key'],
    load: async () => (await import('./commands/analyst.ts')).analystCommands,
  },
  { names: ['sql'], load: async () => (await import('./commands/query.ts')).queryCommands },
  { names: ['weights'], load: async () => (await import('./commands/weights.ts')).weightsCommands },
  { names: ['mock'], load: async () => (await import('./commands/mock.ts')).mockCommands },
  { names: ['match'], load: async () => (await import('./commands/match.ts')).matchCommand },
  {
    names: ['metering'],
    load: async () => (await import('./commands/metering.ts')).meteringCommands,
  },
  {
    names: ['backup', 'restore'],
    load: async () => (await import('./commands/backup.ts')).backupCommands,
  },
];

/** Adds the command of this name with those beside it; all commands for any other word, or none. */
export async function addCommands(program: Command, name: string | undefined): Promise<void> {
  const own = COMMAND_GROUPS.filter(({ names }) => name !== undefined && names.includes(name));
  const groups = own.length > 0 ? own : COMMAND_GROUPS;
  const adders = await Promise.all(groups.map(({ load }) => load()));
  for (const add of adders) add(program);
}
