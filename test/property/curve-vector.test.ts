import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { loadVectorCurve, openVectorCurve } from '../../workers/curve-vector.ts';

const BUILD = fileURLToPath(new URL('../../workers/vector/build.ts', import.meta.url));
const BUILT = fileURLToPath(new URL('../../dist/workers/vector/curve25519.node', import.meta.url));
/** What `is_supported` in addon.c asks for. */
const isSupported = ((): boolean => {
  try {
    const flags = readFileSync('/proc/cpuinfo', 'utf8');
    return ['avx512f', 'avx512dq', 'avx512bw', 'avx512ifma'].every((flag) => flags.includes(flag));
  } catch {
    return false;
  }
})();

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-vector-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const url = (name: string): URL => pathToFileURL(join(folder, name));

/** Builds into a folder of its own; what it says. */
function build(name: string, compiler?: string): string {
  const env = { ...process.env };
  if (compiler !== undefined) env['CC'] = compiler;
  const script = `${JSON.stringify(process.execPath)} ${JSON.stringify(BUILD)} "$0" 2>&1`;
  return execFileSync('sh', ['-c', script, join(folder, name)], { env, encoding: 'utf8' });
}

describe('the build of the vector kernel', () => {
  it('says in a line that there is no compiler, and leaves no kernel of other sources', () => {
    mkdirSync(join(folder, 'none'));
    writeFileSync(join(folder, 'none', 'curve25519.node'), 'old');
    utimesSync(join(folder, 'none', 'curve25519.node'), 1, 1);
    expect(build('none', 'no-such-compiler')).toBe(
      'Built without the vector kernel of curve25519 (no C compiler): libsodium multiplies, more slowly.\n',
    );
    expect(readdirSync(join(folder, 'none'))).toEqual([]);
    expect(openVectorCurve(url('none/curve25519.node'))).toBeUndefined();
  });

  it('says what a compiler says that fails, and leaves nothing half made', () => {
    writeFileSync(join(folder, 'broken.sh'), '#!/bin/sh\necho "unknown option" >&2\nexit 1\n', {
      mode: 0o755,
    });
    expect(build('broken', join(folder, 'broken.sh'))).toContain('(unknown option)');
    expect(readdirSync(join(folder, 'broken'))).toEqual([]);
  });

  it.runIf(existsSync(BUILT))('makes it once', () => {
    expect(build('made')).toBe('');
    expect(readdirSync(join(folder, 'made'))).toEqual(['curve25519.node']);
    // As new as its sources: no compiler is asked.
    expect(build('made', 'no-such-compiler')).toBe('');
  });

  it.runIf(existsSync(BUILT))('takes options with the compiler, and an empty name for none', () => {
    expect(build('empty', '')).toBe('');
    expect(build('options', 'cc -m64')).toBe('');
    expect(build('unknown', 'cc --no-such-option')).toContain('no-such-option');
  });

  it.runIf(isSupported && existsSync(BUILT))('gives one that this processor has', () => {
    expect(loadVectorCurve()?.engine).toBe('avx512ifma');
  });

  it.runIf(isSupported && process.env['CI'] === 'true')(
    'happens where tests must not skip it',
    () => {
      expect(existsSync(BUILT), 'a C compiler (package gcc) is missing').toBe(true);
    },
  );
});

