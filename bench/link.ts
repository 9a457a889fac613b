/** The link on loopback, all ends in one process: what a request and a streamed byte cost together. */
import { GATEWAY, type PartyId } from '../src/system/ids.ts';
import type { RunChannel } from '../src/link/channel.ts';
import { ALPHA, BETA, GAMMA, type World, newRun, openWorld } from '../test/e2e/link-world.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const PARTIES = [ALPHA, BETA, GAMMA];
const MESSAGE = new Uint8Array(1_048_576);
const REPETITIONS = 5;

export const linkSuite: BenchSuite = {
  run: async (context) => {
    const world = await openWorld();
    try {
      const domains = await Promise.all(PARTIES.map((party) => world.join(party)));
      const spec = newRun(PARTIES);
      const gateway = world.server.openRunChannel(spec);
      const claims = domains.map((domain) => domain.claimRunChannel(spec));
      const [alpha, beta] = await Promise.all(claims);
      if (alpha === undefined || beta === undefined) throw new Error('two domains are needed');
      if (context.wants('request')) await requests(context, world);
      const messages = context.large ? 1_024 : 128;
      if (context.wants('to gateway')) {
        await streams(context, 'to gateway', [alpha, GATEWAY], [gateway, ALPHA], messages);
      }
      if (context.wants('relayed')) {
        await streams(context, 'relayed', [alpha, BETA], [beta, ALPHA], messages);
      }
    } finally {
      await world.close();
    }
  },
};

async function requests(context: BenchContext, world: World): Promise<void> {
  const link = world.server.linkOf(ALPHA);
  if (link === undefined) throw new Error('alpha is not connected');
  const took: number[] = [];
  for (let at = 0; at < (context.large ? 20_000 : 3_000); at += 1) {
    const start = performance.now();
    // No such method: the answer is a typed failure, made by the link alone.
    await link.request('absent', { at }).catch(() => undefined);
    took.push(performance.now() - start);
  }
  took.sort((left, right) => left - right);
  context.report('request', 'p50_ms', took[took.length >> 1] ?? Number.NaN, 'ms');
  context.report('request', 'p99_ms', took[Math.floor(took.length * 0.99)] ?? Number.NaN, 'ms');
}

async function streams(
  context: BenchContext,
  name: string,
  [sender, to]: readonly [RunChannel, PartyId],
  [receiver, from]: readonly [RunChannel, PartyId],
  messages: number,
): Promise<void> {
  const rates: number[] = [];
  let residentMax = 0;
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const start = performance.now();
    const sending = (async () => {
      for (let at = 0; at < messages; at += 1) await sender.send(to, 'block', MESSAGE);
    })();
    for (let at = 0; at < messages; at += 1) {
      await receiver.receive(from, 'block');
      residentMax = Math.max(residentMax, process.memoryUsage.rss());
    }
    await sending;
    rates.push((messages * MESSAGE.length) / 1e6 / ((performance.now() - start) / 1000));
  }
  rates.sort((left, right) => left - right);
  context.report(name, 'rate', rates[REPETITIONS >> 1] ?? Number.NaN, 'MB/s');
  context.report(name, 'rss_max_mib', residentMax / 2 ** 20, 'MiB');
}
