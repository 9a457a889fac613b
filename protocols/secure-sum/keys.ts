/** Every key of a run, from the parties' fresh X25519 keys, the first party's seed and the descriptor. */
import { lengthPrefixed, viewOf } from '../common/bytes.ts';
import { reduceWord } from '../common/field61.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { neighboursOf } from './neighbours.ts';
import { KEY_BYTES, LABELS, PARTIES_MAX, PARTIES_MIN, type Layout } from './params.ts';

/** A party of the descriptor, in the descriptor's order. */
export interface KeyedParty {
  readonly id: string;
  /** X25519, fresh for this run and attempt. */
  readonly ephemeralKey: Uint8Array;
}

/** What two parties share: one of them adds what it expands to, the other subtracts it. Secret. */
export interface PairSecret {
  readonly sign: 1 | -1;
  readonly secret: Uint8Array;
}

/** The key of one stream, with the sign this party takes it at. Secret. */
export interface MaskKey {
  readonly sign: 1 | -1;
  readonly key: Uint8Array;
}

/** For each vector of a round, the streams a party masks it with. */
export type RoundKeys = readonly (readonly MaskKey[])[];

/** What a party needs to derive everything; `seed` is the first party's, `ephemeralSecret` its own. */
export interface SessionSecrets {
  readonly descriptorHash: Uint8Array;
  readonly parties: readonly KeyedParty[];
  readonly selfIndex: number;
  readonly ephemeralSecret: Uint8Array;
  readonly seed: Uint8Array;
  /** What the neighbours are drawn from; needed beyond 64 parties. */
  readonly graphSeed?: Uint8Array | undefined;
}

/** A party's keys of a run. Secret. */
export interface SessionKeys {
  /** Round 1's streams; the first party's include the output mask. */
  readonly counts: RoundKeys;
  /** What takes the output mask off the totals. */
  readonly open: RoundKeys;
  /** α of each counted vector, 8 bytes each. */
  readonly factors: readonly Uint8Array[];
  readonly measures: RoundKeys;
}

/**
 * Every key of a run for one party.
 *
 * Secret: `ephemeralSecret`, `seed` and the result, dropped when the run ends.
 * @throws ProtocolError as `pairSecrets`.
 */
export function sessionKeys(
  primitives: Pick<Primitives, 'hash' | 'stream' | 'x25519'>,
  secrets: SessionSecrets,
  counts: Layout,
  measures: Layout,
): SessionKeys {
  const { descriptorHash, seed } = secrets;
  const pairs = pairSecrets(primitives, secrets);
  const masks = roundKeys(primitives, descriptorHash, counts, pairs);
  const output = outputKeys(primitives, descriptorHash, counts, seed, 1);
  return {
    counts:
      secrets.selfIndex === 0
        ? masks.map((keys, vector) => [...keys, ...(output[vector] ?? [])])
        : masks,
    open: outputKeys(primitives, descriptorHash, counts, seed, -1),
    factors: tagFactors(primitives, descriptorHash, counts, seed),
    measures: roundKeys(primitives, descriptorHash, measures, pairs),
  };
}

/**
 * This party's secret with every neighbour: HKDF-SHA256 over the X25519 secret, salted with the
 * descriptor's hash, bound to both names and keys. The earlier party adds, the later subtracts.
 *
 * Secret: `ephemeralSecret` and the result, dropped when the run ends.
 * @throws ProtocolError `parameter-invalid` for an impossible party list; `set-too-large` beyond
 *   256 parties; `point-invalid` for a low-order key.
 * @see Bonawitz et al., Practical Secure Aggregation, CCS 2017, §4
 */
export function pairSecrets(
  primitives: Pick<Primitives, 'hash' | 'stream' | 'x25519'>,
  secrets: Omit<SessionSecrets, 'seed'>,
): readonly PairSecret[] {
  checkParties(primitives, secrets);
  const { descriptorHash, parties, selfIndex, ephemeralSecret } = secrets;
  const pairs: PairSecret[] = [];
  const neighbours = neighboursOf(primitives.stream, parties.length, selfIndex, secrets.graphSeed);
  for (const index of neighbours) {
    const peer = parties[index];
    if (peer === undefined) continue;
    const [first, second] = index < selfIndex ? [index, selfIndex] : [selfIndex, index];
    const info = lengthPrefixed([LABELS.pair, ...bound(parties[first]), ...bound(parties[second])]);
    const shared = primitives.x25519.sharedSecret(ephemeralSecret, peer.ephemeralKey);
    const secret = primitives.hash.hkdfSha256(shared, descriptorHash, info, KEY_BYTES);
    shared.fill(0);
    pairs.push({ sign: selfIndex === first ? 1 : -1, secret });
  }
  return pairs;
}

