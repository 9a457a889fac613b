import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readKernel, type KernelName } from '../../workers/kernel-file.ts';

const BUILT_S = 1_000_000;
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'weir-kernel-'));
  mkdirSync(join(root, 'built'));
  mkdirSync(join(root, 'kernels', 'vole'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, changedS: number): void {
  writeFileSync(join(root, path), path);
  utimesSync(join(root, path), changedS, changedS);
}

const folder = (name: string): URL => pathToFileURL(`${join(root, name)}/`);
const read = (name: KernelName): string =>
  Buffer.from(readKernel(name, folder('built'), folder('kernels'))).toString();

describe('the file of a kernel', () => {
  it('is read where it is as new as its sources', () => {
    put('built/vole.wasm', BUILT_S);
    put('kernels/vole.ts', BUILT_S);
    put('kernels/vole/code.ts', BUILT_S - 1);
    // Of another kernel.
    put('kernels/lanes.ts', BUILT_S + 1);
    expect(read('vole')).toBe('built/vole.wasm');
  });

  it.each(['vole.ts', 'vole/code.ts'])('is refused where %s changed since it was built', (part) => {
    put('built/vole.wasm', BUILT_S);
    put('kernels/vole.ts', BUILT_S - 1);
    put('kernels/vole/code.ts', BUILT_S - 1);
    expect(read('vole')).toBe('built/vole.wasm');
    put(`kernels/${part}`, BUILT_S + 1);
    expect(() => read('vole')).toThrow('vole.wasm is older than its sources: npm run build');
  });

  it('is refused where it is not built', () => {
    put('kernels/lanes.ts', BUILT_S);
    expect(() => read('lanes')).toThrow('lanes.wasm is not built: npm run build');
  });

  it('is taken as it is where there are no sources', () => {
    put('built/lanes.wasm', BUILT_S);
    const bytes = readKernel('lanes', folder('built'), undefined);
    expect(Buffer.from(bytes).toString()).toBe('built/lanes.wasm');
  });
});
