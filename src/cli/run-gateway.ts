/** A gateway as a program: it runs until it is asked to end. */
import { COMPUTATIONS } from '../computations/registry.ts';
import { GatewayConfigSchema } from '../gateway/config.ts';
import { openGateway } from '../gateway/gateway-process.ts';
import { systemClock } from '../system/clock.ts';
import { createLog } from '../system/log.ts';
import { systemRandom } from '../system/random.ts';
import { readConfig } from './directories.ts';
import { portOf } from './ports.ts';
import { stopOnSignals, tellReady } from './processes.ts';
import { VERSION } from './version.ts';

/** @throws SetupError where it cannot start as it is configured */
export async function runGateway(directory: string, port: string | undefined): Promise<void> {
  const stored = readConfig(directory, GatewayConfigSchema);
  const config =
    port === undefined ? stored : { ...stored, listen: { ...stored.listen, port: portOf(port) } };
  const log = createLog({ level: config.log, name: 'gateway' });
  const gateway = await openGateway({
    directory,
    config,
    version: VERSION,
    computations: COMPUTATIONS,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  stopOnSignals(() => gateway.close());
  tellReady({ url: gateway.url, fingerprint: gateway.fingerprint });
  if (!process.connected) {
    process.stderr.write(
      `weir gateway listens on ${gateway.url}\nfingerprint ${gateway.fingerprint}\n`,
    );
  }
}