/** The streams of a round: a key a pair, round and vector, so that no stream serves twice. */
export function roundKeys(
  primitives: Pick<Primitives, 'hash'>,
  descriptorHash: Uint8Array,
  layout: Layout,
  pairs: readonly PairSecret[],
): RoundKeys {
  return layout.vectors.map((_, vector) =>
    pairs.map(({ sign, secret }) => ({
      sign,
      key: vectorKey(primitives, descriptorHash, secret, LABELS.mask, layout.round, vector),
    })),
  );
}

/**
 * The output mask of round 1, which all domains and nobody else can take off again: the first
 * party adds it (+1), a party that opens the totals subtracts it (−1).
 */
export function outputKeys(
  primitives: Pick<Primitives, 'hash'>,
  descriptorHash: Uint8Array,
  layout: Layout,
  seed: Uint8Array,
  sign: 1 | -1,
): RoundKeys {
  return layout.vectors.map((_, vector) => [
    {
      sign,
      key: vectorKey(primitives, descriptorHash, seed, LABELS.output, layout.round, vector),
    },
  ]);
}

/**
 * α of each vector that a tag covers: non-zero elements of GF(2^61−1) from the seed. Secret: who
 * knows them can shift a count and its tag together.
 */
export function tagFactors(
  primitives: Pick<Primitives, 'hash'>,
  descriptorHash: Uint8Array,
  layout: Layout,
  seed: Uint8Array,
): readonly Uint8Array[] {
  return layout.vectors.slice(0, -1).map((_, vector) => {
    const label = LABELS.factor;
    const key = vectorKey(primitives, descriptorHash, seed, label, layout.round, vector);
    const word = viewOf(key);
    const element = reduceWord(
      word.getUint32(0, true),
      word.getUint32(4, true),
      word.getUint32(8, true),
      word.getUint32(12, true),
    );
    const factor = new Uint8Array(8);
    const isZero = element.low === 0 && element.high === 0;
    viewOf(factor).setUint32(0, isZero ? 1 : element.low, true);
    viewOf(factor).setUint32(4, element.high, true);
    return factor;
  });
}

function vectorKey(
  primitives: Pick<Primitives, 'hash'>,
  descriptorHash: Uint8Array,
  secret: Uint8Array,
  label: string,
  round: number,
  vector: number,
): Uint8Array {
  const info = lengthPrefixed([label, Uint8Array.of(round, vector)]);
  return primitives.hash.hkdfSha256(secret, descriptorHash, info, KEY_BYTES);
}

function bound(party: KeyedParty | undefined): [string, Uint8Array] {
  if (party === undefined) throw new ProtocolError('parameter-invalid', 'no such party');
  return [party.id, party.ephemeralKey];
}

function checkParties(
  primitives: Pick<Primitives, 'x25519'>,
  { parties, selfIndex, ephemeralSecret }: Omit<SessionSecrets, 'seed'>,
): void {
  if (parties.length > PARTIES_MAX) {
    throw new ProtocolError('set-too-large', `at most ${PARTIES_MAX} parties`);
  }
  const self = parties[selfIndex];
  if (parties.length < PARTIES_MIN || self === undefined) {
    throw new ProtocolError('parameter-invalid', `at least ${PARTIES_MIN} parties, self included`);
  }
  const keys = new Set(parties.map(({ ephemeralKey }) => ephemeralKey.join()));
  const names = new Set(parties.map(({ id }) => id));
  if (keys.size !== parties.length || names.size !== parties.length) {
    throw new ProtocolError('parameter-invalid', 'a party or a key is listed twice');
  }
  if (primitives.x25519.publicKey(ephemeralSecret).join() !== self.ephemeralKey.join()) {
    throw new ProtocolError('parameter-invalid', 'the descriptor lists another key for this party');
  }
}
