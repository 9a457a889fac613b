import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { countingFailures, FAILED_OPENINGS_MAX } from '../../src/client/failed-openings.ts';
import { weightedShape } from '../../src/client/weights-sender.ts';
import { parseWeights, weightsTemplate } from '../../src/client/weights-table.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { prepare, type RunCase } from '../support/secure-sum-run.ts';
import { weightedPlan, WEIGHT_TERMS } from '../support/weighted-run.ts';

const CASE: RunCase = {
  groups: [
    ['north', 'a "b", c'],
    ['1', '2'],
  ],
  columns: [{ minimum: 0n, maximum: 100n, scale: 1, squares: false }],
  parts: [[], [], []],
  smallestCell: 3,
  smallestContributors: 1,
  seed: 1,
};
const change: Partial<Contract> = {
  plan: weightedPlan(CASE),
  protocol: {
    name: 'secret-weights',
    weighingKeyHash: HashSchema.parse('0'.repeat(64)),
    weights: WEIGHT_TERMS,
  },
};
const shape = weightedShape(prepare(CASE, {}, change).contract);

describe('a file of weights', () => {
  it('gives each cell its weight, exactly, and nothing to cells it does not list', () => {
    const text = 'g1,n,g0,sum0\r\n2,1.5,north,-10\n(other),0.01,"a ""b"", c",7\n';
    const weights = parseWeights(text, shape);
    const expected = new BigInt64Array(18);
    // Cells are counted by the first group, then the second; each has its (other).
    [expected[1], expected[9 + 1]] = [150n, -1000n];
    [expected[5], expected[9 + 5]] = [1n, 700n];
    expect(weights).toEqual(expected);
  });

  it('may give all measures one column', () => {
    const weights = parseWeights('g0,g1,weight\nnorth,1,2\n', shape);
    expect([weights[0], weights[9]]).toEqual([200n, 200n]);
  });

  it('is read in the time of its lines and labels, not of their product', () => {
    const labels = Array.from({ length: 2000 }, (_, index) => `label ${index}`);
    let looks = 0;
    const counted = new Proxy(labels, {
      get(target, name, receiver) {
        if (typeof name === 'string' && /^\d+$/.test(name)) looks += 1;
        return Reflect.get(target, name, receiver) as unknown;
      },
    });
    const base = {
      ...shape.base,
      groups: [{ column: 'g0', labels: counted }],
      radices: [labels.length + 1],
      cells: labels.length + 1,
    };
    const lines = labels.toReversed().map((label) => `${label},1`);
    const weights = parseWeights(`g0,weight\n${lines.join('\n')}`, { ...shape, base });
    expect(weights.subarray(0, labels.length)).toEqual(new BigInt64Array(labels.length).fill(100n));
    expect(looks).toBeLessThan(4 * labels.length);
  });

  it('is written as a template with every cell, which reads back as nothing', () => {
    const template = weightsTemplate(shape);
    expect(template.split('\n').slice(0, 4)).toEqual([
      'g0,g1,n,sum0',
      'north,1,0,0',
      'north,2,0,0',
      'north,(other),0,0',
    ]);
    expect(template).toContain('"a ""b"", c",1,0,0');
    expect(parseWeights(template, shape)).toEqual(new BigInt64Array(18));
    const filled = template.replace('north,2,0,0', 'north,2,3,4');
    expect(parseWeights(filled, shape)[1]).toBe(300n);
  });

  it('is refused with its line where anything is not as it should be, and no weight is told', () => {
    const bad: readonly (readonly [string, RegExp])[] = [
      ['', /nothing/],
      ['g0,weight\nnorth,1\n', /Line 1 .*no column g1/],
      ['g0,g1,n\nnorth,1,1\n', /Line 1 .*no column weight/],
      ['g0,g1,weight,extra\n', /no column extra/],
      ['g0,g0,g1,weight\n', /g0 is there twice/],
      ['g0,g1,weight\nsouth,1,1\n', /Line 2 .*g0 has no such label/],
      ['g0,g1,weight\nnorth,1,1\nnorth,1,2\n', /Line 3 .*already/],
      ['g0,g1,weight\nnorth,1\n', /Line 2 .*2 fields/],
      ['g0,g1,weight\nnorth,1,1.2345\n', /Line 2 .*2 decimals/],
      ['g0,g1,weight\nnorth,1,10.01\n', /Line 2 .*bound/],
      ['g0,g1,weight\nnorth,1,1e3\n', /Line 2 .*no decimal/],
      ['g0,g1,weight\n"north,1,1\n', /quotes/],
    ];
    for (const [text, message] of bad) {
      expect(() => parseWeights(text, shape), text).toThrow(message);
      expect(() => parseWeights(text, shape)).toThrow(
        expect.objectContaining({ code: 'parameter-invalid' }),
      );
    }
    expect(() => parseWeights('g0,g1,weight\nnorth,1,-987654\n', shape)).not.toThrow(/987654/);
    // The control: the largest weight there may be.
    expect(parseWeights('g0,g1,weight\nnorth,1,-10\n', shape)[0]).toBe(-1000n);
  });
});

describe('a key under which results were changed', () => {
  it('opens no more after a few failures, which are on disk before anyone is told', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weir-failures-'));
    try {
      const failing = (): Promise<never> =>
        Promise.reject(new ProtocolError('decryption-failed', 'changed'));
      const failed = expect.objectContaining({ code: 'decryption-failed' });
      for (let count = 0; count < FAILED_OPENINGS_MAX; count++) {
        // Neither what opens nor what fails for other reasons counts.
        expect(await countingFailures(directory, async () => 'open')).toBe('open');
        const other = new ProtocolError('ciphertext-invalid', 'no ciphertext');
        await expect(countingFailures(directory, () => Promise.reject(other))).rejects.toBe(other);
        await expect(countingFailures(directory, failing)).rejects.toThrow(failed);
      }
      let isOpened = false;
      const opening = countingFailures(directory, async () => {
        isOpened = true;
      });
      const retired = expect.objectContaining({ code: 'key-unreadable' });
      await expect(opening).rejects.toThrow(retired);
      expect(isOpened).toBe(false);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
