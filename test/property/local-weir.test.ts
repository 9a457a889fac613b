/** The analyst's token of `weir up`: made anew before it ends, and after a start that a crash cut short. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { isTokenDue } from '../../src/cli/local-weir.ts';

const DAY_MS = 86_400_000;
const directory = mkdtempSync(join(tmpdir(), 'weir-token-'));
afterAll(() => rmSync(directory, { recursive: true }));

it('is due where there is none, and again after half its month', () => {
  const file = join(directory, 'token');
  const now = Date.now();
  expect(isTokenDue(file, now)).toBe(true);
  writeFileSync(file, 'token');
  expect(isTokenDue(file, now)).toBe(false);
  const daysAgo = (days: number): void =>
    utimesSync(file, now / 1000, (now - days * DAY_MS) / 1000);
  daysAgo(14);
  expect(isTokenDue(file, now)).toBe(false);
  daysAgo(16);
  expect(isTokenDue(file, now)).toBe(true);
});
