/** What billing systems and operators read: metering records and sums. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { WeirClient } from '../../client/weir-client.ts';
import type { MeteringRecordBody } from '../../contracts/api.ts';
import { InputError } from '../../errors.ts';
import { table } from '../terminal.ts';
import { operatorClient } from './gateway.ts';

interface MeteringOptions {
  readonly dir?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

export function meteringCommands(program: Command): void {
  const metering = program.command('metering').description('metering · 计量');
  withAccess(metering.command('records').description('records by cursor, oldest first'))
    .option('--after <seq>', 'records after this number', '0')
    .option('--limit <count>', 'at most so many', '100')
    .action(async (options: MeteringOptions & { after: string; limit: string }) => {
      const client = clientOf(options);
      try {
        const page = await client.meteringRecords({
          after: options.after,
          limit: Number(options.limit),
        });
        process.stdout.write(
          options.json === true
            ? page.records.map((record) => `${JSON.stringify(record)}\n`).join('')
            : `${recordTable(page.records)}\n${page.more ? `more: --after ${page.next}\n` : ''}`,
        );
      } finally {
        client.close();
      }
    });

  withAccess(metering.command('usage').description('sums by analyst, contract and outcome'))
    .option('--from <instant>', 'RFC 3339, inclusive')
    .option('--to <instant>', 'RFC 3339, exclusive')
    .action(async (options: MeteringOptions & { from?: string; to?: string }) => {
      const client = clientOf(options);
      try {
        const { lines } = await client.usage({
          ...(options.from === undefined ? {} : { from: options.from }),
          ...(options.to === undefined ? {} : { to: options.to }),
        });
        const rows = lines.map((line) => [
          line.analyst,
          line.contractId ?? null,
          line.outcome,
          line.records,
          unitsText(line.units),
          money(line.chargeMicros, line.currency),
        ]);
        process.stdout.write(
          options.json === true
            ? `${JSON.stringify(lines, undefined, 2)}\n`
            : `${table(['analyst', 'contract', 'outcome', 'records', 'units', 'charge'], rows)}\n`,
        );
      } finally {
        client.close();
      }
    });
}

/** Records as a table for people. */
export function recordTable(records: readonly MeteringRecordBody[]): string {
  return table(
    ['record', 'at', 'analyst', 'protocol', 'outcome', 'code', 'units', 'charge'],
    records.map((record) => [
      record.seq,
      record.at,
      record.analyst,
      record.protocol ?? null,
      record.outcome,
      record.code ?? null,
      unitsText(record.units),
      money(record.chargeMicros, record.currency),
    ]),
  );
}

function withAccess(command: Command): Command {
  return command
    .option('--dir <directory>', 'the gateway’s directory, for its operator')
    .option('--url <url>', 'the gateway’s address')
    .option('--token-file <file>', 'a file with a billing token')
    .option('--json', 'as JSON');
}

function clientOf(options: MeteringOptions): WeirClient {
  const { dir, url, tokenFile } = options;
  if (url !== undefined && tokenFile !== undefined) {
    return new WeirClient({ url, token: readFileSync(tokenFile, 'utf8').trim() });
  }
  if (dir !== undefined) return operatorClient({ dir, ...(url === undefined ? {} : { url }) });
  throw new InputError('parameter-invalid', 'Say --dir, or --url with --token-file.');
}

function unitsText(units: Readonly<Record<string, string>>): string {
  return Object.entries(units)
    .filter(([, value]) => value !== '0')
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function money(micros: string, currency: string): string {
  const value = Number(micros) / 1_000_000;
  return `${value.toFixed(2)} ${currency}`;
}
