/** The README's walk-through, run as it stands: three domains on separate configurations, own CSV. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = new URL('../..', import.meta.url).pathname;
const WEIR = `"${process.execPath}" "${join(ROOT, 'src/cli/weir.cjs')}"`;
const PORT_IN_README = '8471';

/** What a person does by waiting a moment: the next step begins when the program is up. */
const UNTIL_UP = `
until_up() {
  for attempt in $(seq 150); do
    if [ "$1" = gateway ]; then weir domains --dir gateway > up.txt 2>&1 && return
    else weir domain status --dir "$1" > up.txt 2>&1 && grep -q '(connected)' up.txt && return
    fi
    sleep 0.2
  done
  echo "$1 did not come up"; cat up.txt; exit 1
}`;

function walkThrough(): string {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const part = readme
    .split('<!-- walk-through: begin -->')[1]
    ?.split('<!-- walk-through: end -->')[0];
  const blocks = [...(part ?? '').matchAll(/^```bash\n(.*?)^```$/gms)].map(
    (match) => match[1] ?? '',
  );
  expect(blocks.length).toBeGreaterThan(4);
  return blocks
    .join('\n')
    .replaceAll(/^weir (gateway|domain) --dir (\w+) &$/gm, (line, _kind, directory) => {
      return `${line.slice(0, -1)} 2> ${directory}.log &\nuntil_up ${directory}`;
    });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

describe('the README’s walk-through', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-walk-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('ends with a verified result, a metering record, and a revocation that holds', async () => {
    const script = [
      'set -euo pipefail',
      "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT",
      // In a subshell (a background job) it becomes the program itself, so that the trap ends that.
      `weir() { if [ "$BASHPID" = "$$" ]; then ${WEIR} "$@"; else exec ${WEIR} "$@"; fi; }`,
      UNTIL_UP,
      walkThrough().replaceAll(PORT_IN_README, String(await freePort())),
    ].join('\n');
    const shell = spawn('bash', ['-c', script], { cwd: directory });
    let output = '';
    shell.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    shell.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise((resolve) => shell.on('close', resolve));
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(output).toMatch(/signed; the contract is active/);
    expect(output).toMatch(/surgery +60 +210/);
    expect(output).toMatch(/countersigned by harbour, north, south/);
    expect(output).toMatch(/1 +\S+Z +clinic +secure-sum +posted/);
    expect(output).toMatch(/weir: .*revoked/);
    expect(output).toMatch(/refused, as it should be/);
    expect(output).not.toMatch(/ {4}at .*\.js/);
  }, 240_000);
});
