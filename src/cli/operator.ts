/** The operator's hands: the SDK with the token of the gateway's own directory. */
import { readFileSync } from 'node:fs';
import { WeirClient } from '../client/weir-client.ts';
import { type GatewayConfig, GatewayConfigSchema } from '../gateway/config.ts';
import { operatorTokenFile, readConfig } from './directories.ts';

export interface OperatorOptions {
  readonly dir: string;
  readonly url?: string;
}

/** Where a gateway of this configuration listens. */
export function addressOf({ listen: { host, port }, tls }: GatewayConfig): string {
  const scheme = tls === undefined ? 'http' : 'https';
  // An IPv6 address stands in brackets before a port.
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Speaks to the running gateway with the operator's token of its directory. */
export function operatorClient(options: OperatorOptions): WeirClient {
  const config = readConfig(options.dir, GatewayConfigSchema);
  const url = options.url ?? addressOf(config);
  return new WeirClient({
    url,
    token: readFileSync(operatorTokenFile(options.dir), 'utf8').trim(),
  });
}
