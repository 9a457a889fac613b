/** What holders tell the recipient of a match: nothing to the gateway, and of one run only. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { openMatch } from '../../src/client/match-opener.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { asPsiAbort } from '../../src/computations/psi/wire.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema, type Hash } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast } from '../fixtures/contract.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { describeMatch, rowSource, runMatch, type Rows } from '../support/psi-run.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-results-'));
});
afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});

const secretKey = systemRandom.bytes(32);
const recipientKeys = { secretKey, publicKey: x25519.getPublicKey(secretKey) };
const recipient = { id: ANALYST, encryptionKey: encodeBase64url(recipientKeys.publicKey) };
const cast = makeCast(MATCHERS);
const BOUNDS: Contract['bounds'] = [{ column: 'delay', minimum: '-500', maximum: '500', scale: 0 }];
const DAYS = [1, 2, 3, 4, 5, 6];
const compact = (day: number): string => `2001010${day}`;
const EAST_ROWS: Rows = DAYS.map((day) => [`2001-01-0${day}`, 'JFK', String(10 * day)]);

function sumContract(smallestCell: number, rowsMax?: Readonly<Record<string, number>>): Contract {
  const contract = matchContract(
    { ask: 'sum', receiver: WEST, sum: { as: 'total', column: 'delay' } },
    { recipient, bounds: BOUNDS, disclosure: { smallestCell, smallestContributors: 1 } },
    cast,
  );
  const datasets = contract.datasets.map((entry) => ({
    ...entry,
    rowsMax: rowsMax?.[entry.holder] ?? entry.rowsMax,
  }));
  return { ...contract, datasets };
}

async function run(
  contract: Contract,
  eastRows: Rows = EAST_ROWS,
  westDays: readonly number[] = DAYS,
  attempt = 1,
): ReturnType<typeof runMatch> {
  const sources = new Map([
    [EAST, rowSource(['date', 'origin', 'delay'], eastRows, directory)],
    [
      WEST,
      rowSource(
        ['day', 'origin'],
        westDays.map((day) => [compact(day), 'jfk']),
        directory,
      ),
    ],
  ]);
  const descriptor = { ...describeMatch(contract), attempt };
  return runMatch(contract, sources, pool, cast, { descriptor });
}

function valueOf({ release }: Awaited<ReturnType<typeof runMatch>>): Release {
  if (release.status === 'rejected') throw release.reason;
  return release.value;
}

function open(contract: Contract, release: Release, requestHash?: Hash): Promise<Release> {
  const { runId, contractHash } = describeMatch(contract);
  const place = { runId, contractHash, ...(requestHash === undefined ? {} : { requestHash }) };
  return openMatch(release, place, contract, recipientKeys);
}

describe('a sum over the join', () => {
  it('is not opened from halves of two descriptors, though both name one run', async () => {
    const contract = sumContract(3);
    const first = valueOf(await run(contract));
    const second = valueOf(await run(contract, EAST_ROWS, DAYS, 2));
    await expect(open(contract, first)).resolves.toMatchObject({ rows: [[6, '210']] });
    await expect(open(contract, second)).resolves.toMatchObject({ rows: [[6, '210']] });
    const mixed = { ...first, rows: [first.rows[0] ?? [], second.rows[1] ?? []] };
    await expect(open(contract, mixed)).rejects.toMatchObject({ code: 'transcript-mismatch' });
  });

  it('is not opened as the answer to another request, whatever run the gateway calls it', async () => {
    const contract = sumContract(3);
    const release = valueOf(await run(contract));
    const { requestHash } = describeMatch(contract);
    const other = HashSchema.parse('f'.repeat(64));
    await expect(open(contract, release, requestHash)).resolves.toMatchObject({
      rows: [[6, '210']],
    });
    await expect(open(contract, release, other)).rejects.toMatchObject({
      code: 'transcript-mismatch',
    });
  });

  it('is opened as the plan has it, whatever kind of answer the gateway calls it', async () => {
    const contract = sumContract(3);
    const release = valueOf(await run(contract));
    for (const columns of [['psi-keys/1'], ['psi-groups/1'], ['shared', 'total'], []]) {
      const renamed = open(contract, { ...release, columns });
      await expect(renamed).rejects.toMatchObject({ code: 'transcript-mismatch' });
    }
    const plain = { ...release, columns: ['shared', 'total'], rows: [[6, '999']] };
    await expect(open(contract, plain)).rejects.toMatchObject({ code: 'transcript-mismatch' });
  });

  it('shows the gateway by no length whether it was withheld', async () => {
    const released = valueOf(await run(sumContract(6)));
    const withheld = valueOf(await run(sumContract(7)));
    await expect(open(sumContract(7), withheld)).resolves.toMatchObject({ suppressedCells: 2 });
    const lengths = ({ rows }: Release): readonly number[] =>
      rows.map(([text]) => String(text).length);
    expect(lengths(released)).toEqual(lengths(withheld));
  });

  it('clamps values of any length to their bounds', async () => {
    const far = ['9'.repeat(18), '9'.repeat(19), '9'.repeat(38), `-${'9'.repeat(38)}`, '1', '2'];
    const rows = EAST_ROWS.map(([day, origin], i) => [day ?? null, origin ?? null, far[i] ?? null]);
    const contract = sumContract(3);
    const opened = await open(contract, valueOf(await run(contract, rows)));
    expect(opened.rows).toEqual([[6, String(3 * 500 - 500 + 3)]]);
  });
});

describe('a holder that brings more than its own cap', () => {
  it('ends the run, though the other’s cap would allow it', async () => {
    const { domains, release } = await run(sumContract(3, { [WEST]: 4 }));
    expect(release.status).toBe('rejected');
    expect(domains.get(WEST)).toMatchObject({
      reason: { code: 'transcript-mismatch', facts: { rule: 'set-too-large' } },
    });
  });
});

describe('a failed check of the protocol', () => {
  it.each([
    ['point-repeated', 'transcript-mismatch'],
    ['encoding-failed', 'domain-failed'],
  ] as const)('%s ends a run as %s: only a peer’s message is held against it', async (code, as) => {
    const failing = asPsiAbort(() => Promise.reject(new ProtocolError(code, 'a reason')));
    await expect(failing).rejects.toMatchObject({ code: as, facts: { rule: code } });
  });
});
