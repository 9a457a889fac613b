/** What billing systems take away: exports, statements, corrections, webhooks, and the proof that all agrees. */
import { existsSync, rmSync } from 'node:fs';
import type { Command } from 'commander';
import type { WeirClient } from '../../client/weir-client.ts';
import { InputError } from '../../errors.ts';
import { GatewayConfigSchema } from '../../gateway/config.ts';
import { identityKeyFile, openGatewayState } from '../../gateway/gateway-state.ts';
import { eventSource } from '../../ledger/cloud-events.ts';
import { focusRows } from '../../ledger/focus.ts';
import { writeEventBatch, writeFocusCsv, writeFocusParquet } from '../../ledger/export-files.ts';
import { readRecord } from '../../ledger/ledger-reads.ts';
import type { LedgerStore, MeteringRecord } from '../../ledger/ledger-store.ts';
import { reconcile } from '../../ledger/reconcile.ts';
import { readReceiptFacts } from '../../runs/receipt-facts.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { readKeyFile } from '../../system/key-file.ts';
import { readConfig } from '../directories.ts';
import { table } from '../terminal.ts';
import { clientOf, type MeteringOptions, money, withAccess } from '../metering-access.ts';

const PAGE = 1000;
const FORMATS = ['focus-csv', 'focus-parquet', 'cloudevents'] as const;

interface ExportOptions {
  readonly dir: string;
  readonly format: string;
  readonly out: string;
  readonly provider: string;
  readonly timeZone: string;
}

/** Sub-commands of `weir metering`. */
export function billingCommands(metering: Command): void {
  metering
    .command('export')
    .description('all records as FOCUS 1.2 (CSV, Parquet) or CloudEvents · 导出')
    .requiredOption('--dir <directory>', 'the gateway’s directory')
    .requiredOption('--format <format>', FORMATS.join(', '))
    .requiredOption('--out <file>', 'a new file')
    .option('--provider <name>', 'who runs the gateway and sends the invoice', 'Weir')
    .option('--time-zone <zone>', 'billing periods are calendar months there', 'Asia/Shanghai')
    .addHelpText(
      'after',
      '\nExample: weir metering export --dir gateway --format focus-csv --out november.csv',
    )
    .action((options: ExportOptions) => exportRecords(options));

  metering
    .command('reconcile')
    .description('prove that records, audit chain and receipts agree one to one · 对账')
    .requiredOption('--dir <directory>', 'the gateway’s directory')
    .action(async ({ dir }: { dir: string }) => {
      const { publicKey } = readKeyFile(identityKeyFile(dir), 'ed25519');
      const answer = await withState(dir, ({ store }) =>
        reconcile({ store, receipts: readReceiptFacts(store, publicKey), nowMs: Date.now() }),
      );
      if (answer.ok) {
        process.stdout.write(
          `${answer.records} records, ${answer.entries} audit entries and ${answer.receipts} receipts agree\n` +
            (answer.due === 0n
              ? ''
              : `${answer.due} receipts of the last minute are still to come\n`) +
            `audit chain at ${answer.head.size}, ${answer.head.hash}\n`,
        );
        return;
      }
      process.stdout.write(
        `${answer.kind} ${answer.at} is the first that does not agree: ${answer.reason}\n`,
      );
      process.exitCode = 1;
    });

  withAccess(metering.command('statement').description('one analyst’s calendar month · 月结单'))
    .requiredOption('--analyst <party>', 'whose')
    .requiredOption('--month <month>', 'such as 2026-11')
    .option('--time-zone <zone>', 'whose calendar', 'Asia/Shanghai')
    .action((options: MeteringOptions & { analyst: string; month: string; timeZone: string }) =>
      showStatement(options),
    );

  withAccess(
    metering.command('correct').description('correct a posted charge by a new record · 更正'),
  )
    .argument('<seq>', 'the record’s number')
    .requiredOption('--charge-micros <amount>', 'what it should have been, in millionths')
    .requiredOption('--reason <text>', 'kept in the audit chain')
    .action(
      async (seq: string, options: MeteringOptions & { chargeMicros: string; reason: string }) => {
        await withClient(options, async (client) => {
          const record = await client.correct({
            supersedes: seq,
            chargeMicros: options.chargeMicros,
            reason: options.reason,
          });
          process.stdout.write(`record ${record.seq} takes the place of ${seq}\n`);
        });
      },
    );
  webhookCommands(metering.command('webhook').description('receivers of records · 回调'));
}

