import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareSet, type PsiMachine } from '../../protocols/psi/blinded-set.ts';
import { fileSpills } from '../../src/computations/psi/file-spill.ts';
import { poolEngine } from '../../src/computations/psi/pool-engine.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { systemRandom } from '../../src/system/random.ts';
import { nativeCurve } from '../../workers/native-curve.ts';
import { blindTask, evaluateTask } from '../../workers/psi.ts';
import { PARAMS, digestsOf, runPsi } from '../fixtures/psi.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-'));
});
afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `item ${from + i}`);

describe('PSI on real threads', () => {
  it('gives the answer it gives on one, in every mode', async () => {
    const params = { ...PARAMS, chunkItems: 256 };
    for (const mode of ['cardinality', 'intersection'] as const) {
      const { outcome } = await runPsi(
        { ...params, mode },
        numbered(0, 1500),
        numbered(900, 1900),
        {
          engine: poolEngine(pool, 2),
        },
      );
      expect(outcome.shared).toBe(600);
    }
  });

  it('takes the batches it is given, and keeps no copy here', async () => {
    const engine = poolEngine(pool, 2);
    const secret = systemRandom.bytes(32);
    const elements = new Uint8Array(37);
    const points = await engine.blind(elements, secret);
    expect(await engine.evaluate(points, secret)).toHaveLength(16);
    expect([elements.buffer.detached, (points.buffer as ArrayBuffer).detached]).toEqual([
      true,
      true,
    ]);
  });

  it('hands a bad point back with its code, and stops at an abort', async () => {
    const engine = poolEngine(pool, 2);
    await expect(engine.evaluate(new Uint8Array(64), new Uint8Array(32))).rejects.toMatchObject({
      code: 'point-invalid',
    });
    const stopped = poolEngine(pool, 2, AbortSignal.abort());
    await expect(stopped.blind(new Uint8Array(37), new Uint8Array(32))).rejects.toMatchObject({
      code: 'run-cancelled',
    });
  });
});

describe('a machine without native parts', () => {
  /** Makes the import of what `HIDDEN` fits fail, in the main thread and in the pool's. */
  const HIDING = `
    const Module = require('node:module');
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (name, ...more) => {
      if (new RegExp(process.env.HIDDEN).test(name)) throw new Error('hidden');
      return resolve(name, ...more);
    };`;
  const ASKING = `
    const { openPool } = await import(process.argv[1]);
    const pool = openPool({ threadsMax: 1 });
    const engines = [false, true].map((small) => pool.run('psi', 'engineTask', undefined, { small }));
    const batch = new Uint8Array(37 * 3).fill(5);
    const secret = new Uint8Array(32).fill(72);
    const points = await pool.run('psi', 'blindTask', { batch, secret });
    console.log(JSON.stringify([...await Promise.all(engines), Buffer.from(points).toString('hex')]));
    await pool.close();`;

  it('chooses the next best engine, and blinds alike', async () => {
    const hiding = join(directory, 'hiding.cjs');
    await writeFile(hiding, HIDING);
    const pooled = fileURLToPath(new URL('../../dist/src/pool/piscina-pool.js', import.meta.url));
    const asked = async (hidden: string): Promise<string[]> => {
      const args = ['--require', hiding, '--input-type=module', '--eval', ASKING, pooled];
      const env = { ...process.env, HIDDEN: hidden };
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      return JSON.parse(stdout) as string[];
    };
    const vector = 'curve25519.node$';
    const [usual, plain, bare] = await Promise.all(
      ['^$', vector, `^sodium-native$|${vector}`].map(asked),
    );
    const { engine } = nativeCurve;
    expect(usual?.slice(0, 2)).toEqual([engine, engine]);
    expect(plain).toEqual(['sodium', 'sodium', usual?.[2]]);
    expect(bare).toEqual(['openssl', 'openssl', usual?.[2]]);
  });
});

describe('a thread', () => {
  it('keeps no secret of a task, whether it succeeds or fails', () => {
    for (const task of [
      (secret: Uint8Array) => blindTask({ batch: new Uint8Array(37), secret }),
      (secret: Uint8Array) => evaluateTask({ batch: new Uint8Array(32), secret }),
    ]) {
      const secret = new Uint8Array(32).fill(72);
      expect(task(secret)).toBeDefined();
      expect(secret).toEqual(new Uint8Array(32));
    }
  });
});

describe('spills in files', () => {
  it('read back what was written, and have no name on the disk', async () => {
    const spill = await fileSpills(join(directory, 'deeper'), systemRandom)();
    const first = systemRandom.bytes(100_000);
    const second = systemRandom.bytes(33);
    expect([await spill.append(first), await spill.append(second)]).toEqual([0, 100_000]);
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const into = new Uint8Array(length);
      await spill.read(offset, into);
      return into;
    };
    expect(await read(0, 100_000)).toEqual(first);
    expect(await read(99_990, 20)).toEqual(
      new Uint8Array([...first.slice(-10), ...second.slice(0, 10)]),
    );
    await expect(read(100_030, 10)).rejects.toThrow(/early/);
    expect(await readdir(join(directory, 'deeper'))).toEqual([]);
    await spill.close();
  });

  it('carry a set that is larger than the buffers', async () => {
    const machine: PsiMachine = {
      // The heavy step is not what this is about: points stand in that are as random.
      engine: {
        parallel: 1,
        blind: async (elements) => systemRandom.bytes((elements.length / 37) * 32),
        evaluate: async () => new Uint8Array(0),
      },
      openSpill: fileSpills(directory, systemRandom),
      randomBytes: (count) => systemRandom.bytes(count),
    };
    const items = [...numbered(0, 140_000), ...numbered(0, 1000)];
    const set = await prepareSet({ ...PARAMS, setSizeMax: 2 ** 20 }, machine, digestsOf(items));
    expect(set).toMatchObject({ items: 141_000, distinct: 140_000, wireItems: 2 ** 18 });
    const rows = new Set<number>();
    let last = '';
    for await (const records of set.points.sorted()) {
      const view = new DataView(records.buffer, records.byteOffset);
      for (let at = 0; at < records.length; at += 36) {
        const point = Buffer.from(records.subarray(at, at + 32)).toString('hex');
        if (point <= last) throw new Error('not ascending');
        last = point;
        rows.add(view.getUint32(at + 32, true));
      }
    }
    // Every row, and the one number that all dummies share.
    expect(rows.size).toBe(141_001);
    await set.close();
  });
});
