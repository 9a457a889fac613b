/** `weir up` as `npm start` runs it: the demonstration on real flights, and how everything ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DEMO_STEPS } from '../../src/cli/demo/steps.ts';
import { allGone, childrenOf, type Command, printed, weir } from './support/command.ts';
import { eventually } from './support/weir.ts';

/** Real flights are split on the first start. */
const DEMO_MS_MAX = 120_000;
const ORPHAN_MS_MAX = 2000;
/** A child that was just forked has to start before it can see that its parent is gone. */
const START_MS_MAX = 20_000;

const SummarySchema = z.strictObject({
  ok: z.literal(true),
  runs: z.array(
    z.strictObject({
      protocol: z.string().min(1),
      cells: z.int().min(1),
      rowBucket: z.int().min(1),
      wallMs: z.int().min(1),
      recordSeq: z.int().min(1),
      receipt: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

let directory: string;
let demo: Command;
const started: Command[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-up-'));
  demo = weir(['up', '--demo', '--once', '--json', '--dir', directory, '--port', '0']);
  started.push(demo);
  await demo.ended;
}, DEMO_MS_MAX);
afterAll(() => {
  for (const { process: child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

describe('the demonstration', () => {
  it('ends with one JSON summary as its last line', async () => {
    expect(await demo.ended, demo.stderr()).toBe(0);
    const lines = demo.stdout().trimEnd().split('\n');
    const { runs } = SummarySchema.parse(JSON.parse(lines.at(-1) ?? ''));
    expect(runs.length).toBe(DEMO_STEPS.length);
    expect(new Set(runs.map((run) => run.receipt)).size).toBe(runs.length);
    expect(runs.map((run) => run.recordSeq)).toEqual(runs.map((_, index) => index + 1));
    // 24 hours, and nothing in "(other)".
    expect(runs[0]).toMatchObject({ protocol: 'secure-sum', cells: 24 });
  });

  it('shows its progress meanwhile, and no stack trace', () => {
    expect(demo.stderr()).toContain('Starting the gateway');
    expect(demo.stderr()).not.toMatch(/^\s+at /m);
  });
});

describe('the processes of weir up', () => {
  it('end within two seconds when their parent is killed', async () => {
    const up = weir(['up', '--dir', directory, '--port', '0']);
    started.push(up);
    await printed(up, 'until Ctrl-C');
    const children = childrenOf(up.pid);
    expect(children.length).toBe(4);
    expect(await allGone(children, 0)).toBe(false);
    up.process.kill('SIGKILL');
    expect(await allGone(children, ORPHAN_MS_MAX)).toBe(true);
  });

  it('end with a parent that is stopped while they start', async () => {
    const up = weir(['up', '--dir', directory, '--port', '0']);
    started.push(up);
    await printed(up, 'Starting the domain of');
    await eventually('a domain starts', async () => childrenOf(up.pid).length === 2);
    const children = childrenOf(up.pid);
    up.process.kill('SIGINT');
    expect(await up.ended).toBe(0);
    expect(await allGone(children, START_MS_MAX)).toBe(true);
  });

  it('do not begin where the port is taken: one sentence says so', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = holder.address() as AddressInfo;
      const up = weir(['up', '--dir', directory, '--port', String(port)]);
      started.push(up);
      expect(await up.ended).toBe(78);
      const said = up.stderr().split('\n');
      const own = said.filter((line) => line.startsWith('weir: '));
      expect(own).toEqual([expect.stringContaining(String(port))]);
      expect(said.filter((line) => /^\s+at /.test(line))).toEqual([]);
      expect(childrenOf(up.pid)).toEqual([]);
    } finally {
      holder.close();
    }
  });

  it('end with weir up when it is asked to', async () => {
    const up = weir(['up', '--dir', directory, '--port', '0']);
    started.push(up);
    await printed(up, 'until Ctrl-C');
    const children = childrenOf(up.pid);
    up.process.kill('SIGINT');
    expect(await up.ended).toBe(0);
    expect(await allGone(children, 0)).toBe(true);
  });
});
