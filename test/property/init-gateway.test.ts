/** `weir init gateway`, ended half-way and asked again: the keys that were made stay. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { operatorTokenFile } from '../../src/cli/directories.ts';
import { initGateway } from '../../src/cli/init.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-init-'));
const directory = join(root, 'gateway');
const options = { directory, host: '127.0.0.1', port: 8470 };
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('goes on where it was ended, and overwrites no finished directory', async () => {
  const first = await initGateway(options);
  // The configuration is written last: without it the directory counts as not made.
  rmSync(join(directory, 'config.json'));
  rmSync(operatorTokenFile(directory));
  expect(await initGateway(options)).toEqual(first);
  expect(existsSync(operatorTokenFile(directory))).toBe(true);
  await expect(initGateway(options)).rejects.toMatchObject({ code: 'config-invalid' });
});
