/** `weir gateway` and what an operator does on it: tokens, enrolments, domains. */
import type { Command } from 'commander';
import { InputError } from '../../errors.ts';
import { RoleSchema } from '../../contracts/api.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { operatorClient, type OperatorOptions } from '../operator.ts';
import { table } from '../terminal.ts';

const DAY_S = 86_400;

export function gatewayCommands(program: Command): void {
  program
    .command('gateway')
    .description('run a gateway · 运行网关')
    .requiredOption('--dir <directory>', 'the gateway’s directory')
    .option('--port <port>', 'listen on this port instead of the configured one')
    .action(async (options: { dir: string; port?: string }) => {
      // The HTTP API, the ledger and the stores: the other commands only talk to a gateway at work.
      const { runGateway } = await import('../run-gateway.ts');
      await runGateway(options.dir, options.port);
    });

  const operator = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .requiredOption('--dir <directory>', 'the gateway’s directory, on its own machine')
      .option('--url <url>', 'where the gateway listens, if not as configured');

  operator('token-create', 'make an API token · 签发令牌')
    .requiredOption('--role <role>', 'analyst, billing or operator')
    .requiredOption('--party <party>', 'whom the token speaks for')
    .option('--days <days>', 'its life', '30')
    .option('--label <label>', 'a note for the list of tokens', 'weir token-create')
    .addHelpText(
      'after',
      '\nExample: weir token-create --dir gateway --role analyst --party clinic > clinic/token',
    )
    .action(async (options: OperatorOptions & TokenOptions) => {
      const created = await operatorClient(options).createToken({
        role: parsed(RoleSchema, options.role, '--role is analyst, billing or operator'),
        party: parsed(PartyIdSchema, options.party, '--party is lower-case letters and digits'),
        label: options.label,
        ttlS: days(options.days) * DAY_S,
      });
      process.stdout.write(`${created.token}\n`);
    });

  operator('enrol-token', 'make a one-time token with which one domain enrols · 签发一次性注册令牌')
    .requiredOption('--party <party>', 'the one domain that may use it')
    .action(async (options: OperatorOptions & { party: string }) => {
      const created = await operatorClient(options).createEnrolmentToken({
        party: parsed(PartyIdSchema, options.party, '--party is lower-case letters and digits'),
        ttlS: DAY_S,
      });
      process.stdout.write(`${created.token}\n`);
    });

  operator('domains', 'enrolled domains, with fingerprints to compare · 已注册的数据域').action(
    async (options: OperatorOptions) => {
      const { domains, gatewayFingerprint } = await operatorClient(options).domains();
      process.stdout.write(`gateway ${gatewayFingerprint}\n\n`);
      const rows = domains.map((domain) => [
        domain.party,
        domain.name.en,
        domain.fingerprint,
        domain.connectedSince === undefined ? 'not connected' : `since ${domain.connectedSince}`,
      ]);
      process.stdout.write(`${table(['domain', 'name', 'fingerprint', 'link'], rows)}\n`);
    },
  );
}

interface TokenOptions {
  readonly role: string;
  readonly party: string;
  readonly days: string;
  readonly label: string;
}

function days(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 366) return value;
  throw new InputError('parameter-invalid', `--days ${text}: choose 1 to 366.`);
}

function parsed<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
  value: unknown,
  rule: string,
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InputError('parameter-invalid', `${rule}; got ${String(value)}.`);
}
