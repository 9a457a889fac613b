import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openIsolatedSerializer } from '../../src/query/isolated-serializer.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-parser-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A program in the parser's place: `react` is run on each text. */
function program(name: string, react: string): URL {
  const file = join(directory, `${name}.mjs`);
  writeFileSync(
    file,
    `import fs from 'node:fs';
     const answer = (id, tree, rssBytes = 1) => process.send({ id, tree, rssBytes });
     process.on('message', async ({ id, text }) => { ${react} });
     process.send({ ready: true });`,
  );
  return pathToFileURL(file);
}

describe('the parser in a process of its own', () => {
  it('answers as the parser inside this process does', async () => {
    const isolated = openIsolatedSerializer();
    const inside = await openSerializer();
    try {
      for (const text of ['SELECT 1', 'SELECT', "COPY t TO '/x'", '']) {
        expect(await isolated.serialize(text)).toBe(await inside.serialize(text));
      }
    } finally {
      isolated.close();
      inside.close();
    }
  });

  it('refuses the text that stops it, and only that one', async () => {
    const hangs = program('hangs', "if (text === 'hang') for (;;); answer(id, text);");
    const isolated = openIsolatedSerializer({ program: hangs, parseTimeoutMs: 300 });
    try {
      const answers = await Promise.allSettled(
        ['before', 'hang', 'after'].map((text) => isolated.serialize(text)),
      );
      expect(answers).toMatchObject([
        { status: 'fulfilled', value: 'before' },
        { status: 'rejected', reason: { code: 'query-not-supported' } },
        { status: 'fulfilled', value: 'after' },
      ]);
    } finally {
      isolated.close();
    }
  });

  it('refuses the text that crashes it, and only that one', async () => {
    const crashes = program('crashes', "if (text === 'crash') process.abort(); answer(id, text);");
    const isolated = openIsolatedSerializer({ program: crashes });
    try {
      const answers = await Promise.allSettled(
        ['crash', 'after'].map((text) => isolated.serialize(text)),
      );
      expect(answers).toMatchObject([
        { status: 'rejected', reason: { code: 'query-not-supported' } },
        { status: 'fulfilled', value: 'after' },
      ]);
    } finally {
      isolated.close();
    }
  });

  it('replaces a process that has grown too large', async () => {
    const grows = program('grows', 'answer(id, String(process.pid), 2 ** 40);');
    const isolated = openIsolatedSerializer({ program: grows });
    const stays = openIsolatedSerializer({
      program: program('stays', 'answer(id, String(process.pid));'),
    });
    try {
      expect(await isolated.serialize('x')).not.toBe(await isolated.serialize('x'));
      expect(await stays.serialize('x')).toBe(await stays.serialize('x'));
    } finally {
      isolated.close();
      stays.close();
    }
  });

  it('has no environment and may neither write nor start anything', async () => {
    const tries = program(
      'tries',
      `const can = async (work) => { try { await work(); return true; } catch { return false; } };
       answer(id, JSON.stringify({
         environment: Object.keys(process.env).filter((name) => !name.startsWith('NODE_CHANNEL')),
         reads: await can(() => fs.readFileSync(process.argv[1])),
         writes: await can(() => fs.writeFileSync(text, 'x')),
         starts: await can(async () => (await import('node:child_process')).execSync('true')),
       }));`,
    );
    const isolated = openIsolatedSerializer({ program: tries });
    try {
      const found: unknown = JSON.parse(await isolated.serialize(join(directory, 'written')));
      expect(found).toEqual({ environment: [], reads: true, writes: false, starts: false });
    } finally {
      isolated.close();
    }
  });

  it('takes a bounded number of texts at once, and none once closed', async () => {
    const isolated = openIsolatedSerializer({ program: program('echo', 'answer(id, text);') });
    const answers = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) => isolated.serialize(String(index))),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(64);
    expect(answers.at(-1)).toMatchObject({ reason: { code: 'queue-full' } });
    isolated.close();
    await expect(isolated.serialize('late')).rejects.toMatchObject({ code: 'queue-full' });
  });
});