describe('a file of a vector kernel', () => {
  const put = (name: string, text: string): URL => {
    writeFileSync(join(folder, name), text);
    return url(name);
  };

  it('is not taken where it was not made for this system or processor', () => {
    expect(openVectorCurve(url('missing.node'))).toBeUndefined();
    expect(openVectorCurve(put('foreign.node', 'not a library'))).toBeUndefined();
    expect(openVectorCurve(put('empty.cjs', 'module.exports = {};'))).toBeUndefined();
  });

  it.runIf(existsSync(BUILT))('is not taken where it was cut short, at any place', () => {
    const whole = readFileSync(BUILT);
    const names = [0, 20, 64, 1000, 5000, 60_000, whole.length - 1].map((length) => {
      writeFileSync(join(folder, `cut-${length}.node`), whole.subarray(0, length));
      return `cut-${length}.node`;
    });
    writeFileSync(join(folder, 'whole.node'), whole);
    // In a process of its own: what loads half a library is ended by a signal.
    const module = new URL('../../workers/curve-vector.ts', import.meta.url).href;
    const script = `import { openVectorCurve } from ${JSON.stringify(module)};
      console.log(process.argv.slice(1).map((file) => openVectorCurve(new URL(file))?.engine));`;
    const files = [...names, 'whole.node'].map((name) => url(name).href);
    const told = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', script, '--', ...files],
      { encoding: 'utf8' },
    );
    expect(told.match(/undefined/g)).toHaveLength(names.length + (isSupported ? 0 : 1));
    expect(told.includes('avx512ifma')).toBe(isSupported);
  });

  it('is refused where its sources changed since', () => {
    mkdirSync(join(folder, 'sources'));
    const file = put('stale.cjs', 'module.exports = {};');
    put('sources/field.h', '');
    utimesSync(fileURLToPath(file), 1_000_000, 1_000_000);
    utimesSync(join(folder, 'sources', 'field.h'), 1_000_000, 1_000_000);
    expect(openVectorCurve(file, url('sources/'))).toBeUndefined();
    utimesSync(join(folder, 'sources', 'field.h'), 1_000_001, 1_000_001);
    expect(() => openVectorCurve(file, url('sources/'))).toThrow(
      'The vector kernel is older than its sources: npm run build.',
    );
  });

  it('is refused where it computes something else, and taken where it does not', () => {
    const answers = globalThis as { weirKernel?: object };
    const right = {
      hashToCurve: (dst: Uint8Array, all: Uint8Array, size: number, out: Uint8Array) => {
        out.set(nobleCurve.hashToCurve(dst, all, size, out.length / 32));
        return -1;
      },
      multiply: (scalars: Uint8Array, points: Uint8Array, out: Uint8Array) => {
        const isOne = points.length === 32;
        out.set(nobleCurve[isOne ? 'multiplyOne' : 'multiply'](scalars, points));
        return -1;
      },
      firstBadPoint: () => -1,
    };
    const opened = (name: string, kernel: object): unknown => {
      answers.weirKernel = kernel;
      return openVectorCurve(put(`${name}.cjs`, 'module.exports = globalThis.weirKernel;'));
    };
    expect(opened('right', right)).toMatchObject({ engine: 'avx512ifma' });
    const wrong = /computes something else/;
    expect(() => opened('products', { ...right, multiply: () => -1 })).toThrow(wrong);
    expect(() => opened('hashes', { ...right, hashToCurve: () => -1 })).toThrow(wrong);
    expect(() => opened('checks', { ...right, firstBadPoint: () => 3 })).toThrow(wrong);
    delete answers.weirKernel;
  });
});

describe.runIf(isSupported && existsSync(BUILT))('the addon of the vector kernel', () => {
  it('reads and writes nothing outside what it is given', () => {
    copyFileSync(BUILT, join(folder, 'addon.node'));
    const addon = createRequire(import.meta.url)(join(folder, 'addon.node')) as Record<
      'multiply' | 'hashToCurve' | 'firstBadPoint',
      (...args: unknown[]) => number
    >;
    const of = (length: number): Uint8Array => new Uint8Array(length);
    for (const args of [
      [],
      [of(32), of(32)],
      [of(31), of(32), of(32)],
      [of(32), of(33), of(33)],
      [of(32), of(64), of(32)],
      [of(64), of(32), of(96)],
      [of(32), [0], of(32)],
      [of(32), new Float64Array(4), of(32)],
      [of(32), new ArrayBuffer(32), of(32)],
    ]) {
      expect(() => addon.multiply(...args)).toThrow(
        /one scalar or many, one point or many, and room/,
      );
    }
    for (const args of [
      [of(1), of(4), 4],
      [of(0), of(4), 4, of(32)],
      [of(256), of(4), 4, of(32)],
      [of(1), of(5), 4, of(32)],
      [of(1), of(1025), 1025, of(32)],
      [of(1), of(4), '4', of(32)],
      [of(1), of(4), 4, of(33)],
      [of(1), of(8), 2 ** 31, of(32)],
    ]) {
      expect(() => addon.hashToCurve(...args)).toThrow(/a tag of 1 to 255 bytes/);
    }
    expect(() => addon.firstBadPoint(of(31))).toThrow(/takes points/);
    expect(addon.firstBadPoint(of(0))).toBe(-1);
    const around = of(96);
    expect(addon.multiply(of(32), of(32).fill(9), around.subarray(32, 64))).toBe(-1);
    expect(around.subarray(0, 32)).toEqual(of(32));
    expect(around.subarray(32, 64)).not.toEqual(of(32));
    expect(around.subarray(64)).toEqual(of(32));
  });
});
