/** `weir domain`: run a holder's domain, pin other holders, look at its counters. */
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { PublicKeySchema } from '../../contracts/contract.ts';
import { adminClient } from '../../domain/admin-client.ts';
import { type DomainConfig, DomainConfigSchema } from '../../domain/config.ts';
import { InputError } from '../../errors.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { decodeBase64url } from '../../system/base64url.ts';
import { fingerprintOf } from '../../system/signature-suite.ts';
import { readConfig, writeConfig } from '../directories.ts';
import { table } from '../terminal.ts';
import { exitBundleCommands } from './exit-bundle.ts';

const directoryOption = ['--dir <directory>', 'the domain’s directory'] as const;

const REGISTRATION_HELP =
  '\nThe registration’s source is files or a PostgreSQL table:\n' +
  '  "source": {"kind": "duckdb", "format": "parquet", "files": ["visits/*.parquet"]}\n' +
  '  "source": {"kind": "postgres", "connectionFile": "hospital-db.json",\n' +
  '             "schema": "public", "table": "visits"}\n' +
  'The connection file stays in the domain, mode 0600:\n' +
  '  {"host": "127.0.0.1", "port": 5432, "database": "his", "user": "weir", "password": "…"}\n' +
  'A server elsewhere needs "caFile"; give the account SELECT on that table and nothing else.\n' +
  '\nExample: weir domain add-dataset --dir hospital visits.dataset.json';

export function domainCommands(program: Command): void {
  const domain = program.command('domain').description('run a holder’s domain · 运行数据域');

  domain
    .command('start', { isDefault: true })
    .description('run the domain; it dials its gateway')
    .requiredOption(...directoryOption)
    .action(async ({ dir }: { dir: string }) => {
      // Sources, protocols and pools: the other commands only talk to a domain at work.
      const { runDomain } = await import('../run-domain.ts');
      await runDomain(dir);
    });

  domain
    .command('trust')
    .description('pin another holder’s key, compared out of band · 固定其他数据持有方的公钥')
    .requiredOption(...directoryOption)
    .requiredOption('--party <party>', 'the other holder')
    .requiredOption('--key <key>', 'its public key, as `weir domain status` shows it there')
    .action(async ({ dir, party, key }: { dir: string; party: string; key: string }) => {
      const id = PartyIdSchema.safeParse(party);
      const publicKey = PublicKeySchema.safeParse(key);
      if (!id.success)
        throw new InputError('parameter-invalid', `--party ${party} is no party id.`);
      if (!publicKey.success) {
        throw new InputError('parameter-invalid', '--key is not a public key in base64url.', {
          remedy: `\`weir domain status\` shows it at ${party}: compare it in person.`,
        });
      }
      await adminClient(dir).trust({ party: id.data, publicKey: publicKey.data });
      const fingerprint = fingerprintOf(decodeBase64url(publicKey.data, 32));
      process.stdout.write(`pinned ${party}, fingerprint ${fingerprint}\n`);
    });

  domain
    .command('distrust')
    .description('remove a pin: no run with that holder begins here any more · 取消固定')
    .requiredOption(...directoryOption)
    .requiredOption('--party <party>', 'the other holder')
    .action(async ({ dir, party }: { dir: string; party: string }) => {
      const id = PartyIdSchema.safeParse(party);
      if (!id.success)
        throw new InputError('parameter-invalid', `--party ${party} is no party id.`);
      await adminClient(dir).distrust(id.data);
      process.stdout.write(`${party} is not pinned here\n`);
    });

  domain
    .command('status')
    .description('keys and fingerprints, pins, datasets, counters · 状态')
    .requiredOption(...directoryOption)
    .option('--json', 'as JSON')
    .action(async ({ dir, json }: { dir: string; json?: boolean }) =>
      showStatus(dir, json === true),
    );

  domain
    .command('add-dataset')
    .description('register a dataset: a JSON file that says where it lies and what may be done')
    .requiredOption(...directoryOption)
    .argument('<registration>', 'path of the registration, relative to the directory')
    .addHelpText('after', REGISTRATION_HELP)
    .action(async (registration: string, { dir }: { dir: string }) => {
      const config = readConfig(dir, DomainConfigSchema);
      await requireOpening(dir, registration, config);
      const datasets = [...new Set([...config.datasets, registration])];
      writeConfig(dir, { ...config, datasets });
      process.stdout.write(
        `registered ${resolve(dir, registration)}; the domain serves it from its next start on\n`,
      );
    });

  acceptCommands(domain);
  exitBundleCommands(domain);
}

