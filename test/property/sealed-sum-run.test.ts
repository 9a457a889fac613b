import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealingKeyText } from '../../src/client/sealing-key.ts';
import type { GatewayRole, Release } from '../../src/computations/computation.ts';
import { residuesNeeded, sealedShapeOf } from '../../src/computations/sealed-sum/shape.ts';
import { estimateSealedSum } from '../../src/computations/sealed-sum/estimate.ts';
import { encodeStatement, SEALED_STATEMENT } from '../../src/computations/sealed-sum/statement.ts';
import { SEALED_KINDS } from '../../src/computations/sealed-sum/wire.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import { requestHash } from '../../src/contracts/signed-documents.ts';
import type { Frame } from '../../src/link/channel.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { decodeBase64url, encodeBase64url } from '../../src/system/base64url.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { lanesOfFrame, sealFrame } from '../../protocols/homomorphic/party.ts';
import { sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import { FIXED_CASE, prepare, runAll, testPool, type RunCase } from '../support/secure-sum-run.ts';
import {
  makeRecipient,
  openWith,
  prepareSealed,
  runSealed,
  sealingText,
  type Recipient,
} from '../support/sealed-sum-run.ts';

let pool: Pool;
let recipient: Recipient;
beforeAll(async () => {
  pool = testPool();
  recipient = await makeRecipient(pool);
});
afterAll(() => pool.close());

async function released(run = FIXED_CASE): Promise<Release> {
  const outcome = await runSealed(run, prepareSealed(run, recipient), pool);
  expect(outcome.domains.map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  if (outcome.release.status === 'rejected') throw outcome.release.reason;
  return outcome.release.value;
}

describe('a sealed sum run', () => {
  it('opens to the very table a secure sum over the same data releases', async () => {
    const plain = await runAll(FIXED_CASE, prepare(FIXED_CASE), pool);
    if (plain.release.status === 'rejected') throw plain.release.reason;
    const opened = await openWith(
      pool,
      prepareSealed(FIXED_CASE, recipient),
      recipient,
      await released(),
    );
    expect(opened).toEqual(plain.release.value);
    expect(opened.releasedCells).toBeGreaterThan(3);
  });

  it('ends without a result, typed, where a thread’s library failed twice', async () => {
    const fault = new ProtocolError('encoding-failed', 'encryption failed');
    const faulty: Pool = {
      ...pool,
      run: (file, task, ...rest) =>
        task === 'sealFrameTask' ? Promise.reject(fault) : pool.run(file, task, ...rest),
    };
    const outcome = await runSealed(FIXED_CASE, prepareSealed(FIXED_CASE, recipient), faulty);
    expect(outcome.domains.every(({ status }) => status === 'rejected')).toBe(true);
    expect(outcome.domains).toContainEqual(
      expect.objectContaining({ reason: expect.objectContaining({ code: 'domain-failed' }) }),
    );
  });

  it('withholds what the counting round suppresses: withheld cells are zeros inside the encryption', async () => {
    const strict = { ...FIXED_CASE, smallestCell: 16 };
    const opened = await openWith(
      pool,
      prepareSealed(strict, recipient),
      recipient,
      await released(strict),
    );
    const plain = await runAll(strict, prepare(strict), pool);
    if (plain.release.status === 'rejected') throw plain.release.reason;
    expect(opened).toEqual(plain.release.value);
    // The control: under the lower threshold the same cells are there.
    expect(opened.suppressedCells).toBeGreaterThan(0);
    expect(opened.releasedCells).toBeLessThan(12);
  });

  it('carries the noise that the contract asks for: the table of the noised secure sum', async () => {
    const noised: RunCase = {
      ...FIXED_CASE,
      columns: [FIXED_CASE.columns[0]!, { ...FIXED_CASE.columns[1]!, maximum: 10n ** 12n }],
      noiseSeed: 'noise',
    };
    const noise: NoiseTerms = {
      mechanism: 'discrete-gaussian',
      microRhoPerRun: 100_000,
      deltaExponent: 9,
      cellsPerUnit: 1,
      rowsPerCell: 1,
      honestDomains: 2,
    };
    const terms = { disclosure: { smallestCell: 3, smallestContributors: 2, noise } };
    const prepared = prepareSealed(noised, recipient, terms);
    const { release } = await runSealed(noised, prepared, pool);
    const plain = await runAll(noised, prepare(noised, {}, terms), pool);
    if (release.status === 'rejected') throw release.reason;
    if (plain.release.status === 'rejected') throw plain.release.reason;
    const opened = await openWith(pool, prepared, recipient, release.value);
    expect(opened).toEqual(plain.release.value);
    // The control: the exact table is another one.
    const { noiseSeed: _seed, ...quiet } = noised;
    const exact = await runAll(quiet, prepare(quiet), pool);
    if (exact.release.status === 'rejected') throw exact.release.reason;
    expect(opened.rows).not.toEqual(exact.release.value.rows);
    const estimate = estimateSealedSum(prepared.contract, {});
    expect(estimate.exact).toBe(false);
    expect(estimate.units['micro-rho']).toBe(100_000n);
  });

  it('sums over more parties than mask pairwise with each other', async () => {
    const many = {
      ...FIXED_CASE,
      columns: FIXED_CASE.columns.slice(0, 1),
      parts: Array.from({ length: 66 }, (_, party) =>
        FIXED_CASE.parts[party % 3]!.map((row) => ({ ...row, values: row.values.slice(0, 1) })),
      ),
    };
    const prepared = prepareSealed(many, recipient);
    const { release } = await runSealed(many, prepared, pool);
    if (release.status === 'rejected') throw release.reason;
    const opened = await openWith(pool, prepared, recipient, release.value);
    const rows = many.parts.flat().length;
    expect(opened.rows.reduce((sum, row) => sum + Number(row[2]), 0)).toBe(rows);
  });

  it('reaches its crash points in order, before each kind of message', async () => {
    const outcome = await runSealed(FIXED_CASE, prepareSealed(FIXED_CASE, recipient), pool);
    for (const party of ['holder-a', 'holder-b', 'holder-c']) {
      const own = outcome.steps.filter((step) => step.startsWith(party));
      expect(own.map((step) => step.slice(party.length + 1))).toEqual([
        'round1.counts',
        'round1.map',
        'round2.sealed',
      ]);
    }
  });
});

describe('a gateway that tries to skip the counting round', () => {
  const sealedFrames = (frames: readonly Frame[]): readonly Frame[] =>
    frames.filter(({ kind }) => kind === SEALED_KINDS.sealed || kind === SEALED_KINDS.statement);

  async function attack(
    gateway: (role: GatewayRole) => Promise<Release>,
  ): Promise<readonly Frame[]> {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const outcome = await runSealed(FIXED_CASE, prepared, pool, undefined, gateway);
    expect(outcome.domains.every(({ status }) => status === 'rejected')).toBe(true);
    return sealedFrames(outcome.network.transcript);
  }
  const nothing = new Error('the attack ends here');

  it('gets no ciphertext by asking for one at once', async () => {
    const frames = await attack(async ({ channel, descriptor }) => {
      const [first] = descriptor.parties;
      await channel.receive(first!.id, SEALED_KINDS.sealed, 2 ** 26);
      throw nothing;
    });
    expect(frames).toEqual([]);
  });

  it('gets none by sending back one holder’s counts as the totals', async () => {
    const frames = await attack(async ({ channel, descriptor }) => {
      const ids = descriptor.parties.map(({ id }) => id);
      const counts = await Promise.all(ids.map((id) => channel.receive(id, KINDS.counts, 2 ** 26)));
      await Promise.all(ids.map((id, at) => channel.send(id, KINDS.totals, counts[at]!)));
      await channel.receive(ids[0]!, KINDS.map, 2 ** 26);
      throw nothing;
    });
    expect(frames).toEqual([]);
  });

  it('gets none where the signed maps are withheld, repeated or of one holder only', async () => {
    const honest = await runSealed(FIXED_CASE, prepareSealed(FIXED_CASE, recipient), pool);
    expect(sealedFrames(honest.network.transcript).length).toBeGreaterThan(0);
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const changes: readonly ((payload: Uint8Array) => Uint8Array)[] = [
      (payload) => payload.slice(0, payload.length / 3),
      (payload) => {
        const third = payload.length / 3;
        return Buffer.concat([
          payload.subarray(0, third),
          payload.subarray(0, third),
          payload.subarray(0, third),
        ]);
      },
      (payload) => {
        const copy = payload.slice();
        copy[copy.length - 1]! ^= 1;
        return copy;
      },
    ];
    for (const change of changes) {
      const outcome = await runSealed(FIXED_CASE, prepared, pool, (frame) =>
        frame.kind === KINDS.maps ? [{ ...frame, payload: change(frame.payload) }] : [frame],
      );
      expect(outcome.domains.map(({ status }) => status)).toEqual([
        'rejected',
        'rejected',
        'rejected',
      ]);
      expect(sealedFrames(outcome.network.transcript)).toEqual([]);
    }
  });
});

describe('the opener', () => {
  const failed = expect.objectContaining({ code: 'decryption-failed' });
  const otherRun = expect.objectContaining({ code: 'descriptor-mismatch' });

  it('opens with the recipient’s keys alone, though everything else is handed over', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const release = await released();
    const stranger = await makeRecipient(pool);
    const lacking: readonly Recipient[] = [
      // Everything public and another secret; the result key alone; the sealing key alone.
      {
        ...stranger,
        sealingKey: { ...stranger.sealingKey, publicKeys: recipient.sealingKey.publicKeys },
      },
      {
        keys: recipient.keys,
        sealingKey: { ...stranger.sealingKey, publicKeys: recipient.sealingKey.publicKeys },
      },
      { keys: stranger.keys, sealingKey: recipient.sealingKey },
      stranger,
    ];
    for (const without of lacking)
      await expect(openWith(pool, prepared, without, release)).rejects.toThrow(failed);
    await expect(openWith(pool, prepared, recipient, release)).resolves.toBeDefined();
  });

  it('refuses the result of another request, contract, party set or shape', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const release = await released();
    const { descriptor, contract } = prepared;
    const other = 'f'.repeat(64) as ReturnType<typeof requestHash>;
    await expect(
      openWith(
        pool,
        { contract, descriptor: { ...descriptor, requestHash: other } },
        recipient,
        release,
      ),
    ).rejects.toThrow(otherRun);
    await expect(
      openWith(
        pool,
        { descriptor, contract: { ...contract, legalBasis: 'another' } },
        recipient,
        release,
      ),
    ).rejects.toThrow(otherRun);
    for (const rows of [release.rows.slice(0, -1), [...release.rows, release.rows[2]!], []])
      await expect(openWith(pool, prepared, recipient, { ...release, rows })).rejects.toThrow(
        otherRun,
      );
    const fewer = { ...descriptor, parties: descriptor.parties.slice(0, 1) };
    const replaced = [release.rows[0]!, [JSON.stringify(fewer)], ...release.rows.slice(2)];
    await expect(
      openWith(pool, prepared, recipient, { ...release, rows: replaced }),
    ).rejects.toThrow(otherRun);
  });

  it('refuses frames that are changed, swapped, truncated or of another run', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const release = await released();
    const another = await released({ ...FIXED_CASE, seed: 8 });
    const frameAt = (index: number): Uint8Array => decodeBase64url(String(release.rows[index]![0]));
    const withFrame = (index: number, bytes: Uint8Array): Release => ({
      ...release,
      rows: release.rows.map((row, at) => (at === index ? [encodeBase64url(bytes)] : row)),
    });
    const turned = frameAt(2);
    turned[100]! ^= 1;
    const malformed = expect.objectContaining({ code: 'transcript-mismatch' });
    await expect(openWith(pool, prepared, recipient, withFrame(2, turned))).rejects.toThrow(failed);
    const foreign = decodeBase64url(String(another.rows[2]![0]));
    await expect(openWith(pool, prepared, recipient, withFrame(2, foreign))).rejects.toThrow(
      failed,
    );
    await expect(openWith(pool, prepared, recipient, withFrame(2, frameAt(3)))).rejects.toThrow(
      malformed,
    );
    await expect(
      openWith(pool, prepared, recipient, withFrame(2, frameAt(2).slice(0, -8))),
    ).rejects.toThrow(malformed);
  });

  it('refuses a result that the gateway made up, which it could encrypt but not sign', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const { contract, descriptor } = prepared;
    const shape = sealedShapeOf(contract, {});
    const instance = await loadSeal();
    const tagKey = new Uint8Array(32).fill(7);
    const keys = recipient.sealingKey.publicKeys;
    const frames = shape.places.map((place) => {
      const { start, end } = lanesOfFrame(place);
      using encryptor = instance.encryptor(
        sealedSumParameters(place.residue),
        keys[place.residue]!,
      );
      const secret = new Uint8Array(32);
      // A party that masks for and against itself: the plain sum, sealed and tagged as it should be.
      return sealFrame(nativePrimitives, encryptor, {
        place,
        lanes: new Uint8Array(end - start),
        peers: [
          { sign: 1, secret },
          { sign: -1, secret },
        ],
        tagKey,
        isFirst: true,
        descriptorHash: prepared.descriptorHash,
      });
    });
    const releaseBy = async (identity = eddsaSuite.generate(systemRandom)): Promise<Release> => {
      const role = { contract, descriptorHash: prepared.descriptorHash, identity };
      const statement = await encodeStatement(SEALED_STATEMENT, role, tagKey);
      const texts = [
        new TextDecoder().decode(statement),
        JSON.stringify(descriptor),
        ...frames.map((frame) => encodeBase64url(frame)),
      ];
      return {
        columns: ['sealed-sum/1'],
        rows: texts.map((text) => [text]),
        suppressedCells: 0,
        releasedCells: 0,
      };
    };
    await expect(openWith(pool, prepared, recipient, await releaseBy())).rejects.toThrow(
      expect.objectContaining({ code: 'signature-invalid' }),
    );
    // The control: signed by the first holder, the same bytes open.
    const signed = await releaseBy(prepared.identities.get(descriptor.parties[0]!.id));
    const opened = await openWith(pool, prepared, recipient, signed);
    expect(opened.releasedCells).toBe(0);
  });
});

