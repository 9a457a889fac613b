/** What billing systems and operators read: metering records and sums. */
import type { Command } from 'commander';
import type { MeteringRecordBody } from '../../contracts/api.ts';
import { table } from '../terminal.ts';
import { billingCommands } from './billing.ts';
import { clientOf, type MeteringOptions, money, withAccess } from '../metering-access.ts';

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

  billingCommands(metering);
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

function recordTable(records: readonly MeteringRecordBody[]): string {
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

function unitsText(units: Readonly<Record<string, string>>): string {
  return Object.entries(units)
    .filter(([, value]) => value !== '0')
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
