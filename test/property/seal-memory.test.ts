/**
 * What becomes of the native library's memory: where it runs out, the instance is replaced and the
 * task tried once more; where it held a secret key, it is wiped, and so is every copy of the key.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concatBytes } from '../../protocols/common/bytes.ts';
import { generateSealingKeys, type SealingKeys } from '../../protocols/homomorphic/keys.ts';
import { openFrame } from '../../protocols/homomorphic/opener.ts';
import { sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { sealFrame } from '../../protocols/homomorphic/party.ts';
import { weighCells } from '../../protocols/homomorphic/weighted-party.ts';
import { encryptWeights, openWeighted } from '../../protocols/homomorphic/weights.ts';
import { weightsParameters } from '../../protocols/homomorphic/weights-params.ts';
import {
  chooseValues,
  encryptValues,
  foldMasked,
  maskSum,
  SUM_PARAMETERS,
  SUM_SLOTS,
} from '../../protocols/psi/sum.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import { openFramesTask } from '../../workers/homomorphic.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { loadSeal, SealInstance } from '../../workers/seal-instance.ts';
import {
  PublicSide,
  type PublicTools,
  withDecryptors,
  withOwnInstance,
} from '../../workers/seal-threads.ts';
import { memoryWatch, starvedSeal } from '../support/seal-memory.ts';
import { weightsShape } from '../support/secret-weights.ts';
import { sealedRun } from '../support/sealed-sum.ts';

const failed = expect.objectContaining({ code: 'encoding-failed' });
const pool = openPool({ threadsMax: 1 });
afterAll(() => pool.close());

let keys: SealingKeys;
let weighing: SealingKeys;
beforeAll(async () => {
  keys = generateSealingKeys(await loadSeal(), 1);
  const instance = await loadSeal();
  const secretKey = instance.generateSecretKey(weightsParameters(0));
  const publicKeys = [instance.generatePublicKey(weightsParameters(0), secretKey)];
  weighing = { publicKeys, secretKey };
});

/** Instances that have no memory left, `times` times; then usual ones. */
function starving(times: number): { load: () => Promise<SealInstance>; loaded: () => number } {
  let loaded = 0;
  return {
    load: () => {
      loaded += 1;
      return loaded <= times ? starvedSeal() : loadSeal();
    },
    loaded: () => loaded,
  };
}

const run = sealedRun(2);
const vector = { vector: 0, cells: 1, laneBytes: 8 as const, minimum: 0n, maximum: 9n, addends: 2 };
const framePlace = { vector, residue: 0, frame: 0 };
const shape = weightsShape({ outputs: 1, perOutput: 1, weightMax: 9n, cellMax: 9n, holders: 2 });
const place = { shape, residue: 0, index: 0 };
const { tagKey, descriptorHash } = run;
const weighingTools = (tools: PublicTools) => ({
  encryptor: tools.encryptor(weightsParameters(0), weighing.publicKeys[0]!),
  evaluator: tools.evaluator(weightsParameters(0)),
});
const someWeights = (tools: PublicTools): Uint8Array =>
  encryptWeights(weighingTools(tools).encryptor, place, [3n]);
const slots = (): BigUint64Array<ArrayBuffer> => new BigUint64Array(SUM_SLOTS).fill(1n);

/** The work of every task without a secret key. */
const publicWork: Readonly<Record<string, (tools: PublicTools) => unknown>> = {
  sealFrame: (tools) =>
    sealFrame(nativePrimitives, tools.encryptor(sealedSumParameters(0), keys.publicKeys[0]!), {
      place: framePlace,
      lanes: new Uint8Array(8),
      peers: run.peers[0]!,
      tagKey,
      isFirst: true,
      descriptorHash,
    }),
  encryptWeights: someWeights,
  weighCells: (tools) => {
    const { evaluator, encryptor } = weighingTools(tools);
    return weighCells(nativePrimitives, evaluator, encryptor, {
      place,
      weights: someWeights(tools),
      cells: [2n],
      peers: run.peers[0]!,
      tagKey,
      ownSecret: new Uint8Array(32),
      isFirst: true,
      descriptorHash,
    });
  },
  encryptValues: (tools) => encryptValues(weighingTools(tools).encryptor, slots()),
  chooseValues: (tools) => {
    const { encryptor, evaluator } = weighingTools(tools);
    return chooseValues(evaluator, encryptValues(encryptor, slots()), slots());
  },
  maskSum: (tools) => {
    const { evaluator, encryptor } = weighingTools(tools);
    const secret = new Uint8Array(32);
    return maskSum(nativePrimitives.stream, evaluator, encryptor, undefined, secret);
  },
};