function webhookCommands(webhook: Command): void {
  withAccess(webhook.command('add').description('tell an address of every record from now on'))
    .argument('<url>', 'https, or http on this machine')
    .option('--label <text>', 'a note', '')
    .action(async (url: string, options: MeteringOptions & { label: string }) => {
      await withClient(options, async (client) => {
        const { id, secret } = await client.addWebhook(url, options.label);
        process.stdout.write(`webhook ${id}\nsecret  ${secret} (shown this once)\n`);
      });
    });
  withAccess(
    webhook.command('list').description('receivers and what could not be delivered'),
  ).action(async (options: MeteringOptions) => {
    await withClient(options, async (client) => {
      const { webhooks } = await client.webhooks();
      const rows = webhooks.map((one) => [one.id, one.url, one.state, one.label]);
      process.stdout.write(`${table(['webhook', 'url', 'state', 'label'], rows)}\n`);
      const { deliveries } = await client.deadLetters();
      if (deliveries.length === 0) return;
      const dead = deliveries.map((one) => [
        one.webhookId,
        one.seq,
        one.attempts,
        one.answer ?? null,
      ]);
      process.stdout.write(
        `\n${table(['dead letter of', 'record', 'attempts', 'answer'], dead)}\n`,
      );
    });
  });
  withAccess(webhook.command('remove').description('forget a receiver'))
    .argument('<id>', 'the webhook')
    .action(async (id: string, options: MeteringOptions) => {
      await withClient(options, async (client) => void (await client.removeWebhook(id)));
    });
  withAccess(webhook.command('enable').description('turn a receiver that answered 410 on again'))
    .argument('<id>', 'the webhook')
    .action(async (id: string, options: MeteringOptions) => {
      await withClient(options, async (client) => void (await client.enableWebhook(id)));
    });
  withAccess(webhook.command('redeliver').description('tell one record again'))
    .argument('<id>', 'the webhook')
    .argument('<seq>', 'the record’s number')
    .action(async (id: string, seq: string, options: MeteringOptions) => {
      await withClient(options, async (client) => void (await client.redeliver(id, seq)));
    });
}

async function exportRecords(options: ExportOptions): Promise<void> {
  const { dir, format, out, provider, timeZone } = options;
  if (existsSync(out)) throw new InputError('parameter-invalid', `${out} is there already.`);
  await withState(dir, async ({ store, ledger }) => {
    const rows = focusRows(allRecords(ledger), (seq) => readRecord(store, seq), {
      providerName: provider,
      invoiceIssuerName: provider,
      timeZone,
    });
    switch (format) {
      case 'focus-csv':
        process.stdout.write(`${await writeFocusCsv(out, rows)} rows in ${out}\n`);
        return;
      case 'focus-parquet': {
        const csv = `${out}.csv.tmp`;
        try {
          const count = await writeFocusCsv(csv, rows);
          await writeFocusParquet(out, csv);
          process.stdout.write(`${count} rows in ${out}\n`);
        } finally {
          rmSync(csv, { force: true });
        }
        return;
      }
      case 'cloudevents': {
        const { publicKey } = readKeyFile(identityKeyFile(dir), 'ed25519');
        const source = eventSource(encodeBase64url(publicKey));
        const count = await writeEventBatch(out, allRecords(ledger), source);
        process.stdout.write(`${count} events in ${out}\n`);
        return;
      }
      default:
        throw new InputError('parameter-invalid', `--format ${format}: ${FORMATS.join(', ')}.`);
    }
  });
}

async function* allRecords(ledger: LedgerStore): AsyncGenerator<MeteringRecord> {
  for (let after = 0n; ; ) {
    const page = await ledger.records(after, PAGE);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.seq;
  }
}

async function showStatement(
  options: MeteringOptions & { analyst: string; month: string; timeZone: string },
): Promise<void> {
  const { analyst, month, timeZone } = options;
  await withClient(options, async (client) => {
    const statement = await client.statement({ analyst, month, timeZone });
    if (options.json === true) {
      process.stdout.write(`${JSON.stringify(statement, undefined, 2)}\n`);
      return;
    }
    const rows = statement.lines.map((line) => [
      line.contractId ?? null,
      line.records,
      line.corrections,
      money(line.chargeMicros, line.currency),
    ]);
    const state = statement.final ? 'final' : 'the month goes on';
    process.stdout.write(
      `${statement.analyst}, ${statement.month} (${statement.timeZone}), ${state}\n` +
        `${table(['contract', 'records', 'corrections', 'charge'], rows)}\n`,
    );
    for (const [currency, micros] of Object.entries(statement.totalMicros)) {
      process.stdout.write(`total ${money(micros, currency)}\n`);
    }
    process.stdout.write(`hash ${statement.hash}\n`);
  });
}

async function withClient(
  options: MeteringOptions,
  work: (client: WeirClient) => Promise<void>,
): Promise<void> {
  const client = clientOf(options);
  try {
    await work(client);
  } finally {
    client.close();
  }
}

async function withState<Answer>(
  dir: string,
  work: (state: Awaited<ReturnType<typeof openGatewayState>>) => Promise<Answer>,
): Promise<Answer> {
  const state = await openGatewayState(dir, readConfig(dir, GatewayConfigSchema).store);
  try {
    return await work(state);
  } finally {
    await state.store.close();
  }
}
