/** Peers: other people's programs that a benchmark runs side by side, each with its own lockfile. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const OUTPUT_BYTES_MAX = 1 << 20;

/** The folder of a peer: beside this file's source, also when this file is the built one. */
function peerDirectory(name: string): string {
  const root = import.meta.url.endsWith('.ts') ? './peers/' : '../../bench/peers/';
  return fileURLToPath(new URL(`${root}${name}/`, import.meta.url));
}

/**
 * Runs `bench/peers/<name>/run.mjs` on the Node that runs this, and parses the JSON it prints. Its
 * packages are installed by its own lockfile the first time.
 */
export async function runPeer(name: string, parameters: readonly string[]): Promise<unknown> {
  const cwd = peerDirectory(name);
  if (!existsSync(`${cwd}node_modules`)) {
    try {
      await execute('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd });
    } catch (cause) {
      throw new Error(
        `The peer ${name} could not be installed: run npm ci in bench/peers/${name}.`,
        {
          cause,
        },
      );
    }
  }
  const { stdout } = await execute(process.execPath, ['run.mjs', ...parameters], {
    cwd,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  return JSON.parse(stdout);
}