describe('memory of the library that ran out', () => {
  for (const [name, work] of Object.entries(publicWork)) {
    it(`takes the instance with it, and ${name} is done on another`, async () => {
      const { load, loaded } = starving(1);
      expect(await new PublicSide(load).run(work)).toBeDefined();
      expect(loaded()).toBe(2);
    });
  }

  it('twice in a row ends a task, typed; the next one begins anew', async () => {
    const { load, loaded } = starving(2);
    const thread = new PublicSide(load);
    await expect(thread.run(publicWork['sealFrame']!)).rejects.toThrow(failed);
    expect(loaded()).toBe(2);
    expect(await thread.run(publicWork['sealFrame']!)).toBeDefined();
    expect(loaded()).toBe(3);
  });

  it('while keys are made or something is opened: the same', async () => {
    const tools = await loadSeal();
    const sealed = tools.encryptor(weightsParameters(0), weighing.publicKeys[0]!);
    const one = encryptValues(sealed, slots());
    const frame = await new PublicSide().run(publicWork['sealFrame']!);
    const work: Readonly<Record<string, (load: () => Promise<SealInstance>) => Promise<unknown>>> =
      {
        generateKeys: (load) =>
          withOwnInstance((instance) => generateSealingKeys(instance, 1), load),
        foldMasked: (load) =>
          withDecryptors(
            weighing.secretKey.slice(),
            [SUM_PARAMETERS],
            ([decryptor]) => foldMasked(decryptor!, one),
            load,
          ),
        // One holder's part opens to nothing; what is asked here is that it is looked at.
        openFrame: (load) =>
          withDecryptors(
            keys.secretKey.slice(),
            [sealedSumParameters(0)],
            (decryptors) => {
              const input = { vector, frame: 0, sums: [frame as Uint8Array] };
              return openFrame(nativePrimitives, decryptors, { ...input, tagKey, descriptorHash });
            },
            load,
          ),
        openWeighted: (load) =>
          withDecryptors(
            weighing.secretKey.slice(),
            [weightsParameters(0)],
            (decryptors) =>
              openWeighted(nativePrimitives, decryptors, {
                shape,
                sums: [one],
                tagKey,
                descriptorHash,
              }),
            load,
          ),
      };
    for (const [name, attempt] of Object.entries(work)) {
      const outcome = (load: () => Promise<SealInstance>): Promise<unknown> =>
        attempt(load).then(
          () => 'done',
          ({ code }: { code: string }) => code,
        );
      const { load, loaded } = starving(1);
      expect(await outcome(load), name).not.toBe('encoding-failed');
      expect(loaded(), name).toBe(2);
      expect(await outcome(starving(2).load), name).toBe('encoding-failed');
    }
  });

  it('cannot be met elsewhere: no task loads the library but through these', () => {
    const folder = new URL('../../workers/', import.meta.url);
    const loading = readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .filter((name) => readFileSync(new URL(name, folder), 'utf8').includes('loadSeal'));
    expect(loading.toSorted()).toEqual(['seal-instance.ts', 'seal-threads.ts']);
  });
});

describe('a secret key', () => {
  it('is overwritten in the thread’s copy and in the library’s memory', async () => {
    const watch = memoryWatch();
    const part = Buffer.from(keys.secretKey.subarray(1000, 1032));
    const copy = keys.secretKey.slice();
    let isThere = false;
    await withDecryptors(
      copy,
      [sealedSumParameters(0)],
      () => {
        isThere = watch.holds(part);
      },
      async () => {
        const initialize = (await import('node-seal')).default;
        const seal = await initialize({ instantiateWasm: watch.instantiate });
        return new SealInstance(seal, () => watch.wipe());
      },
    );
    expect(isThere).toBe(true);
    expect(watch.holds(part)).toBe(false);
    expect(copy.every((byte) => byte === 0)).toBe(true);
  });

  it('is wiped by the memory that product code uses, too', async () => {
    const instance = await loadSeal();
    instance.generateSecretKey(sealedSumParameters(0));
    instance.wipe();
    expect(() => instance.generateSecretKey(sealedSumParameters(0))).toThrow(failed);
  });

  it('is wiped where opening fails, and moved to the thread instead of copied', async () => {
    const copy = new Uint8Array(keys.secretKey);
    const frames = [{ vector, frame: 0, sums: [randomBytes(64 + 65_536)], tagKey, descriptorHash }];
    const task = { secretKey: copy, frames };
    expect(await openFramesTask(task)).toMatchObject({
      protocolError: { code: 'ciphertext-invalid' },
    });
    expect(copy.every((byte) => byte === 0)).toBe(true);
    const moved = new Uint8Array(keys.secretKey);
    const opening = pool.run(
      'homomorphic',
      'openFramesTask',
      { secretKey: moved, frames },
      { transfer: [moved.buffer] },
    );
    await expect(opening).rejects.toThrow(expect.objectContaining({ code: 'ciphertext-invalid' }));
    expect(moved.length).toBe(0);
    const made = await pool.run<SealingKeys>('homomorphic', 'generateKeysTask', { residues: 1 });
    expect(concatBytes([made.secretKey]).some((byte) => byte !== 0)).toBe(true);
  });
});
