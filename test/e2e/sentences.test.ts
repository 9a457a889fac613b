/** What a user reads when a program cannot run: one sentence that says what to do, no stack trace. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allGone, childrenOf, type Command, printed, weir } from './support/command.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

let directory: string;
let gateway: string;
const started: Command[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-say-'));
  gateway = join(directory, 'gateway');
  const made = weir(['init', 'gateway', '--dir', gateway, '--port', '0']);
  expect(await made.ended, made.stderr()).toBe(0);
});
afterAll(() => {
  for (const { process: child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** The one sentence, with the exit code. */
async function sentenceOf(command: Command): Promise<{ code: number | null; sentence: string }> {
  const code = await command.ended;
  const said = `${command.stdout()}${command.stderr()}`.split('\n');
  const own = said.filter((line) => line.startsWith('weir: '));
  expect(own.length, said.join('\n')).toBe(1);
  expect(said.filter((line) => /^\s+at /.test(line))).toEqual([]);
  return { code, sentence: own[0] ?? '' };
}

describe('a port that is taken', () => {
  const holder = createServer();
  let port: string;
  beforeAll(async () => {
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    port = String((holder.address() as AddressInfo).port);
  });
  afterAll(() => void holder.close());

  it('is named, with what to do', async () => {
    const { code, sentence } = await sentenceOf(
      weir(['gateway', '--dir', gateway, '--port', port]),
    );
    expect(code).toBe(78);
    expect(sentence).toContain(port);
    expect(sentence).toMatch(/taken|in use/);
  });
});

describe('a missing file', () => {
  it('of the configuration', async () => {
    const missing = join(directory, 'nowhere');
    const { code, sentence } = await sentenceOf(weir(['gateway', '--dir', missing]));
    expect(code).toBe(78);
    expect(sentence).toContain('weir init');
  });

  let running: TestWeir;
  beforeAll(async () => {
    running = await startWeir({ holders: visitsHolders(['clinic', 'hospital'], 10) });
  });
  afterAll(() => running?.close());

  it.each([
    ['data', 'visits.csv'],
    ['registration', 'visits.dataset.json'],
  ])('of the %s', async (_what, file) => {
    await running.program('clinic').stop();
    rmSync(join(running.directory, 'data', 'clinic', file));
    const own = join(running.directory, 'clinic');
    const { code, sentence } = await sentenceOf(weir(['domain', '--dir', own]));
    expect(code).toBe(78);
    expect(sentence).toContain(file);
  });
});

describe('a path that is not what it should be', () => {
  it.each([
    [
      'another party’s directory',
      ['domain', '--dir', 'GATEWAY'],
      78,
      /not a directory for this command.*weir-domain/,
    ],
    [
      'a draft that is not there',
      ['contract', 'draft', '--dir', 'ME', 'gone.json'],
      78,
      /There is no file gone\.json/,
    ],
    [
      'a gateway that is not there',
      ['catalog', '--dir', 'ME'],
      69,
      /http:\/\/127\.0\.0\.1:1 does not answer/,
    ],
    [
      'a run of another directory',
      ['result', '--dir', 'ME', '0190c9a0-0000-7000-8000-000000000001'],
      78,
      /No run 0190c9a0-0000-7000-8000-000000000001 was started/,
    ],
  ])('is named: %s', async (_what, words, exit, said) => {
    const own = join(directory, 'paths');
    if (!existsSync(own)) {
      const made = ['--dir', own, '--party', 'clinic', '--gateway', 'http://127.0.0.1:1'];
      expect(await weir(['init', 'analyst', ...made]).ended).toBe(0);
      writeFileSync(join(own, 'token'), 'weir_token\n');
    }
    const places = new Map([
      ['GATEWAY', gateway],
      ['ME', own],
    ]);
    const { code, sentence } = await sentenceOf(
      weir(words.map((word) => places.get(word) ?? word)),
    );
    expect(sentence).toMatch(said);
    expect(code).toBe(exit);
  });
});

