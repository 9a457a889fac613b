/**
 * Marked values in the holders' data, a whole run of the programs as they are shipped, and a
 * search of everything outside the domains: every frame and HTTP message both ways, the gateway's
 * directory, temporary files and logs, the domains' logs, what the commands print, and what a
 * crash leaves behind. Each channel has a leak that the same search must find.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { canarySearch, type Finding } from './support/canary.ts';
import { WEIR } from './support/child.ts';
import type { LeakChannel } from './support/leaks.ts';
import { MARKED_PARTIES, markedData } from './support/marked.ts';
import { type Recording, recordingProxy } from './support/recording-proxy.ts';
import { startWeir, temporaryOf, type TestWeir, type WeirOptions } from './support/weir.ts';

const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'stays',
  groups: [{ column: 'region' }],
  measures: [
    { as: 'stays', fn: 'count' },
    { as: 'total', fn: 'sum', column: 'amount' },
    { as: 'mean', fn: 'avg', column: 'amount' },
    { as: 'variance', fn: 'var', column: 'amount' },
  ],
  select: [],
};

interface Watched {
  readonly weir: TestWeir;
  readonly recording: () => Recording;
  close(): Promise<void>;
}

/** A Weir with the recorder between the gateway and everybody who dials it. */
async function watchedWeir(options: Omit<WeirOptions, 'through'>): Promise<Watched> {
  let recording: Recording | undefined;
  const weir = await startWeir({
    ...options,
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
  const watching = recording;
  if (watching === undefined) throw new Error('no recorder');
  return {
    weir,
    recording: () => watching,
    close: async () => {
      await weir.close();
      await watching.close();
    },
  };
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

/** Everything outside the domains' own directories: places with their bytes. */
function outside({ weir, recording }: Watched): (readonly [string, Buffer])[] {
  const { directory } = weir;
  const inside = [
    join(directory, 'data'),
    ...MARKED_PARTIES.map((party) => join(directory, party)),
    ...MARKED_PARTIES.map((party) => temporaryOf(directory, party)),
  ];
  const files = filesIn(directory)
    .filter((path) => !inside.some((own) => path.startsWith(`${own}/`)))
    .map((path) => [path.slice(directory.length), readFileSync(path)] as const);
  const byPlace = new Map<string, Buffer[]>();
  for (const { where, bytes } of recording().messages) {
    byPlace.set(where, [...(byPlace.get(where) ?? []), bytes]);
  }
  // Message by message joined: so a value that two chunks share is seen as well.
  const messages = [...byPlace].map(([where, bytes]) => [where, Buffer.concat(bytes)] as const);
  return [...files, ...messages];
}

const run = promisify(execFile);

async function command(weir: TestWeir, name: string, ...args: string[]): Promise<Buffer> {
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const own = ['--dir', join(weir.directory, 'analyst')];
  const { stdout, stderr } = await run(process.execPath, [WEIR, name, ...own, ...args], { env });
  return Buffer.from(`${stdout}\n${stderr}`);
}

interface Looked {
  readonly watched: Watched;
  /** What the commands printed. */
  readonly printed: readonly (readonly [string, Buffer])[];
}

/** A fresh Weir, and everything that an analyst and an operator do with it. */
async function workedWeir(holders: WeirOptions['holders']): Promise<Looked> {
  const watched = await watchedWeir({ holders });
  const { weir } = watched;
  const contract = await weir.agree(PLAN);
  const printed: [string, Buffer][] = [];
  for (const [name, ...args] of [
    ['catalog', '--json'],
    ['explain', contract.contract.id],
    ['run', contract.contract.id, '--json'],
    ['run', contract.contract.id],
  ] as const) {
    printed.push([`output of ${name}`, await command(weir, name, ...args)]);
  }
  await weir.operator.meteringRecords();
  const proxied = `http://127.0.0.1:${watched.recording().port}`;
  for (const path of ['/metrics', '/openapi.json', '/readyz']) await fetch(`${proxied}${path}`);
  return { watched, printed };
}

/** So few bits stand in fresh random bytes once in some hundred runs. */
const isSure = ({ bits }: Finding): boolean => bits >= 40;

describe('the programs as they are shipped', () => {
  const marked = markedData([1_013_731, 1_027_843, 1_039_517]);
  const search = canarySearch(marked.canaries);
  let watched: Watched;
  let printed: Looked['printed'];

  const found = (looked: Looked): Finding[] =>
    [...outside(looked.watched), ...looked.printed].flatMap(([place, bytes]) => [
      ...search(bytes, place),
    ]);

  beforeAll(async () => {
    ({ watched, printed } = await workedWeir(marked.holders));
  });
  afterAll(() => watched.close());

  it('release the totals, and only those', () => {
    const output = printed.map(([, bytes]) => bytes.toString()).join('\n');
    expect(marked.released.size).toBe(2);
    for (const total of marked.released) expect(output).toContain(total);
    expect(output).toContain('"suppressedCells": 2');
  });

  it('let no marked value out of a domain, in any encoding', async () => {
    const kinds = ['frame domain to gateway', 'frame gateway to domain', 'headers of a link'];
    const searched = [...outside(watched), ...printed].map(([place]) => place);
    for (const place of [
      ...kinds,
      '/gateway.log',
      '/clinic.log',
      '/gateway/state/gateway.sqlite',
    ]) {
      expect(searched).toContain(place);
    }
    const findings = found({ watched, printed });
    expect(findings.filter(isSure)).toEqual([]);
    if (findings.length === 0) return;
    // A leak shows again where every key and mask is a fresh one; chance does not.
    const second = await workedWeir(marked.holders);
    const again = new Set(found(second).map(({ canary, encoding }) => `${canary} ${encoding}`));
    await second.watched.close();
    expect(findings.filter((one) => again.has(`${one.canary} ${one.encoding}`))).toEqual([]);
  });

  it('control: the marked values are in the domains', () => {
    const csv = filesIn(join(watched.weir.directory, 'data'))
      .filter((path) => path.endsWith('.csv'))
      .map((path) => readFileSync(path).subarray(-200));
    const found = new Set(csv.flatMap((bytes) => search(bytes, 'csv')).map(({ canary }) => canary));
    expect([...found]).toEqual(expect.arrayContaining(['77123456789', 'canary-note-Vb3']));
  });
});

describe('crashes and leaks', () => {
  const marked = markedData([5, 7, 11]);
  const search = canarySearch(marked.canaries);
  let watched: Watched;
  let contract: Awaited<ReturnType<TestWeir['agree']>>;

  beforeAll(async () => {
    watched = await watchedWeir({ holders: marked.holders, controlled: true });
    contract = await watched.weir.agree(PLAN);
  });
  afterAll(() => watched.close());
  afterEach(() => watched.weir.linked());

  /** Starts a run and waits until it ended, or its gateway did. */
  async function begun(): Promise<void> {
    const { weir } = watched;
    const { request, idempotencyKey } = weir.prepare(contract);
    const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
    const over = new AbortController();
    const follow = async (): Promise<void> => {
      for await (const _event of weir.analyst.client.follow(runId, 0, over.signal)) continue;
    };
    await Promise.race([follow(), weir.gateway.ended]);
    over.abort();
  }

  const crashes = [
    ['gateway', 'started', 'throw'],
    ['gateway', 'released', 'throw'],
    ['gateway', 'released', 'abort'],
    ['hospital', 'round1.map', 'throw'],
    ['hospital', 'round2.measures', 'abort'],
  ] as const;
  for (const [name, step, how] of crashes) {
    it(`a ${name} that ends by ${how} at ${step} leaves no marked value behind`, async () => {
      const { weir } = watched;
      const program = weir.program(name);
      await program.order({ kind: 'fail-at', step, how });
      await Promise.all([begun(), program.ended]);
      const log = readFileSync(join(weir.directory, `${name}.log`));
      // Its last words are there to be searched, its report too.
      if (how === 'throw') expect(log.toString()).toContain('a bug');
      const reports = filesIn(temporaryOf(weir.directory, name));
      expect(reports.filter((path) => path.endsWith('.json'))).not.toEqual([]);
      const all = [
        ...outside(watched),
        ...reports.map((path) => [path, readFileSync(path)] as const),
      ];
      const findings = all.flatMap(([place, bytes]) => [...search(bytes, place)]);
      expect(findings.filter(isSure)).toEqual([]);
      await weir.start(name);
    });
  }

  /** One value a leak, so that none is found for another. */
  const leaks: readonly (readonly [LeakChannel, string, string, RegExp])[] = [
    ['frame', 'hospital', '612345678901231', /^frame domain to gateway$/],
    ['log', 'gateway', '612345678901243', /^\/gateway\.log$/],
    ['row', 'gateway', '612345678901267', /^\/gateway\/state\/gateway\.sqlite/],
    ['file', 'gateway', '612345678901289', /^\/tmp\/gateway\/spill\.bin$/],
    ['body', 'gateway', '612345678901291', /^answer to \/v1\/runs\/.*events/],
    ['crash', 'gateway', '612345678901319', /^\/gateway\.log$|^\/tmp\/gateway\/report/],
  ];
  for (const [channel, name, value, where] of leaks) {
    it(`control: a leak by ${channel} is found`, async () => {
      const { weir } = watched;
      const find = canarySearch([BigInt(value)]);
      const findings = (): Finding[] =>
        outside(watched).flatMap(([place, bytes]) => [...find(bytes, place)]);
      expect(findings()).toEqual([]);
      await weir.program(name).order({ kind: 'leak', channel, value });
      await begun();
      expect(findings().map((found) => found.where)).toEqual(
        expect.arrayContaining([expect.stringMatching(where)]),
      );
      if (channel === 'crash') await weir.start(name);
    });
  }
});
