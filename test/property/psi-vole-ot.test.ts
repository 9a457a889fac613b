import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { OkvsPrimitive } from '../../protocols/common/primitives.ts';
import { portableVole } from '../../protocols/common/portable-vole.ts';
import { bandShape } from '../../protocols/psi/vole/band.ts';
import { portableOkvs } from '../../protocols/psi/vole/portable-okvs.ts';
import { nativeOkvs } from '../../workers/native-okvs.ts';
import { nativeVole } from '../../workers/native-vole.ts';
import { lpn, runVole, texts, withoutLpn } from '../fixtures/psi-vole.ts';

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const KINDS = ['psi.vole-hello', 'vole.hello', 'vole.choices', 'vole.rows', 'vole.check'];

describe('a match by VOLE without LPN', () => {
  it.each([
    ['both empty', [], [], undefined],
    ['an empty receiver', texts(0, 5), [], undefined],
    ['one equal element', ['x'], ['x'], undefined],
    ['disjoint sets', texts(0, 100), texts(100, 200), undefined],
    ['halves shared', texts(0, 3000), texts(1500, 4500), undefined],
    ['a small set in a large one', texts(50, 53), texts(0, 3000), undefined],
    ['several parts', texts(0, 250), texts(100, 350), 100],
  ])('is exact for %s', async (_name, sender, receiver, partItemsMax) => {
    const { shared, frames } = await runVole(sender, receiver, {
      correlators: [withoutLpn(), withoutLpn()],
      ...(partItemsMax === undefined ? {} : { params: { partItemsMax } }),
    });
    const theirs = new Set(sender);
    expect(shared).toEqual(receiver.filter((item) => theirs.has(item)));
    const kinds = new Set(frames.map(({ kind }) => kind));
    for (const kind of KINDS) expect(kinds).toContain(kind);
    // The vector is hidden in the rows: no masked one follows.
    expect(kinds).not.toContain('psi.vole-masked');
  });

  it('does not start where the peer takes the engine with LPN', async () => {
    for (const correlators of [
      [lpn(), withoutLpn()],
      [withoutLpn(), lpn()],
    ] as const) {
      await expect(runVole(texts(0, 9), texts(0, 9), { correlators })).rejects.toMatchObject({
        code: 'transcript-mismatch',
      });
    }
  });

  it('never repeats an output: another run over the same sets shares none', async () => {
    const seen = new Set<string>();
    for (let run = 0; run < 2; run++) {
      const { frames } = await runVole(texts(0, 200), texts(100, 300), {
        correlators: [withoutLpn(), withoutLpn()],
      });
      const outputs = frames.filter(({ kind }) => kind === 'psi.vole-outputs');
      for (const { payload } of outputs) {
        for (let at = 8; at < payload.length; at += 7) seen.add(hex(payload.subarray(at, at + 7)));
      }
    }
    // 200 items and four canaries a run.
    expect(seen.size).toBe(2 * 204);
  });
});

describe('words in an OKVS', () => {
  const items = 300;
  const shape = { ...bandShape(items), elementBytes: 20, valueBytes: 64 } as const;

  it('the kernel gives what the plain code gives, bit by bit', () => {
    const [key, set, words, map] = [
      bytes(32),
      bytes(20 * items),
      bytes(64 * shape.columns),
      bytes(128 * 64),
    ];
    const outputs = (engine: OkvsPrimitive, vole = nativeVole): string => {
      const table = engine.open(shape);
      table.load(key, [set]);
      table.decodeWords(words);
      table.addImages(vole.openMap(map));
      const out = table.outputs(key, 12);
      expect(table.match(out)).toHaveLength(items);
      table.close();
      return hex(out);
    };
    expect(outputs(nativeOkvs)).toBe(outputs(portableOkvs, portableVole));
  });

  it('need a table that has room for them, and as many as it has columns', () => {
    for (const engine of [nativeOkvs, portableOkvs]) {
      const narrow = engine.open(bandShape(items));
      expect(() => narrow.decodeWords(new Uint8Array(64 * shape.columns))).toThrow(/no room/);
      const wide = engine.open(shape);
      expect(() => wide.decodeWords(new Uint8Array(64))).toThrow(/words/);
      narrow.close();
      wide.close();
    }
  });
});
