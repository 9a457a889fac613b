/** A holder's domain as a program: it runs until it is asked to end. */
import { COMPUTATIONS } from '../computations/registry.ts';
import { DISCLOSURE_STAGES } from '../disclosure/stages.ts';
import { DomainConfigSchema } from '../domain/config.ts';
import { openDomain } from '../domain/domain-process.ts';
import { systemClock } from '../system/clock.ts';
import { createLog } from '../system/log.ts';
import { systemRandom } from '../system/random.ts';
import { readConfig } from './directories.ts';
import { stopOnSignals, tellReady } from './processes.ts';

/** @throws SetupError where it cannot start as it is configured */
export async function runDomain(directory: string): Promise<void> {
  const config = readConfig(directory, DomainConfigSchema);
  const log = createLog({ level: config.log, name: `domain ${config.party}` });
  const domain = await openDomain({
    directory,
    config,
    computations: COMPUTATIONS,
    stages: DISCLOSURE_STAGES,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  stopOnSignals(() => domain.close());
  tellReady({ fingerprint: domain.fingerprint });
  if (!process.connected) {
    process.stderr.write(`weir domain ${config.party}\nfingerprint ${domain.fingerprint}\n`);
  }
}
