/**
 * Known answers of the sealed sum up to encryption, which draws its own randomness: identifiers,
 * frame headers, and the masked plaintexts of a fixed run. A change here is a change of the engine.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { BgvEncryptor } from '../../protocols/common/bgv.ts';
import { parametersId } from '../../protocols/common/bgv-ciphertext.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import type { SealedVector } from '../../protocols/homomorphic/headroom.ts';
import { residueCount } from '../../protocols/homomorphic/headroom.ts';
import { PLAIN_MODULI, sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { sealFrame } from '../../protocols/homomorphic/party.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { lanesFrom } from '../support/sealed-sum.ts';

const VectorsSchema = z.strictObject({
  source: z.string(),
  parametersIds: z.array(z.string()),
  cases: z.array(
    z.strictObject({
      laneBytes: z.union([z.literal(8), z.literal(16)]),
      minimum: z.string(),
      maximum: z.string(),
      /** A holder's cells, for each holder. */
      holders: z.array(z.array(z.string())),
      /** For each holder and residue: the frame's header and the SHA-256 of the masked plaintext. */
      frames: z.array(z.array(z.strictObject({ header: z.string(), plaintext: z.string() }))),
    }),
  ),
});
const vectors = VectorsSchema.parse(
  JSON.parse(readFileSync(new URL('./sealed-sum.json', import.meta.url), 'utf8')),
);

/** 32 bytes that a name stands for. */
const named = (name: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(name).digest());
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

type Case = z.infer<typeof VectorsSchema>['cases'][number];

function framesOf(
  each: Omit<Case, 'frames'>,
  primitives: typeof nativePrimitives,
): { sums: bigint[][]; frames: Case['frames'] } {
  const [first = []] = each.holders;
  const vector: SealedVector = {
    vector: 3,
    cells: first.length,
    laneBytes: each.laneBytes,
    minimum: BigInt(each.minimum),
    maximum: BigInt(each.maximum),
    addends: each.holders.length,
  };
  const sums = PLAIN_MODULI.slice(0, residueCount(vector)).map(() => first.map(() => 0n));
  const frames = each.holders.map((cells, self) =>
    sums.map((perCell, residue) => {
      let plaintext = new BigUint64Array(0);
      const recorder: BgvEncryptor = {
        encrypt: (slots) => {
          plaintext = slots.slice();
        },
        [Symbol.dispose]: () => undefined,
      };
      const peers = [...each.holders.keys()]
        .filter((peer) => peer !== self)
        .map((peer) => ({
          sign: self < peer ? (1 as const) : (-1 as const),
          secret: named(`pair ${Math.min(self, peer)} ${Math.max(self, peer)}`),
        }));
      const frame = sealFrame(primitives, recorder, {
        place: { vector, residue, frame: 0 },
        lanes: lanesFrom(cells.map(BigInt), each.laneBytes),
        peers,
        tagKey: named('tag key'),
        isFirst: self === 0,
        descriptorHash: named('descriptor'),
      });
      const t = PLAIN_MODULI[residue] ?? 1n;
      for (const cell of perCell.keys())
        perCell[cell] = ((perCell[cell] ?? 0n) + (plaintext[cell] ?? 0n)) % t;
      const digest = createHash('sha256').update(new Uint8Array(plaintext.buffer)).digest('hex');
      return { header: hex(frame.subarray(0, 64)), plaintext: digest };
    }),
  );
  return { sums, frames };
}

describe('sealed sum, known answers', () => {
  it('identifies each parameter set as the library does', () => {
    const ids = PLAIN_MODULI.map((_, index) =>
      hex(parametersId(sealedSumParameters(index), 'data')),
    );
    expect(ids).toEqual(vectors.parametersIds);
  });

  it('gives the same frames, natively and by noble, whose masks cancel', () => {
    expect(vectors.cases.length).toBeGreaterThan(1);
    for (const { frames, ...each } of vectors.cases) {
      const made = framesOf(each, nativePrimitives);
      expect(made.frames).toEqual(frames);
      expect(framesOf(each, noblePrimitives).frames).toEqual(frames);
      for (const [residue, perCell] of made.sums.entries()) {
        const t = PLAIN_MODULI[residue] ?? 1n;
        const expected = perCell.map((_, cell) => {
          const sum = each.holders.reduce((all, cells) => all + BigInt(cells[cell] ?? 0), 0n);
          return ((sum % t) + t) % t;
        });
        expect(perCell).toEqual(expected);
      }
    }
  });
});
