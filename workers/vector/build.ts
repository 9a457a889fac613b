/**
 * Compiles the vector kernel into the build, with the machine's C compiler (`CC`, else `cc`) and the
 * headers that come with Node. Where there is no compiler or it fails, that is said in a line, and
 * Weir multiplies by libsodium: a newcomer needs none. An argument is a folder to build into instead.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newestMs } from '../kernel-file.ts';

const SOURCES = new URL('./', import.meta.url);
const TARGET =
  process.argv[2] ?? fileURLToPath(new URL('../../dist/workers/vector/', import.meta.url));
const KERNEL = join(TARGET, 'curve25519.node');
const COMMON = ['-std=c11', '-O3', '-fPIC', '-Wall', '-Wextra', '-Werror=implicit'];
/** What `is_supported` in addon.c asks the processor for. */
const VECTORS = ['-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512ifma'];

/** Beside the binary of Node, in its own distribution and in the packages of the registry. */
function headersFolder(): string | undefined {
  const folder = join(dirname(process.execPath), '..', 'include', 'node');
  return existsSync(join(folder, 'node_api.h')) ? folder : undefined;
}

function compile(headers: string): void {
  // As make takes it: `gcc -m64`, `ccache gcc`; empty as if it were not there.
  const [compiler = '', ...own] = (process.env['CC']?.trim() || 'cc').split(/\s+/);
  const source = (name: string): string => fileURLToPath(new URL(name, SOURCES));
  const run = (...args: string[]): unknown =>
    execFileSync(compiler, [...own, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [points, glue, made] = ['points.o', 'addon.o', 'made.node'].map((name) =>
    join(TARGET, `${process.pid}-${name}`),
  ) as [string, string, string];
  try {
    run(...COMMON, ...VECTORS, '-c', source('curve25519.c'), '-o', points);
    run(...COMMON, '-I', headers, '-c', source('addon.c'), '-o', glue);
    run('-shared', '-s', '-Wl,-z,now', '-Wl,-z,relro', points, glue, '-o', made);
    // In one step: a process may have the old one in use.
    renameSync(made, KERNEL);
  } finally {
    for (const part of [points, glue, made]) rmSync(part, { force: true });
  }
}

function build(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const made = statSync(KERNEL, { throwIfNoEntry: false });
  if (made !== undefined && made.mtimeMs >= newestMs(SOURCES)) return undefined;
  mkdirSync(TARGET, { recursive: true });
  rmSync(KERNEL, { force: true });
  const headers = headersFolder();
  if (headers === undefined) return 'Node came without its headers';
  try {
    compile(headers);
    return undefined;
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    return code === 'ENOENT' ? 'no C compiler' : (stderr?.toString() ?? String(error)).trim();
  }
}

const missing = build();
if (missing !== undefined) {
  process.stderr.write(
    `Built without the vector kernel of curve25519 (${missing}): libsodium multiplies, more slowly.\n`,
  );
}
