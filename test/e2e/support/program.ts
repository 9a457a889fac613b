/**
 * A gateway or a domain as a process that a test can hold, kill and age at a named step of a run.
 * Only this file hands `step` to the programs under test; `weir` itself has no such switch.
 */
import { COMPUTATIONS } from '../../../src/computations/registry.ts';
import { DISCLOSURE_STAGES } from '../../../src/disclosure/stages.ts';
import { readConfig } from '../../../src/cli/directories.ts';
import { stopOnSignals, tellFailed, tellReady } from '../../../src/cli/processes.ts';
import { DomainConfigSchema } from '../../../src/domain/config.ts';
import { openDomain } from '../../../src/domain/domain-process.ts';
import { GatewayConfigSchema } from '../../../src/gateway/config.ts';
import { openGateway } from '../../../src/gateway/gateway-process.ts';
import { type Clock, systemClock } from '../../../src/system/clock.ts';
import { createLog } from '../../../src/system/log.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { openLateState } from './late-state.ts';
import { leakAtStep, type Leak, type LeakChannel, leaking } from './leaks.ts';

/** What a test tells the program; each is answered with `done`. */
export type Order =
  | { readonly kind: 'crash-at'; readonly step: string }
  | { readonly kind: 'hold-at'; readonly step: string }
  | { readonly kind: 'fail-at'; readonly step: string; readonly how: 'throw' | 'abort' }
  | { readonly kind: 'leak'; readonly channel: LeakChannel; readonly value: string }
  | { readonly kind: 'release' }
  | { readonly kind: 'age'; readonly aheadMs: number };

/** What the program tells the test. */
export type Told = { readonly kind: 'done' } | { readonly kind: 'held'; readonly step: string };

const [role = '', directory = '', port = '0', crashWhileStarting] = process.argv.slice(2);
let crashAt = crashWhileStarting;
let holdAt: string | undefined;
let failAt: { readonly step: string; readonly how: 'throw' | 'abort' } | undefined;
let leak: Leak | undefined;
let aheadMs = 0;
let release = Promise.withResolvers<void>();

const tell = (told: Told): void => void process.send?.(told);

process.on('message', (order: Order) => {
  switch (order.kind) {
    case 'crash-at':
      crashAt = order.step;
      break;
    case 'hold-at':
      holdAt = order.step;
      release = Promise.withResolvers();
      break;
    case 'fail-at':
      failAt = order;
      break;
    case 'leak':
      leak = order;
      break;
    case 'release':
      holdAt = undefined;
      release.resolve();
      break;
    case 'age':
      aheadMs += order.aheadMs;
      break;
  }
  tell({ kind: 'done' });
});

async function step(name: string): Promise<void> {
  if (name === crashAt) {
    process.kill(process.pid, 'SIGKILL');
    // Nothing more may happen between the signal's sending and its effect.
    await new Promise(() => undefined);
  }
  if (name === failAt?.step) await fail(failAt.how);
  if (name !== holdAt) return;
  tell({ kind: 'held', step: name });
  await release.promise;
}

/** Ends the process as a bug would: by an error nobody catches, or in native code. */
async function fail(how: 'throw' | 'abort'): Promise<void> {
  if (how === 'abort') process.abort();
  setImmediate(() => {
    throw new Error('a bug');
  });
  await new Promise(() => undefined);
}

function takeLeak(channel: LeakChannel): Leak | undefined {
  if (leak?.channel !== channel) return undefined;
  const taken = leak;
  leak = undefined;
  return taken;
}

const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };

async function run(role: string, directory: string, port: number): Promise<void> {
  const log = createLog({ level: 'debug', name: role });
  const leakingStep = async (name: string): Promise<void> => {
    if (leak !== undefined) leakAtStep(leak, name, directory, log);
    await step(name);
  };
  const common = { directory, clock, random: systemRandom, step: leakingStep };
  const computations = COMPUTATIONS.map((one) => leaking(one, takeLeak));
  if (role === 'gateway' || role === 'late-gateway') {
    const stored = readConfig(directory, GatewayConfigSchema);
    const config = { ...stored, listen: { ...stored.listen, port } };
    const gateway = await openGateway({
      ...common,
      config,
      log,
      version: 'test',
      computations,
      ...(role === 'gateway' ? {} : { openState: openLateState }),
    });
    stopOnSignals(() => gateway.close());
    tellReady({ url: gateway.url });
    return;
  }
  const domain = await openDomain({
    ...common,
    config: readConfig(directory, DomainConfigSchema),
    log,
    computations,
    stages: DISCLOSURE_STAGES,
    // A gateway that dies many times in a minute is the test's doing, not a storm.
    linkLimits: { reconnectMsMin: 50, reconnectMsMax: 100 },
  });
  stopOnSignals(() => domain.close());
  tellReady({});
}

try {
  await run(role, directory, Number(port));
} catch (error) {
  const message = error instanceof Error ? `${error.message}` : String(error);
  process.stderr.write(`${message}\n`);
  tellFailed(message, 1);
  process.exit(1);
}
