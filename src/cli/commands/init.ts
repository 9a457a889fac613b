/** `weir init gateway|domain|analyst`: a directory with configuration and keys. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Party } from '../../contracts/contract.ts';
import { DomainConfigSchema } from '../../domain/config.ts';
import { InputError } from '../../errors.ts';
import { type PartyId, PartyIdSchema } from '../../system/ids.ts';
import { AnalystConfigSchema } from '../analyst-config.ts';
import { operatorTokenFile } from '../directories.ts';
import { portOf } from '../ports.ts';
import { initAnalyst, initDomain, initGateway, type PostgresPlace } from '../init.ts';

interface PartyOptions {
  readonly dir: string;
  readonly party: string;
  readonly name?: string;
  readonly nameZh?: string;
  readonly gateway: string;
  readonly ca?: string;
}

export function initCommands(program: Command): void {
  const init = program
    .command('init')
    .description('make a party’s directory with configuration and keys · 初始化');

  init
    .command('gateway')
    .requiredOption('--dir <directory>', 'a new directory')
    .option('--host <host>', 'address to listen on; beyond loopback needs TLS', '127.0.0.1')
    .option('--port <port>', 'port to listen on', '8470')
    .option('--tls-cert <file>', 'certificate chain, PEM, relative to the directory')
    .option('--tls-key <file>', 'its key, PEM, relative to the directory')
    .option(
      '--postgres-url-file <file>',
      'keep the state in the PostgreSQL whose postgres:// address is in this file; - reads standard input',
    )
    .option('--postgres-schema <name>', 'the schema in it')
    .option('--instance <name>', 'this process among gateways on one database')
    .option('--identity-key <file>', 'the key of the gateways that share the database already')
    .addHelpText('after', '\nExample: weir init gateway --dir gateway --port 8470')
    .action(async (options: GatewayInit) => {
      const { dir, host, port, tlsCert, tlsKey } = options;
      if ((tlsCert === undefined) !== (tlsKey === undefined)) {
        throw new InputError('parameter-invalid', '--tls-cert and --tls-key go together.');
      }
      const { fingerprint } = await initGateway({
        directory: dir,
        host,
        port: portOf(port),
        ...(tlsCert === undefined || tlsKey === undefined
          ? {}
          : { tls: { certFile: tlsCert, keyFile: tlsKey } }),
        ...postgresOf(options),
      });
      process.stdout.write(
        `gateway made in ${dir}\nfingerprint ${fingerprint}\n` +
          `operator’s token in ${operatorTokenFile(dir)} (keep it)\n` +
          `next: weir gateway --dir ${dir}\n`,
      );
    });

  initDomainCommand(init);

  partyOptions(init.command('analyst')).action(async (options: PartyOptions) => {
    const { fingerprint } = await initAnalyst({
      directory: options.dir,
      ...statedOf(options),
      ...(options.ca === undefined ? {} : { caFile: options.ca }),
    });
    process.stdout.write(
      `analyst ${options.party} made in ${options.dir}\nfingerprint ${fingerprint}\n` +
        `next: put the API token that the operator gives you into ${options.dir}/token\n`,
    );
  });
}

function initDomainCommand(init: Command): void {
  partyOptions(init.command('domain'))
    .requiredOption(
      '--token-file <file>',
      'the one-time token of `weir enrol-token`; - reads it from standard input',
    )
    .option('--gateway-fingerprint <fingerprint>', 'refuse any other gateway')
    .addHelpText(
      'after',
      '\nExample: weir init domain --dir hospital --party hospital --gateway http://127.0.0.1:8470 --token-file token',
    )
    .action(async (options: PartyOptions & { tokenFile: string; gatewayFingerprint?: string }) => {
      const made = await initDomain({
        directory: options.dir,
        ...statedOf(options),
        token: readSecret('--token-file', options.tokenFile),
        datasets: [],
        ...(options.ca === undefined ? {} : { caFile: options.ca }),
        ...(options.gatewayFingerprint === undefined
          ? {}
          : { gatewayFingerprint: options.gatewayFingerprint }),
      });
      process.stdout.write(
        `domain ${options.party} made in ${options.dir} and enrolled\n` +
          `own fingerprint      ${made.fingerprint}\n` +
          `gateway fingerprint  ${made.gatewayFingerprint}\n` +
          'Compare both with the gateway’s operator, by telephone or in person.\n',
      );
    });
}

/** From a file, never from the command line, which every process of the machine can see. */
function readSecret(option: string, file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8').trim();
  } catch {
    throw new InputError('parameter-invalid', `${option} ${file} cannot be read.`);
  }
}

/** @throws InputError `parameter-invalid` where an option of a shared store comes without one. */
function postgresOf(options: GatewayInit): { postgres?: PostgresPlace } {
  const { postgresUrlFile, postgresSchema, instance, identityKey } = options;
  if (postgresUrlFile !== undefined) {
    return {
      postgres: {
        url: readSecret('--postgres-url-file', postgresUrlFile),
        ...(postgresSchema === undefined ? {} : { schema: postgresSchema }),
        ...(instance === undefined ? {} : { instance }),
        ...(identityKey === undefined ? {} : { identityKeyFile: identityKey }),
      },
    };
  }
  if (postgresSchema === undefined && instance === undefined && identityKey === undefined)
    return {};
  throw new InputError(
    'parameter-invalid',
    '--postgres-schema, --instance and --identity-key go with --postgres-url-file.',
  );
}

interface GatewayInit {
  readonly dir: string;
  readonly host: string;
  readonly port: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly postgresUrlFile?: string;
  readonly postgresSchema?: string;
  readonly instance?: string;
  readonly identityKey?: string;
}

function partyOptions(command: Command): Command {
  return command
    .requiredOption('--dir <directory>', 'a new directory')
    .requiredOption('--party <party>', 'short name: lower-case letters, digits, hyphens')
    .option('--name <name>', 'name for people, in English')
    .option('--name-zh <name>', 'name for people, in Chinese')
    .requiredOption('--gateway <url>', 'the gateway’s address')
    .option('--ca <file>', 'PEM of the authority of the gateway’s certificate');
}

/** Looked at before a key or a directory is made. @throws InputError `parameter-invalid` */
function statedOf(options: PartyOptions): {
  readonly party: PartyId;
  readonly name: Party['name'];
  readonly gatewayUrl: string;
} {
  const { gateway: gatewayUrl, party } = options;
  const id = PartyIdSchema.safeParse(party);
  if (!id.success) {
    throw new InputError('parameter-invalid', `--party ${party} is no party id.`, {
      remedy: 'Lower-case letters, digits and hyphens, a letter first, 63 at most.',
    });
  }
  if (!AnalystConfigSchema.shape.gateway.shape.url.safeParse(gatewayUrl).success) {
    throw new InputError('parameter-invalid', `--gateway ${gatewayUrl} is no http or https URL.`);
  }
  const en = options.name ?? options.nameZh ?? party;
  const name = DomainConfigSchema.shape.name.safeParse({ en, zh: options.nameZh ?? en });
  if (name.success) return { party: id.data, name: name.data, gatewayUrl };
  throw new InputError('parameter-invalid', '--name and --name-zh have 1 to 200 characters.');
}
