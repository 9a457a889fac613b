/**
 * A small set against a large one, over real processes: the filter travels once and is used again,
 * each evaluation is counted by the large side, and what is kept goes with its contract and its data.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpack } from 'msgpackr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openedRun } from '../../src/cli/sealing.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import {
  agreeOn,
  EAST,
  guestPlan,
  guestsOf,
  keysOf,
  leftovers,
  WEST,
} from './support/match-world.ts';
import { recordingProxy, type Recording } from './support/recording-proxy.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

/** 8192 padded items against 64. */
const LARGE = keysOf(0, 5000);
const SMALL = keysOf(4990, 5030);
const SHARED = LARGE.slice(4990).map((key) => [key]);
const PADDED = 64;
const REVEALING = guestPlan({ ask: 'intersection' });

let weir: TestWeir;
let recording: Recording;
beforeAll(async () => {
  weir = await startWeir({
    holders: [guestsOf(EAST, LARGE), guestsOf(WEST, SMALL)],
    controlled: true,
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
}, 120_000);
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

/** Payload bytes by kind that passed from domain to domain, and runs it. */
async function run(
  contract: ContractBody,
): Promise<{ rows: unknown; runId: RunId; bytes: ReadonlyMap<string, number> }> {
  const from = recording.messages.length;
  const done = await weir.analyst.run(contract, {}, () => undefined);
  const opened = await openedRun(weir.analyst, contract.contract, done, () => {
    throw new Error('no sealing key is needed');
  });
  const bytes = new Map<string, number>();
  for (const { where, bytes: message } of recording.messages.slice(from)) {
    if (where !== 'frame domain to gateway') continue;
    const frame = unpack(message) as Record<string, unknown> & { payload?: Uint8Array };
    if (frame['t'] !== 'data' || frame['to'] === 'gateway') continue;
    const kind = String(frame['kind']);
    bytes.set(kind, (bytes.get(kind) ?? 0) + (frame.payload?.length ?? 0));
  }
  return { rows: opened.result.release.rows, runId: done.runId, bytes };
}

/** Content of everything that a domain keeps between runs. */
function keptBy(party: string): Buffer[] {
  const root = join(weir.directory, party, 'state', 'artifacts');
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
}
const keyOf = (party: string): string[] =>
  keptBy(party).flatMap((content) => (content.length === 32 ? [content.toString('hex')] : []));

async function evaluated(contract: Contract): Promise<number | undefined> {
  const { counters } = await weir.officer(EAST).status();
  return counters.contracts.find(({ contractId }) => contractId === contract.id)?.evaluated;
}

async function change(lines: readonly string[]): Promise<void> {
  await weir.program(EAST).stop();
  writeFileSync(join(weir.directory, 'data', EAST, 'guests.csv'), ['guest', ...lines].join('\n'));
  await weir.start(EAST);
  await weir.linked();
  await eventually('the new version is published', async () => {
    const { datasets } = await weir.analyst.client.datasets();
    const own = (await weir.officer(EAST).status()).datasets[0]?.fingerprint;
    return datasets.some(({ holder, fingerprint }) => holder === EAST && fingerprint === own);
  });
}

describe('a small set against a large one', () => {
  it('is chosen by sizes and runs; the first run ships the filter, the second uses it', async () => {
    const contract = await agreeOn(weir, REVEALING);
    const { id } = contract.contract;
    const explained = await weir.analyst.explain(id, {});
    expect(explained).toMatchObject({ engine: 'psi-oprf/1', units: { 'padded-items': '64' } });
    expect(explained.learns.some(({ en }) => /filter \(at most \d+ bytes\)/.test(en))).toBe(true);

    const first = await run(contract);
    const second = await run(contract);
    expect([first.rows, second.rows]).toEqual([SHARED, SHARED]);
    const total = (bytes: ReadonlyMap<string, number>): number =>
      [...bytes.values()].reduce((sum, each) => sum + each, 0);
    // 48 bits an item: 2 and 40 + log2(64).
    expect(first.bytes.get('oprf.filter')).toBeGreaterThan((8192 * 48) / 8);
    expect(second.bytes.get('oprf.filter')).toBeUndefined();
    expect(total(second.bytes)).toBeLessThan(PADDED * 64 + 1024);
    expect(total(first.bytes)).toBeGreaterThan(10 * total(second.bytes));
    // The large side has not read its rows again.
    const read = readFileSync(join(weir.directory, 'east.log'), 'utf8').split('\n');
    const counts = read.filter((line) => line.includes('counts of the own data'));
    expect(counts).toHaveLength(1);

    expect(await evaluated(contract.contract)).toBe(2 * PADDED);
    const books = await readBooks(weir, id, [first.runId, second.runId]);
    expect(faultsIn(books)).toEqual([]);
    expect(books.records.map(({ units }) => units['padded-items'])).toEqual(['64', '64']);
    expect(leftovers(weir)).toEqual([]);
  });

  it('is matched as before where its contract says so, and refused where it may not be', async () => {
    const contract = await agreeOn(weir, { ...REVEALING, engine: 'ecdh' });
    const { rows, bytes } = await run(contract);
    expect(rows).toEqual(SHARED);
    expect([...bytes.keys()].every((kind) => kind.startsWith('psi.'))).toBe(true);
    const once = await agreeOn(weir, REVEALING, { limits: { runsTotal: 1 } });
    expect((await weir.analyst.explain(once.contract.id, {})).engine).toMatch(/^psi-(ecdh|vole)/);
    const counting = agreeOn(weir, guestPlan({ engine: 'unbalanced' }));
    await expect(counting).rejects.toMatchObject({ code: 'malformed-message' });
  });
});

describe('what is kept', () => {
  it('goes with the last run of its contract, and stays where runs are left', async () => {
    const revealing = { ...REVEALING, engine: 'unbalanced' as const };
    const usedUp = await agreeOn(weir, revealing, { limits: { runsTotal: 2 } });
    const before = keyOf(EAST);
    await run(usedUp);
    const [key] = keyOf(EAST).filter((one) => !before.includes(one));
    await run(usedUp);
    expect(keyOf(EAST)).toContain(key);
    const going = await agreeOn(weir, revealing, { limits: { runsTotal: 3 } });
    const already = keyOf(EAST);
    await run(going);
    await run(going);
    const [other] = keyOf(EAST).filter((one) => !already.includes(one));
    expect(other).toBeDefined();
    // A domain looks when it starts, and every hour.
    await weir.program(EAST).stop();
    await weir.start(EAST);
    await weir.linked();
    await eventually('the key is gone', async () => !keyOf(EAST).includes(key ?? ''));
    expect(keyOf(EAST)).toContain(other);
  });

  it('goes with its contract: the key, the filter and its copy, in both domains', async () => {
    const contract = await agreeOn(weir, REVEALING);
    const before = [keyOf(EAST), keptBy(WEST).length] as const;
    await run(contract);
    const [key] = keyOf(EAST).filter((one) => !before[0].includes(one));
    expect(key).toBeDefined();
    expect(keptBy(WEST).length).toBeGreaterThan(before[1]);
    const hash = contractHash(contract.contract);
    // By the small side: the large one hears of it over the gateway.
    await weir.officer(WEST).revoke(contract.contract.id, { hash, reason: 'test' });
    await expect.poll(() => [keyOf(EAST), keptBy(WEST).length]).toEqual([...before]);
    // Not in the database, the log or anywhere else either.
    const files = readdirSync(join(weir.directory, EAST), { recursive: true, withFileTypes: true });
    for (const entry of files.filter((one) => one.isFile())) {
      const content = readFileSync(join(entry.parentPath, entry.name));
      expect(content.includes(Buffer.from(key ?? '', 'hex')), entry.name).toBe(false);
    }
    await expect(run(contract)).rejects.toMatchObject({ code: 'contract-revoked' });
  });

  it('goes with its data: another version has another key and another filter', async () => {
    const contract = await agreeOn(weir, REVEALING);
    const other = keyOf(EAST);
    await run(contract);
    const [old] = keyOf(EAST).filter((one) => !other.includes(one));
    await change([...LARGE.slice(0, 4995), ...keysOf(5028, 5100)]);
    const { rows, bytes } = await run(contract);
    expect(rows).toEqual(
      [...LARGE.slice(4990, 4995), 'guest-5028', 'guest-5029'].map((key) => [key]),
    );
    expect(bytes.has('oprf.filter')).toBe(true);
    const fresh = keyOf(EAST).filter((one) => !other.includes(one));
    expect(fresh).toHaveLength(1);
    expect(fresh).not.toContain(old);
    expect((await run(contract)).bytes.has('oprf.filter')).toBe(false);
    await change(LARGE);
  });

  it('survives a crash of either side in the middle, or is made anew', async () => {
    const contract = await agreeOn(weir, REVEALING);
    for (const [party, step] of [
      [EAST, 'psi.points'],
      [WEST, 'psi.result'],
    ] as const) {
      await weir.program(party).order({ kind: 'crash-at', step });
      const { request, idempotencyKey } = weir.prepare(contract);
      const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
      expect(await weir.program(party).ended).toMatchObject({ signal: 'SIGKILL' });
      await weir.start(party);
      await weir.linked();
      expect((await endOf(weir, runId)).state).toBe('voided');
      await expect(weir.analyst.client.result(runId)).rejects.toBeInstanceOf(WeirProblem);
      expect((await run(contract)).rows).toEqual(SHARED);
      expect(leftovers(weir)).toEqual([]);
    }
    expect((await run(contract)).bytes.has('oprf.filter')).toBe(false);
    // A run that was voided has spent what was evaluated in it.
    expect(await evaluated(contract.contract)).toBe(4 * PADDED);
  });

  it('is sent anew where the copy on the disk is not what it was', async () => {
    const contract = await agreeOn(weir, REVEALING);
    const before = new Set(filesOf(WEST));
    await run(contract);
    const copy = filesOf(WEST).find(
      (file) => !before.has(file) && readFileSync(file).length > 1024,
    );
    const content = readFileSync(copy ?? '');
    content[100]! ^= 1;
    writeFileSync(copy ?? '', content);
    await expect(run(contract)).rejects.toMatchObject({ code: 'transcript-mismatch' });
    const { rows, bytes } = await run(contract);
    expect([rows, bytes.has('oprf.filter')]).toEqual([SHARED, true]);
  });
});

function filesOf(party: string): string[] {
  const root = join(weir.directory, party, 'state', 'artifacts');
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
