/** SIGKILL in the middle of group commits; `npm run test:kill` does many more rounds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { killRounds } from '../kill/kill-rounds.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-kill-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const options = (mode: 'honest' | 'early') => ({
  kind: 'sqlite' as const,
  place: join(directory, `${mode}.db`),
  mode,
  random: Math.random,
});

describe('a killed ledger', () => {
  it('has everything it acknowledged, once', async () => {
    const report = await killRounds({ ...options('honest'), rounds: 4 });
    expect(report.lost).toEqual([]);
    expect(report.broken).toEqual([]);
    expect(report.acknowledgements).toBeGreaterThan(50);
  });

  it('is caught when it acknowledges before the store did', async () => {
    const report = await killRounds({ ...options('early'), rounds: 20 });
    expect(report.lost.length).toBeGreaterThan(0);
    expect(report.broken).toEqual([]);
  });
});
