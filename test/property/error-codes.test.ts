/** Every code has a place that throws it and a test that provokes it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/errors.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const CODES: readonly string[] = Object.values(ERROR_CODES).flat();
/** Names every code of the table to check the table itself: that provokes nothing. */
const OF_THE_TABLE = ['problem.test.ts', 'error-codes.test.ts'];

function sources(directory: string, isWanted: (name: string) => boolean): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && isWanted(name))
    .map((name) => readFileSync(join(ROOT, directory, name), 'utf8'));
}

/** The codes of a list that stand quoted in none of the texts. */
function unnamed(codes: readonly string[], texts: readonly string[]): string[] {
  const all = texts.join('\n');
  return codes.filter((code) => !all.includes(`'${code}'`));
}

describe('every error code', () => {
  it('has a test that names it', () => {
    const tests = sources('test', (name) => !OF_THE_TABLE.some((own) => name.endsWith(own)));
    // An error that the test makes itself shows how one travels, not what provokes it.
    const expecting = tests.map((text) => text.replaceAll(/Error\(\s*'[a-z-]+'/g, ''));
    expect(unnamed(CODES, expecting)).toEqual([]);
  });

  it('is thrown somewhere', () => {
    const declaring = ['errors.ts', 'gateway/problem-table.ts'];
    const texts = ['src', 'workers', 'protocols'].flatMap((directory) =>
      sources(directory, (name) => !declaring.includes(name)),
    );
    // What a route or a retry policy lists, it does not throw.
    const throwing = texts.map((text) =>
      text.replaceAll(/(?:problems: |PASSING[^[]*)\[[^\]]*\]/g, ''),
    );
    expect(unnamed(CODES, throwing)).toEqual([]);
  });

  it('control: a code that nobody names is found', () => {
    const code = ['no', 'such', 'code'].join('-');
    expect(
      unnamed(
        [code],
        sources('test', () => true),
      ),
    ).toEqual([code]);
  });
});
