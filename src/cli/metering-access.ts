/** How the billing commands reach a gateway, and how they show money. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { WeirClient } from '../client/weir-client.ts';
import { InputError } from '../errors.ts';
import { operatorClient } from './operator.ts';

export interface MeteringOptions {
  readonly dir?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** How a billing command reaches the gateway. */
export function withAccess(command: Command): Command {
  return command
    .option('--dir <directory>', 'the gateway’s directory, for its operator')
    .option('--url <url>', 'the gateway’s address')
    .option('--token-file <file>', 'a file with a billing token')
    .option('--json', 'as JSON');
}

/** @throws InputError `parameter-invalid` where no gateway is named. */
export function clientOf(options: MeteringOptions): WeirClient {
  const { dir, url, tokenFile } = options;
  if (url !== undefined && tokenFile !== undefined) {
    return new WeirClient({ url, token: readFileSync(tokenFile, 'utf8').trim() });
  }
  if (dir !== undefined) return operatorClient({ dir, ...(url === undefined ? {} : { url }) });
  throw new InputError('parameter-invalid', 'Say --dir, or --url with --token-file.');
}

/** Millionths of a currency, for people. */
export function money(micros: string, currency: string): string {
  const value = Number(micros) / 1_000_000;
  return `${value.toFixed(2)} ${currency}`;
}
