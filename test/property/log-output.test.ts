import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lineOutput, WAITING_CHARS_MAX } from '../../src/system/log-output.ts';

/** Before any line was written. */
const othersListening = process.listenerCount('exit');
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-lines-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function written(file: string, length: number): Promise<string> {
  for (;;) {
    const text = readFileSync(file, 'utf8');
    if (text.length >= length) return text;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the output of log lines', () => {
  it('keeps every line, in order', async () => {
    const file = join(directory, 'log');
    const fd = openSync(file, 'a');
    const output = lineOutput(fd);
    const lines = Array.from({ length: 2000 }, (_, index) => `line ${index} 行\n`);
    for (const line of lines) output.write(line);
    expect(await written(file, lines.join('').length)).toBe(lines.join(''));
    closeSync(fd);
  });

  it('listens for the process’s exit once, however many there are, and while something waits', async () => {
    const files = Array.from({ length: 20 }, (_, index) => join(directory, `one-of-${index}`));
    const fds = files.map((file) => openSync(file, 'a'));
    for (const output of fds.map((fd) => lineOutput(fd))) output.write('line\n');
    expect(process.listenerCount('exit')).toBe(othersListening + 1);
    for (const file of files) expect(await written(file, 5)).toBe('line\n');
    while (process.listenerCount('exit') > othersListening) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const fd of fds) closeSync(fd);
  });

  it('writes at the exit what still waits then, to each file its own', () => {
    const files = Array.from({ length: 12 }, (_, index) => join(directory, `exit-${index}`));
    const full = existsSync('/dev/full') ? ['/dev/full'] : [];
    const program = `
      import { openSync } from 'node:fs';
      import { lineOutput } from ${JSON.stringify(new URL('../../src/system/log-output.ts', import.meta.url).href)};
      // One that cannot be written must not keep the others from it.
      for (const file of ${JSON.stringify([...full, ...files])}) {
        const output = lineOutput(openSync(file, 'a'));
        output.write('on its way\\n');
        output.write('waits for ' + file + '\\n');
      }
      process.exit(3);`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect([child.status, child.stderr]).toEqual([3, '']);
    for (const file of files) expect(readFileSync(file, 'utf8')).toContain(`waits for ${file}\n`);
  });

  it.skipIf(!existsSync('/dev/full'))(
    'drops what cannot be written, and throws nothing',
    async () => {
      const fd = openSync('/dev/full', 'w');
      const output = lineOutput(fd);
      for (let round = 0; round < 3; round += 1) {
        expect(() => output.write('lost\n')).not.toThrow();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      closeSync(fd);
    },
  );

  it('drops lines beyond what may wait, the first one aside, which is being written', async () => {
    const file = join(directory, 'flood');
    const fd = openSync(file, 'a');
    const output = lineOutput(fd);
    const line = `${'x'.repeat(WAITING_CHARS_MAX / 4 - 1)}\n`;
    for (let count = 0; count < 10; count += 1) output.write(line);
    expect((await written(file, 5 * line.length)).length).toBe(5 * line.length);
    closeSync(fd);
  });
});
