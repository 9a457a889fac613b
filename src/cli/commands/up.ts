/** `weir up`: a gateway and three domains on this machine, on real flights; `--demo` shows them at work. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { OfficerActions } from '../../domain/admin-server.ts';
import { AbortError, WeirError } from '../../errors.ts';
import { systemClock } from '../../system/clock.ts';
import type { PartyId } from '../../system/ids.ts';
import { FLIGHT_HOLDERS, prepareFlights } from '../demo/flights-data.ts';
import { runDemoProcess } from '../demo/demo-process.ts';
import { DEMO_HOLDER_NAMES } from '../demo/holder-names.ts';
import { prepareWeek } from '../demo/week-data.ts';
import { WEEK_TABLES } from '../demo/week-registration.ts';
import { type HolderSetup, type LocalWeir, startLocalWeir } from '../local-weir.ts';
import { portOf } from '../ports.ts';
import { startChild, stopOnSignals } from '../processes.ts';
import { ProgressLine } from '../terminal.ts';

const DEFAULT_DIRECTORY = '.weir/up';
const DEFAULT_PORT = '8470';
const ANALYST = 'analyst';
const SIGN_EVERY_MS = 200;

interface UpOptions {
  readonly dir: string;
  readonly port: string;
  readonly demo?: boolean;
  readonly once?: boolean;
  readonly json?: boolean;
}

export function upCommand(program: Command): void {
  program
    .command('up')
    .description('a gateway and three domains on this machine, on real flights · 本机演示')
    .option('--dir <directory>', 'where everything is kept', DEFAULT_DIRECTORY)
    .option('--port <port>', 'the gateway’s port', DEFAULT_PORT)
    .option('--demo', 'sign and run the demonstration')
    .option('--once', 'exit after the demonstration')
    .option('--json', 'one JSON summary as the last line')
    .action(async (options: UpOptions) => runUp(options));
  // The demo's analyst: a process of its own that speaks HTTP only.
  program
    .command('demo-analyst', { hidden: true })
    .requiredOption('--dir <directory>')
    .requiredOption('--url <url>')
    .option('--json')
    .action(async (options: { dir: string; url: string; json?: boolean }) =>
      runDemoProcess(options),
    );
}

async function runUp(options: UpOptions): Promise<void> {
  const port = portOf(options.port);
  const directory = resolve(options.dir);
  const progress = new ProgressLine();
  const running: { weir?: LocalWeir; stopped: boolean } = { stopped: false };
  stopOnSignals(async () => {
    running.stopped = true;
    await running.weir?.stop();
  });
  const shown = (fraction: number, text: string): void => progress.show(text, fraction);
  const flights = await prepareFlights(join(directory, 'data'), shown);
  await prepareWeek(join(directory, 'data'), flights, shown);
  const weir = await startLocalWeir({
    directory,
    port,
    holders: demoHolders(directory),
    analyst: { party: ANALYST, name: { zh: '交通研究院', en: 'Transport institute' } },
    progress: (text) => progress.show(text),
  });
  progress.done();
  running.weir = weir;
  if (running.stopped) return weir.stop();
  if (options.json !== true) process.stdout.write(`gateway ${weir.url}, three domains linked\n`);
  let exitCode = 0;
  if (options.demo === true) exitCode = await runDemo(weir, options);
  if (options.once === true) {
    await weir.stop();
    process.exit(exitCode);
  }
  process.stdout.write(helpAfter(weir, options.dir));
  await childEnded(weir);
}

/** The officers of the three domains sign what the demo's analyst proposes, each in its own domain. */
async function runDemo(weir: LocalWeir, options: UpOptions): Promise<number> {
  const over = new AbortController();
  const signing = signProposals(weir, over.signal);
  const args = ['demo-analyst', '--dir', weir.analystDirectory, '--url', weir.url];
  const child = await startChild(
    'demo',
    options.json === true ? [...args, '--json'] : args,
    undefined,
  );
  const code = await Promise.race([child.exited, signing.then(() => 1)]);
  over.abort();
  await signing;
  return code ?? 1;
}

/** Each officer signs what its own domain has no objection to, and refuses the rest with the reason. */
async function signProposals(weir: LocalWeir, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const [party, { officer }] of weir.domains) {
      try {
        await decideProposals(party, officer);
      } catch (error) {
        if (!(error instanceof WeirError)) throw error;
        // A domain that is just being linked, or a contract that somebody else refused: look again.
      }
    }
    await systemClock.sleep(SIGN_EVERY_MS, signal);
  }
}

async function decideProposals(party: PartyId, officer: OfficerActions): Promise<void> {
  for (const { contract, hash, state, signatures, objections } of await officer.proposals()) {
    const open = state === 'proposed' || state === 'signed';
    const own = signatures.some((signature) => signature.party === party);
    if (!open || own || contract.analyst.id !== ANALYST) continue;
    const [objection] = objections;
    if (objection === undefined) await officer.sign(contract.id, { hash });
    else await officer.refuse(contract.id, { hash, reason: objection.message });
  }
}

function demoHolders(directory: string): readonly HolderSetup[] {
  return FLIGHT_HOLDERS.map((party) => ({
    party,
    name: DEMO_HOLDER_NAMES[party],
    datasets: ['departures', 'arrivals', ...(party === 'centre' ? [] : [WEEK_TABLES[party]])].map(
      (table) => join(directory, 'data', party, `${table}.dataset.json`),
    ),
  })).filter((holder) => holder.datasets.every((file) => existsSync(file)));
}

/** Ends with a sentence where a child ends by itself. */
async function childEnded(weir: LocalWeir): Promise<never> {
  const children = [weir.gateway, ...[...weir.domains.values()].map(({ child }) => child)];
  const name = await Promise.race(
    children.map(async (child) => {
      await child.exited;
      return child.name;
    }),
  );
  await weir.stop();
  throw new AbortError('domain-left', `The ${name} ended; its log is in the directory.`);
}

function helpAfter(weir: LocalWeir, directory: string): string {
  const dir = weir.analystDirectory;
  return [
    '',
    `Weir keeps serving on ${weir.url} until Ctrl-C. In another terminal, for example:`,
    `  npx weir catalog --dir ${dir}`,
    `  npx weir contract list --dir ${dir}`,
    `  npx weir domain status --dir ${join(directory, 'west')}`,
    `  npx weir metering records --dir ${join(directory, 'gateway')}`,
    `API description: ${weir.url}/openapi.json`,
    '',
  ].join('\n');
}
