/** A sealed sum over three authorities' arrivals: opened in this process, by the analyst's key alone. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AggregatePlan } from '../../contracts/plan.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { systemRandom } from '../../system/random.ts';
import { writePrivateFile } from '../directories.ts';
import {
  asSealed,
  hasSealingKey,
  loadSealingKey,
  makeSealingKey,
  openedRun,
  passphraseFrom,
} from '../sealing.ts';
import { runStep } from './delay-steps.ts';
import type { DemoContext, DemoStep } from './demo-step.ts';

const PASSPHRASE_BYTES = 18;
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'arrivals',
  groups: [{ column: 'distanceBand' }],
  measures: [
    { as: 'flights', fn: 'count' },
    { as: 'mean_delay', fn: 'avg', column: 'delay' },
  ],
  select: [],
};

/** Flights and mean delay by distance band; the gateway adds ciphertexts and sees no total. */
export const sealedDelays: DemoStep = {
  name: 'sealed-delays-by-distance',
  title: {
    zh: '密封求和：按航程分段的到港航班数与平均延误，只有分析方能打开',
    en: 'Sealed sum: arrivals and mean delay by distance band, which only the analyst can open',
  },
  run: async (context) => {
    const { analyst, directory } = context;
    const passphrase = await keptPassphrase(context);
    return runStep(context, sealedDelays, PLAN, {
      asSealed: (contract) => asSealed(directory, contract),
      opened: (contract, run) =>
        openedRun(analyst, contract, run, () => loadSealingKey(directory, passphrase)),
    });
  },
};

/** The demo has nobody to type a passphrase: it draws one and keeps it next to its own token. */
async function keptPassphrase({ directory, progress }: DemoContext): Promise<string> {
  const file = join(directory, 'sealing.passphrase');
  if (!existsSync(file)) {
    writePrivateFile(file, encodeBase64url(systemRandom.bytes(PASSPHRASE_BYTES)));
  }
  const passphrase = passphraseFrom(file);
  if (!hasSealingKey(directory)) {
    progress('making the analyst’s sealing key …');
    await makeSealingKey(directory, passphrase);
  }
  return passphrase;
}
