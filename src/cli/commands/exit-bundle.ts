/** `weir domain exit-bundle` and `verify-bundle`: a holder leaves with everything about its data. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { PublicKeySchema } from '../../contracts/contract.ts';
import { DomainConfigSchema } from '../../domain/config.ts';
import { domainPaths, openDomainStore } from '../../domain/domain-state.ts';
import { createExitBundle, type ExitManifest, verifyExitBundle } from '../../domain/exit-bundle.ts';
import { InputError } from '../../errors.ts';
import { decodeBase64url } from '../../system/base64url.ts';
import { systemClock } from '../../system/clock.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { readKeyFile } from '../../system/key-file.ts';
import { parseJsonFile, readConfig } from '../directories.ts';
import { table } from '../terminal.ts';

export function exitBundleCommands(domain: Command): void {
  domain
    .command('exit-bundle')
    .description('everything about this holder’s data, signed, to take along · 退出数据包')
    .requiredOption('--dir <directory>', 'the domain’s directory; the domain may run')
    .requiredOption('--out <directory>', 'a new directory')
    .addHelpText('after', '\nExample: weir domain exit-bundle --dir hospital --out hospital-exit')
    .action(async ({ dir, out }: { dir: string; out: string }) => {
      const manifest = await bundle(dir, out);
      process.stdout.write(
        `${manifestTable(manifest)}\n\nin ${resolve(out)}; anyone checks it with\n` +
          `  weir domain verify-bundle --bundle ${out} --party ${manifest.party} --key <its public key>\n`,
      );
    });

  domain
    .command('verify-bundle')
    .description('check an exit bundle offline · 校验退出数据包')
    .requiredOption('--bundle <directory>', 'the bundle')
    .requiredOption('--party <party>', 'whose it is')
    .requiredOption('--key <key>', 'the domain’s public key, as `weir domain status` shows it')
    .action(async (options: { bundle: string; party: string; key: string }) => {
      const party = PartyIdSchema.safeParse(options.party);
      const key = PublicKeySchema.safeParse(options.key);
      if (!party.success || !key.success) {
        throw new InputError('parameter-invalid', '--party or --key is not well-formed.');
      }
      const publicKey = decodeBase64url(key.data, 32);
      const manifest = await verifyExitBundle(options.bundle, party.data, publicKey);
      process.stdout.write(`${manifestTable(manifest)}\n\nwhole, and signed by ${party.data}\n`);
    });
}

async function bundle(dir: string, out: string): Promise<ExitManifest> {
  const { party, datasets } = readConfig(dir, DomainConfigSchema);
  const paths = domainPaths(dir);
  const pins: unknown[] = existsSync(paths.pins)
    ? [JSON.parse(readFileSync(paths.pins, 'utf8'))]
    : [];
  const store = await openDomainStore(dir);
  try {
    return await createExitBundle({
      store,
      directory: resolve(out),
      party,
      identity: readKeyFile(paths.identity, 'ed25519'),
      pins,
      registrations: datasets.map((file) => parseJsonFile(resolve(dir, file), z.unknown())),
      nowMs: systemClock.now(),
    });
  } finally {
    await store.close();
  }
}

function manifestTable(manifest: ExitManifest): string {
  return table(
    ['file', 'items', 'bytes'],
    manifest.files.map(({ name, items, sizeBytes }) => [name, items, sizeBytes]),
  );
}
