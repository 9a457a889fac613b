/** The operator's hands: the SDK with the token of the gateway's own directory. */
import { readFileSync } from 'node:fs';
import { WeirClient } from '../client/weir-client.ts';
import { GatewayConfigSchema } from '../gateway/config.ts';
import { readConfig } from './directories.ts';
import { operatorTokenFile } from './init.ts';

export interface OperatorOptions {
  readonly dir: string;
  readonly url?: string;
}
/** Speaks to the running gateway with the operator's token of its directory. */
export function operatorClient(options: OperatorOptions): WeirClient {
  const config = readConfig(options.dir, GatewayConfigSchema);
  const { host, port } = config.listen;
  const scheme = config.tls === undefined ? 'http' : 'https';
  const url = options.url ?? `${scheme}://${host}:${port}`;
  return new WeirClient({
    url,
    token: readFileSync(operatorTokenFile(options.dir), 'utf8').trim(),
  });
}
