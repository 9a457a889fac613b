/** `weir backup` and `weir restore`: never a key, never an anchor; an old counter is noticed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createBackup, restoreBackup } from '../../contracts/backup.ts';
import { DomainConfigSchema } from '../../domain/config.ts';
import { domainPaths, openDomainState } from '../../domain/domain-state.ts';
import { ADMIN_SOCKET } from '../../domain/admin-messages.ts';
import { adminClient } from '../../domain/admin-client.ts';
import { SetupError, StateError } from '../../errors.ts';
import { databaseFile, identityKeyFile, openGatewayState } from '../../gateway/gateway-state.ts';
import { systemClock } from '../../system/clock.ts';
import { GATEWAY, type PartyId } from '../../system/ids.ts';
import { readKeyFile } from '../../system/key-file.ts';
import { readConfig } from '../directories.ts';

interface BackupArguments {
  readonly dir: string;
  readonly backup: string;
}

export function backupCommands(program: Command): void {
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .requiredOption('--dir <directory>', 'a gateway’s or a domain’s directory')
      .requiredOption('--backup <directory>', 'the backup');

  command('backup', 'copy state and configuration, consistently, while work goes on · 备份').action(
    async (options: BackupArguments) => {
      const manifest = isDomain(options.dir)
        ? await backupDomain(options)
        : await backupGateway(options);
      const facts = Object.entries(manifest.facts).map(([name, value]) => `${name} ${value}`);
      process.stdout.write(
        `${manifest.files.length} files of ${manifest.party} in ${options.backup} (${facts.join(', ')})\n` +
          'Keys and counter anchors are not in it: keep the keys apart.\n',
      );
    },
  );

  command('restore', 'put a backup in place; the program must not run · 恢复').action(
    async (options: BackupArguments) => {
      const { movedAside } = isDomain(options.dir)
        ? await restoreDomain(options)
        : await restoreGateway(options);
      process.stdout.write(
        `restored into ${options.dir}; moved aside: ${movedAside.join(', ') || 'nothing'}\n` +
          'When it starts it compares itself with what others witnessed; what is missing is refused, not forgotten.\n',
      );
    },
  );
}

function isDomain(directory: string): boolean {
  const config = join(directory, 'config.json');
  if (!existsSync(config)) {
    throw new SetupError('config-missing', `There is no configuration in ${directory}.`);
  }
  return !existsSync(databaseFile(directory));
}

async function backupGateway({ dir, backup }: BackupArguments): ReturnType<typeof createBackup> {
  const state = await openGatewayState(dir);
  try {
    const head = await state.audit.head();
    return await createBackup({
      directory: backup,
      party: GATEWAY,
      identity: readKeyFile(identityKeyFile(dir), 'ed25519'),
      databases: { 'gateway.sqlite': state.store },
      files: { 'config.json': join(dir, 'config.json') },
      facts: { auditSize: String(head.size) },
      nowMs: systemClock.now(),
    });
  } finally {
    await state.store.close();
  }
}

async function backupDomain({ dir, backup }: BackupArguments): ReturnType<typeof createBackup> {
  const { party } = readConfig(dir, DomainConfigSchema);
  const state = await openDomainState(dir, party);
  const paths = domainPaths(dir);
  try {
    const { head } = await state.counters.state();
    const pins = existsSync(paths.pins) ? { 'pins.json': paths.pins } : {};
    return await createBackup({
      directory: backup,
      party,
      identity: state.identity,
      databases: { 'domain.sqlite': state.store },
      files: { 'config.json': join(dir, 'config.json'), ...pins },
      facts: { spendSeq: String(head.seq) },
      nowMs: systemClock.now(),
    });
  } finally {
    await state.close();
  }
}

async function restoreDomain({ dir, backup }: BackupArguments): ReturnType<typeof restoreBackup> {
  const { party } = readConfig(dir, DomainConfigSchema);
  await refuseRunning(dir, party);
  const paths = domainPaths(dir);
  return restoreBackup({
    directory: backup,
    party,
    publicKey: readKeyFile(paths.identity, 'ed25519').publicKey,
    targets: {
      'domain.sqlite': paths.database,
      'config.json': join(dir, 'config.json'),
      'pins.json': paths.pins,
    },
    nowMs: systemClock.now(),
  });
}

function restoreGateway({ dir, backup }: BackupArguments): ReturnType<typeof restoreBackup> {
  return restoreBackup({
    directory: backup,
    party: GATEWAY,
    publicKey: readKeyFile(identityKeyFile(dir), 'ed25519').publicKey,
    targets: { 'gateway.sqlite': databaseFile(dir), 'config.json': join(dir, 'config.json') },
    nowMs: systemClock.now(),
  });
}

async function refuseRunning(dir: string, party: PartyId): Promise<void> {
  if (!existsSync(join(dir, ADMIN_SOCKET))) return;
  try {
    await adminClient(dir).status();
  } catch (error) {
    // Nobody answers: a socket file that a crash left.
    if (error instanceof SetupError) return;
    throw error;
  }
  throw new StateError('already-exists', `The domain ${party} is running; stop it first.`);
}