describe('a registration that no start would accept', () => {
  it.each([
    ['is not there', undefined, 'nowhere.json'],
    ['is no JSON', '{ "name": ', 'valid JSON'],
    ['lacks what it must say', '{ "format": "weir-dataset/1", "name": "visits" }', 'title'],
  ])('is not registered where it %s', async (_what, text, named) => {
    const own = join(directory, 'holder');
    mkdirSync(own, { recursive: true });
    const config = JSON.stringify({
      format: 'weir-domain/1',
      party: 'holder',
      name: { zh: '持有方', en: 'Holder' },
      gateway: { url: 'http://127.0.0.1:1' },
      datasets: [],
    });
    writeFileSync(join(own, 'config.json'), config);
    rmSync(join(own, 'nowhere.json'), { force: true });
    if (text !== undefined) writeFileSync(join(own, 'nowhere.json'), text);
    const command = weir(['domain', 'add-dataset', '--dir', own, 'nowhere.json']);
    const { code, sentence } = await sentenceOf(command);
    expect(code).toBe(78);
    expect(sentence).toContain(named);
    expect(readFileSync(join(own, 'config.json'), 'utf8')).toBe(config);
  });

  const registration = (name: string, file: string, column: string): string =>
    JSON.stringify({
      format: 'weir-dataset/1',
      name,
      title: { zh: '就诊', en: 'Visits' },
      grade: 'general',
      personalInformation: 'none',
      legalBasis: 'Test data',
      source: { kind: 'duckdb', format: 'csv', files: [file] },
      partitions: [],
      columns: [{ name: 'person', sourceName: column, type: 'text', usage: ['join'] }],
    });

  it.each([
    ['has no files', registration('more', 'gone.csv', '患者号'), 'gone.csv'],
    ['names a column that is not there', registration('more', 'visits.csv', '病人'), '病人'],
    ['lies in files of another encoding', registration('more', 'gbk.csv', '患者号'), 'UTF-8'],
    [
      'has the name of another',
      registration('visits', 'visits.csv', '患者号'),
      'the dataset visits',
    ],
  ])('is not registered where it %s', async (_what, text, named) => {
    const own = join(directory, 'served');
    mkdirSync(own, { recursive: true });
    const config = {
      format: 'weir-domain/1',
      party: 'holder',
      name: { zh: '持有方', en: 'Holder' },
      gateway: { url: 'http://127.0.0.1:1' },
    };
    writeFileSync(join(own, 'config.json'), JSON.stringify({ ...config, datasets: [] }));
    writeFileSync(join(own, 'visits.csv'), '患者号\n0001\n');
    writeFileSync(join(own, 'gbk.csv'), Buffer.from([0xbb, 0xbc, 0xd5, 0xdf, 10, 0x31, 10]));
    writeFileSync(join(own, 'visits.json'), registration('visits', 'visits.csv', '患者号'));
    const good = weir(['domain', 'add-dataset', '--dir', own, 'visits.json']);
    expect(await good.ended, good.stderr()).toBe(0);
    const before = readFileSync(join(own, 'config.json'), 'utf8');
    expect(before).toContain('visits.json');

    writeFileSync(join(own, 'more.json'), text);
    const command = weir(['domain', 'add-dataset', '--dir', own, 'more.json']);
    const { code, sentence } = await sentenceOf(command);
    expect(code).toBe(78);
    expect(sentence).toContain(named);
    expect(sentence).toContain('more.json');
    expect(readFileSync(join(own, 'config.json'), 'utf8')).toBe(before);
    // Nothing that was tried lies about.
    expect(readdirSync(join(own, 'state'))).toEqual([]);
  });
});

