/** `weir backup` and `weir restore`: never a key, never an anchor; an old counter is noticed. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createBackup, restoreBackup } from '../../contracts/backup.ts';
import { DomainConfigSchema } from '../../domain/config.ts';
import { readHead } from '../../domain/counter-rows.ts';
import { domainPaths, openDomainStore } from '../../domain/domain-state.ts';
import { SetupError } from '../../errors.ts';
import { sqliteAudit } from '../../audit/sqlite-audit.ts';
import { GatewayConfigSchema } from '../../gateway/config.ts';
import {
  databaseFile,
  identityKeyFile,
  lockFile,
  openEmbedded,
} from '../../gateway/gateway-state.ts';
import { takeProcessLock } from '../../store/process-lock.ts';
import { systemClock } from '../../system/clock.ts';
import { GATEWAY } from '../../system/ids.ts';
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
      const ofDomain = isDomain(options.dir);
      const { movedAside } = ofDomain
        ? await restoreDomain(options)
        : await restoreGateway(options);
      process.stdout.write(
        `restored into ${options.dir}; moved aside: ${movedAside.join(', ') || 'nothing'}\n` +
          'When it starts it compares itself with what others witnessed; what is missing is refused, not forgotten.\n' +
          (ofDomain
            ? 'The backed-up configuration and pins lie beside the present ones, as *.from-backup.json: ' +
              'nothing reads them; compare, and pin by `weir domain trust` what still holds.\n'
            : ''),
      );
    },
  );
}

function isDomain(directory: string): boolean {
  const config = join(directory, 'config.json');
  if (!existsSync(config)) {
    throw new SetupError('config-missing', `There is no configuration in ${directory}.`);
  }
  return readFileSync(config, 'utf8').includes('"weir-domain/1"');
}

async function backupGateway({ dir, backup }: BackupArguments): ReturnType<typeof createBackup> {
  const { store: where } = readConfig(dir, GatewayConfigSchema);
  if (where.kind !== 'sqlite') {
    throw new SetupError('config-invalid', 'The state is in PostgreSQL: back it up with pg_dump.', {
      remedy: 'Take the configuration along; keys are kept apart.',
    });
  }
  const store = await openEmbedded(dir);
  try {
    const head = await sqliteAudit(store).head();
    return await createBackup({
      directory: backup,
      party: GATEWAY,
      identity: readKeyFile(identityKeyFile(dir), 'ed25519'),
      databases: { 'gateway.sqlite': store },
      files: { 'config.json': join(dir, 'config.json') },
      facts: { auditSize: String(head.size) },
      nowMs: systemClock.now(),
    });
  } finally {
    await store.close();
  }
}

/** Of a running domain too: its counters are read, never opened, which is the running domain's alone. */
export async function backupDomain({
  dir,
  backup,
}: BackupArguments): ReturnType<typeof createBackup> {
  const { party } = readConfig(dir, DomainConfigSchema);
  const paths = domainPaths(dir);
  const store = await openDomainStore(dir);
  try {
    const head = await readHead(store);
    const pins = existsSync(paths.pins) ? { 'pins.json': paths.pins } : {};
    return await createBackup({
      directory: backup,
      party,
      identity: readKeyFile(paths.identity, 'ed25519'),
      databases: { 'domain.sqlite': store },
      files: { 'config.json': join(dir, 'config.json'), ...pins },
      facts: { spendSeq: String(head?.seq ?? 0) },
      nowMs: systemClock.now(),
    });
  } finally {
    await store.close();
  }
}

/**
 * The database goes into place; configuration and pins only beside the present ones: an old list of
 * pins would bring back a holder's or a gateway's key that the officer has removed since.
 */
export async function restoreDomain({
  dir,
  backup,
}: BackupArguments): ReturnType<typeof restoreBackup> {
  const { party } = readConfig(dir, DomainConfigSchema);
  const paths = domainPaths(dir);
  return alone(paths.lock, () =>
    restoreBackup({
      directory: backup,
      party,
      publicKey: readKeyFile(paths.identity, 'ed25519').publicKey,
      targets: {
        'domain.sqlite': paths.database,
        'config.json': join(dir, 'config.from-backup.json'),
        'pins.json': join(dir, 'pins.from-backup.json'),
      },
      nowMs: systemClock.now(),
    }),
  );
}

function restoreGateway({ dir, backup }: BackupArguments): ReturnType<typeof restoreBackup> {
  return alone(lockFile(dir), () =>
    restoreBackup({
      directory: backup,
      party: GATEWAY,
      publicKey: readKeyFile(identityKeyFile(dir), 'ed25519').publicKey,
      targets: { 'gateway.sqlite': databaseFile(dir), 'config.json': join(dir, 'config.json') },
      nowMs: systemClock.now(),
    }),
  );
}

/** Under the program's own lock: it neither runs nor can start meanwhile. */
async function alone<Answer>(file: string, work: () => Promise<Answer>): Promise<Answer> {
  const lock = takeProcessLock(file);
  try {
    return await work();
  } finally {
    lock.release();
  }
}
