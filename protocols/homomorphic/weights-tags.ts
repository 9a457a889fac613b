/**
 * The check value of weighted sums. Anyone may add to a ciphertext, scale it or put another in its
 * place, and decryption under a wrong key gives garbage without an error. So each output comes
 * three times: as Σ w·x, and twice as Σ w·(f·x) + p with secret factors f and pads p of the run. Whoever
 * does not know f can make no change that both tags agree with, but with probability t^−2; the
 * pads are there so that zero, or the whole times a number, is a change as well.
 */
import type { KeyStream, Primitives } from '../common/primitives.ts';
import { uniformSlots } from './uniform-slots.ts';
import { lengthPrefixed } from '../common/bytes.ts';
import { WEIGHTS_TAGS, weightsParameters, type WeightsPlace } from './weights-params.ts';

const KEY_BYTES = 32;
const LABEL = 'weir/secret-weights/v1/';

/** A tag's secrets, one an output, each uniform in [0, t). */
export interface WeightsTag {
  readonly factors: BigUint64Array<ArrayBuffer>;
  readonly pads: BigUint64Array<ArrayBuffer>;
}

/**
 * The tags of one residue.
 * @param tagKey - known to the holders and the recipient, secret from the gateway.
 */
export function weightsTags(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  place: WeightsPlace,
  tagKey: Uint8Array,
  descriptorHash: Uint8Array,
): readonly WeightsTag[] {
  const { plainModulus } = weightsParameters(place.residue);
  const { outputs } = place.shape;
  // One draw for all outputs, wherever they lie: every ciphertext of a residue reads the same.
  const first = { ...place, index: 0 };
  const stream = weightsStream(primitives, 'tag', tagKey, descriptorHash, first);
  const drawn = uniformSlots(stream, plainModulus, 2 * WEIGHTS_TAGS * outputs);
  return Array.from({ length: WEIGHTS_TAGS }, (_, tag) => {
    const at = 2 * tag * outputs;
    return {
      factors: drawn.slice(at, at + outputs),
      pads: drawn.slice(at + outputs, at + 2 * outputs),
    };
  });
}

/** A key a purpose and residue, a segment a ciphertext: no stream serves twice. */
export function weightsStream(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  purpose: 'share' | 'zero-sum' | 'flood' | 'tag',
  secret: Uint8Array,
  descriptorHash: Uint8Array,
  place: WeightsPlace,
): KeyStream {
  const info = lengthPrefixed([LABEL + purpose, Uint8Array.of(place.residue)]);
  const key = primitives.hash.hkdfSha256(secret, descriptorHash, info, KEY_BYTES);
  return primitives.stream.open(key, place.index);
}