describe('planning a sealed sum', () => {
  const contract = () => prepareSealed(FIXED_CASE, recipient).contract;

  it('refuses a sealing key that is malformed or has too few residues for the bounds', async () => {
    const short = await makeRecipient(pool, 1);
    for (const sealingKey of ['AAAA', sealingText(short), `${sealingText(recipient)}A`]) {
      const changed = { ...contract(), protocol: { name: 'sealed-sum' as const, sealingKey } };
      expect(() => sealedShapeOf(changed, {})).toThrow(
        expect.objectContaining({ code: 'parameter-invalid' }),
      );
    }
    expect(sealedShapeOf(contract(), {}).publicKeys).toHaveLength(4);
    // The control: exactly as many as the bounds need will do.
    const sealingKey = sealingKeyText(recipient.sealingKey.publicKeys, residuesNeeded(contract()));
    const exact = { ...contract(), protocol: { name: 'sealed-sum' as const, sealingKey } };
    expect(sealedShapeOf(exact, {}).publicKeys).toHaveLength(2);
  });

  it('refuses another protocol, too large a result, and sums that do not fit', () => {
    const plain = { ...contract(), protocol: { name: 'secure-sum' as const } };
    expect(() => sealedShapeOf(plain, {})).toThrow(
      expect.objectContaining({ code: 'query-not-supported' }),
    );
    const labels = Array.from({ length: 120_000 }, (_, label) => String(label));
    const wide = {
      ...contract(),
      dictionaries: [{ column: 'g0', labels }, contract().dictionaries[1]!],
    };
    expect(() => sealedShapeOf(wide, {})).toThrow(
      expect.objectContaining({ code: 'too-many-cells' }),
    );
    const bound = String(2n ** 52n);
    const loose = {
      ...contract(),
      bounds: contract().bounds.map((each) => ({ ...each, minimum: `-${bound}`, maximum: bound })),
      // Σ rows · bound fits 63 bits; holders · largest rows · bound does not.
      datasets: contract().datasets.map((each, at) => ({ ...each, rowsMax: at === 0 ? 1000 : 1 })),
    };
    expect(() => sealedShapeOf(loose, {})).toThrow(
      expect.objectContaining({ code: 'overflow-possible' }),
    );
  });
});
