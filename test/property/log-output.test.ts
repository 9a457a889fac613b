import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lineOutput, WAITING_CHARS_MAX } from '../../src/system/log-output.ts';

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