describe('a word that cannot be', () => {
  const words = (more: readonly string[]): string[] => ['--gateway', 'http://127.0.0.1:1', ...more];

  it.each([
    ['a party', ['init', 'analyst', ...words(['--party', 'North Clinic'])], '--party'],
    ['a gateway', ['init', 'analyst', '--party', 'clinic', '--gateway', 'nowhere'], '--gateway'],
    ['a name', ['init', 'domain', ...words(['--party', 'north', '--name', ''])], '--name'],
    ['a port', ['init', 'gateway', '--port', 'many'], '--port'],
  ])('is named, with %s', async (what, args, option) => {
    const own = join(directory, `bad ${what}`);
    const token = args.includes('domain') ? ['--token-file', '/dev/null'] : [];
    const { code, sentence } = await sentenceOf(weir([...args, ...token, '--dir', own]));
    expect(code).toBe(65);
    expect(sentence).toContain(option);
    // Nothing is made for it, so that the next try begins where this one did.
    expect(existsSync(own)).toBe(false);
  });

  it('is no id of a contract or run, and keeps nobody from trying again', async () => {
    const own = join(directory, 'me');
    const made = weir(['init', 'analyst', '--dir', own, ...words(['--party', 'clinic'])]);
    expect(await made.ended, made.stderr()).toBe(0);
    writeFileSync(join(own, 'token'), 'weir_token\n');
    for (const command of ['explain', 'run', 'result']) {
      const { code, sentence } = await sentenceOf(weir([command, '--dir', own, 'nonsense']));
      expect(code).toBe(65);
      expect(sentence).toContain('nonsense is not a');
    }
    // As a crash before the configuration was written would leave it.
    rmSync(join(own, 'config.json'));
    const again = weir(['init', 'analyst', '--dir', own, ...words(['--party', 'clinic'])]);
    expect(await again.ended, again.stderr()).toBe(0);
  });
});

describe('a disk that is full', () => {
  it('as a limit on file sizes has it', async () => {
    const options = { shellFirst: 'ulimit -f 8' };
    const { code, sentence } = await sentenceOf(
      weir(['init', 'gateway', '--dir', join(directory, 'limited')], options),
    );
    expect(code).toBe(75);
    expect(sentence).toContain('disk is full');
    expect(sentence).toMatch(/Free space/);
  });

  it('as a file system has it', async (context) => {
    const mount = join(directory, 'small');
    const script = `mkdir -p ${mount} && mount -t tmpfs -o size=2m tmpfs ${mount}`;
    if (spawnSync('unshare', ['-Urm', 'sh', '-c', script]).status !== 0) {
      context.skip('this system gives no mount namespace to tests');
    }
    // In one namespace: a copy of the gateway's directory, then no room for one byte more.
    const fill = `${script} && cp -R ${gateway} ${mount}/gateway &&
      { cat /dev/zero > ${mount}/fill 2>/dev/null || true; }`;
    const words = ['gateway', '--dir', `${mount}/gateway`, '--port', '0'];
    const full = weir(words, { shellFirst: fill, around: ['unshare', '-Urm'] });
    const { code, sentence } = await sentenceOf(full);
    expect(code).toBe(75);
    expect(sentence).toContain('disk is full');
  });
});

describe('a Node that is too old', () => {
  it('is replaced by the pinned one, which ends when weir is killed', async () => {
    const old = join(directory, 'old.cjs');
    const versions = "{ ...process.versions, node: '20.19.0' }";
    writeFileSync(old, `Object.defineProperty(process, 'versions', { value: ${versions} });`);
    const command = weir(['gateway', '--dir', gateway], { nodeArgs: ['-r', old] });
    started.push(command);
    const pinned = `node_modules/node-${process.platform}-${process.arch}/bin/node`;
    if (!existsSync(pinned)) {
      const { code, sentence } = await sentenceOf(command);
      expect([code, sentence]).toEqual([78, expect.stringContaining('22.18')]);
      return;
    }
    await printed(command, 'listens on');
    const children = childrenOf(command.pid);
    expect(children.length).toBe(1);
    command.process.kill('SIGKILL');
    expect(await allGone(children, 2000)).toBe(true);
  });
});