/** One that no start would accept is refused: it would keep the domain from starting. */
async function requireOpening(
  dir: string,
  registration: string,
  { datasets, limits }: DomainConfig,
): Promise<void> {
  // Loaded here alone: it opens the data, by an engine that no other command of an officer needs.
  const { tryRegistration } = await import('../../domain/dataset-registry.ts');
  const others = datasets.map((other) => resolve(dir, other));
  const place = { stateDirectory: join(dir, 'state'), limits };
  await tryRegistration(resolve(dir, registration), others, place);
}

/** What an officer accepts after a restored backup, its own or the gateway's. */
function acceptCommands(domain: Command): void {
  domain
    .command('accept-rollback')
    .description('go on after a restored backup, forward only')
    .requiredOption(...directoryOption)
    .option('--lost-runs <count>', 'accept that so many runs are lost')
    .action(async ({ dir, lostRuns }: { dir: string; lostRuns?: string }) => {
      const officer = adminClient(dir);
      if (lostRuns === undefined) {
        const view = await officer.viewRollback();
        process.stdout.write(
          `The counters end at ${view.storedSeq}; witnesses know of ${view.highestSeq}.\n` +
            `${view.lostRuns} runs would count against every contract.\n` +
            (view.highestSeq > view.storedSeq
              ? 'Exact answers about persons stay refused then: what was released since is forgotten.\n'
              : '') +
            'To accept:\n' +
            `  weir domain accept-rollback --dir ${dir} --lost-runs ${view.lostRuns}\n`,
        );
        return;
      }
      await officer.acceptRollback(Number(lostRuns));
      process.stdout.write('accepted; the domain takes runs again\n');
    });

  domain
    .command('accept-gateway-history')
    .description('take the gateway’s audit log as it is now, though it lost what was seen before')
    .requiredOption(...directoryOption)
    .action(async ({ dir }: { dir: string }) => {
      await adminClient(dir).acceptGatewayHistory();
      process.stdout.write('accepted; the gateway’s next log is taken as the first was\n');
    });
}

async function showStatus(directory: string, json: boolean): Promise<void> {
  const status = await adminClient(directory).status();
  if (json) {
    process.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
    return;
  }
  const { gateway, counters } = status;
  const lines = [
    `domain       ${status.party}`,
    `public key   ${status.publicKey}`,
    `fingerprint  ${status.fingerprint}`,
    `gateway      ${gateway.url} ${gateway.connected ? '(connected)' : '(not connected)'}`,
    `             ${gateway.fingerprint ?? 'not enrolled'}`,
    `counters     ${counters.spends} spends${counters.rolledBack ? ', ROLLED BACK: see `weir domain accept-rollback`' : ''}`,
    `engines      matches by ${status.engines.match}`,
    '',
    table(
      ['pinned holder', 'fingerprint'],
      status.pins.map((pin) => [pin.party, pin.fingerprint]),
    ),
    '',
    table(
      ['dataset', 'grade', 'rows at most', 'fingerprint'],
      status.datasets.map((one) => [
        one.name,
        one.grade,
        one.rowsMax,
        one.fingerprint.slice(0, 16),
      ]),
    ),
    '',
    table(
      ['signed contract', 'runs', 'evaluated items'],
      counters.contracts.map((one) => [one.contractId, one.runs, one.evaluated]),
    ),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
