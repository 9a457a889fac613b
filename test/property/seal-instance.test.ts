import { beforeAll, describe, expect, it } from 'vitest';
import type { BgvEncryptor } from '../../protocols/common/bgv.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { generateSealingKeys, type SealingKeys } from '../../protocols/homomorphic/keys.ts';
import { DEGREE, PLAIN_MODULI, sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { loadSeal } from '../../workers/seal-instance.ts';
import { PublicSide } from '../../workers/seal-threads.ts';
import { bareContext, bareSeal as seal } from '../support/bare-seal.ts';
import { memoryWatch } from '../support/seal-memory.ts';

const parameters = sealedSumParameters(0);
let keys: SealingKeys;

beforeAll(async () => {
  keys = generateSealingKeys(await loadSeal(), 2);
});

describe('the native instance', () => {
  it('is never given a slot that is not below t, which the library would wrap in silence', async () => {
    const instance = await loadSeal();
    using encryptor = instance.encryptor(parameters, keys.publicKeys[0]!);
    const target = new Uint8Array(65_536);
    const slots = new BigUint64Array(DEGREE).fill(PLAIN_MODULI[0] - 1n);
    encryptor.encrypt(slots, target);
    const outOfRange = expect.objectContaining({ code: 'value-out-of-range' });
    for (const slot of [1n << 63n, 1n << 36n, PLAIN_MODULI[0] + 1n, PLAIN_MODULI[0]]) {
      slots[DEGREE - 1] = slot;
      expect(() => encryptor.encrypt(slots, target)).toThrow(outOfRange);
    }
    expect(instance.isBroken()).toBe(false);
    // The control: bare, the same slot passes and means something else.
    const context = bareContext(parameters);
    const encoder = new seal.BatchEncoder(context);
    const plaintext = new seal.Plaintext();
    encoder.encode(slots, plaintext);
    const wrapped: BigUint64Array = encoder.decodeBigUint64(plaintext);
    expect(wrapped[DEGREE - 1]).not.toBe(slots[DEGREE - 1]);
  });

  it('that holds a secret key loads nothing of peers, nor the other way round', async () => {
    const refused = expect.objectContaining({ code: 'parameter-invalid' });
    const opening = await loadSeal();
    opening.decryptor(parameters, keys.secretKey)[Symbol.dispose]();
    expect(() => opening.encryptor(parameters, keys.publicKeys[0]!)).toThrow(refused);
    const sealing = await loadSeal();
    sealing.encryptor(parameters, keys.publicKeys[0]!)[Symbol.dispose]();
    expect(() => sealing.decryptor(parameters, keys.secretKey)).toThrow(refused);
    expect(() => sealing.generateSecretKey(parameters)).toThrow(refused);
    // The control: on its own side each goes on working.
    sealing.encryptor(parameters, keys.publicKeys[0]!)[Symbol.dispose]();
    opening.decryptor(parameters, keys.secretKey)[Symbol.dispose]();
  });

  it('never shows a noise budget', async () => {
    const instance = await loadSeal();
    using decryptor = instance.decryptor(parameters, keys.secretKey);
    expect(Reflect.ownKeys(decryptor)).toEqual(['decrypt', Symbol.dispose]);
    const bare = new seal.Decryptor(
      bareContext(parameters),
      new seal.KeyGenerator(bareContext(parameters)).secretKey(),
    );
    expect(Object.getPrototypeOf(bare)).toHaveProperty('invariantNoiseBudget');
  });

  it('is dropped after a throw, and the thread goes on with a new one', async () => {
    const thread = new PublicSide();
    const target = new Uint8Array(65_536);
    const slots = new BigUint64Array(DEGREE);
    const encryptor = (): Promise<BgvEncryptor> =>
      thread.run((tools) => tools.encryptor(parameters, keys.publicKeys[0]!));
    const first = await encryptor();
    first.encrypt(slots, target);
    expect(await encryptor()).toBe(first);
    // A deleted object is the surest native fault.
    first[Symbol.dispose]();
    const failed = expect.objectContaining({ code: 'encoding-failed' });
    expect(() => first.encrypt(slots, target)).toThrow(failed);
    expect(() => first.encrypt(slots, target)).toThrow(failed);
    const second = await encryptor();
    expect(second).not.toBe(first);
    second.encrypt(slots, target);
  });

  it('is replaced within a task, which is tried once more and not again', async () => {
    let loaded = 0;
    const thread = new PublicSide(() => {
      loaded += 1;
      return loadSeal();
    });
    const task = (faults: number): Promise<number> => {
      let attempts = 0;
      return thread.run((tools) => {
        const encryptor = tools.encryptor(parameters, keys.publicKeys[0]!);
        attempts += 1;
        if (attempts <= faults) encryptor[Symbol.dispose]();
        encryptor.encrypt(new BigUint64Array(DEGREE), new Uint8Array(65_536));
        return attempts;
      });
    };
    expect(await task(0)).toBe(1);
    expect(loaded).toBe(1);
    expect(await task(1)).toBe(2);
    expect(loaded).toBe(2);
    await expect(task(2)).rejects.toThrow(expect.objectContaining({ code: 'encoding-failed' }));
    expect(loaded).toBe(3);
    // A refusal of the task itself is no fault of the instance and is not tried again.
    let attempts = 0;
    const refused = thread.run(() => {
      attempts += 1;
      throw new ProtocolError('length-wrong', 'refused');
    });
    await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'length-wrong' }));
    expect(attempts).toBe(1);
  });

  it('refuses a hostile public key before it is loaded', async () => {
    const thread = new PublicSide();
    const good = keys.publicKeys[0]!;
    const malformed = expect.objectContaining({ code: 'message-malformed' });
    const zero = good.slice();
    zero.fill(0, zero.length / 2);
    const high = good.slice();
    high.fill(0xff, 0, 8);
    const used = (key: Uint8Array): Promise<unknown> =>
      thread.run((tools) => tools.encryptor(parameters, key));
    for (const bad of [good.subarray(0, -8), Buffer.concat([good, good]), zero, high])
      await expect(used(bad)).rejects.toThrow(malformed);
    await used(good);
  });

  it('runs out of memory as a typed fault that takes only the instance with it', async () => {
    const watch = memoryWatch();
    const instance = await loadSeal({ instantiateWasm: watch.instantiate });
    const encryptor = instance.encryptor(parameters, keys.publicKeys[0]!);
    watch.forbidGrowth();
    const exhaust = (): void => {
      for (let count = 0; count < 10_000; count++)
        instance.encryptor(parameters, keys.publicKeys[0]!);
    };
    expect(exhaust).toThrow(expect.objectContaining({ code: 'encoding-failed' }));
    expect(instance.isBroken()).toBe(true);
    const target = new Uint8Array(65_536);
    expect(() => encryptor.encrypt(new BigUint64Array(DEGREE), target)).toThrow(
      expect.objectContaining({ code: 'encoding-failed' }),
    );
  });

  it('deletes every object of the library, so that its memory does not grow', async () => {
    const watch = memoryWatch();
    const instance = await loadSeal({ instantiateWasm: watch.instantiate });
    const target = new Uint8Array(65_536);
    const cycle = (isDisposed: boolean): void => {
      const encryptor = instance.encryptor(parameters, keys.publicKeys[0]!);
      encryptor.encrypt(new BigUint64Array(DEGREE), target);
      if (isDisposed) encryptor[Symbol.dispose]();
    };
    for (let count = 0; count < 20; count++) cycle(true);
    const settled = watch.sizeBytes();
    for (let count = 0; count < 300; count++) cycle(true);
    expect(watch.sizeBytes()).toBe(settled);
    // The control: one cycle that forgets is seen after a while.
    for (let count = 0; count < 300; count++) cycle(false);
    expect(watch.sizeBytes()).toBeGreaterThan(settled);
  });
});
