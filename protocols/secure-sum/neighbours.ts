/**
 * Who shares a mask with whom. Up to 64 parties every pair does. Beyond, each party has k
 * neighbours on a circle of all parties in random order: k/2 before it and k/2 after it.
 *
 * Two honest parties with fewer than k/2 colluders between them on the circle are neighbours. So the
 * honest ones fall apart only if the circle has two gaps of at least k/2 colluders in a row; with at
 * most half of the n parties colluding that happens with probability below n²/2 · 2^−k, which the
 * degree keeps below 2^−40. While they hang together, nothing but the sum of all of them shows.
 *
 * The order is drawn from nonces that all parties committed to before any was shown: whoever reveals
 * last cannot choose it, only abort (a descriptor has at most 8 attempts).
 * @see Bell et al., Secure Single-Server Aggregation with (Poly)Logarithmic Overhead, CCS 2020, §3
 */
import { equalBytes, lengthPrefixed, viewOf } from '../common/bytes.ts';
import type { HashPrimitive, StreamPrimitive } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { COMPLETE_GRAPH_MAX, LABELS, NEIGHBOUR_SECURITY_BITS } from './params.ts';

/** How many parties each one shares a mask with. */
export function degreeOf(parties: number): number {
  if (parties <= COMPLETE_GRAPH_MAX) return parties - 1;
  const bits = NEIGHBOUR_SECURITY_BITS + 2 * Math.log2(parties) - 1;
  return 2 * Math.ceil(bits / 2);
}

/** A party's commitment to its nonce; bound to the run and to the party, so nobody can copy it. */
export function commitTo(
  hash: Pick<HashPrimitive, 'sha256'>,
  descriptorHash: Uint8Array,
  partyIndex: number,
  nonce: Uint8Array,
): Uint8Array {
  const index = new Uint8Array(2);
  viewOf(index).setUint16(0, partyIndex);
  return hash.sha256(lengthPrefixed([LABELS.commitment, descriptorHash, index, nonce]));
}

/**
 * The seed of the order, from every party's nonce.
 * @throws ProtocolError `transcript-mismatch` where a nonce is not the one committed to.
 */
export function graphSeed(
  hash: Pick<HashPrimitive, 'sha256'>,
  descriptorHash: Uint8Array,
  commitments: readonly Uint8Array[],
  nonces: readonly Uint8Array[],
): Uint8Array {
  for (const [index, commitment] of commitments.entries()) {
    const nonce = nonces[index] ?? new Uint8Array();
    if (!equalBytes(commitTo(hash, descriptorHash, index, nonce), commitment)) {
      throw new ProtocolError('transcript-mismatch', `party ${index} shows another nonce`);
    }
  }
  return hash.sha256(lengthPrefixed([LABELS.graph, descriptorHash, ...nonces]));
}

/** The parties `selfIndex` shares a mask with, ascending. */
export function neighboursOf(
  stream: StreamPrimitive,
  parties: number,
  selfIndex: number,
  seed: Uint8Array | undefined,
): readonly number[] {
  const all = Array.from({ length: parties }, (_, index) => index);
  if (parties <= COMPLETE_GRAPH_MAX) return all.filter((index) => index !== selfIndex);
  if (seed === undefined) {
    throw new ProtocolError('parameter-invalid', 'so many parties need an agreed order');
  }
  const order = shuffled(stream, all, seed);
  const place = order.indexOf(selfIndex);
  const neighbours = new Set<number>();
  for (let step = 1; step <= degreeOf(parties) / 2; step++) {
    for (const at of [place + step, place - step + parties]) {
      neighbours.add(order[at % parties] ?? selfIndex);
    }
  }
  return [...neighbours].toSorted((a, b) => a - b);
}

/** Fisher–Yates with rejection, so that every order is equally likely. */
function shuffled(stream: StreamPrimitive, items: readonly number[], seed: Uint8Array): number[] {
  const order = [...items];
  const keyStream = stream.open(seed, 0);
  for (let last = order.length - 1; last > 0; last--) {
    const other = below(last + 1, () => viewOf(keyStream.next(16)).getUint32(0));
    [order[last], order[other]] = [order[other] ?? 0, order[last] ?? 0];
  }
  return order;
}

function below(bound: number, draw: () => number): number {
  const limit = 2 ** 32 - (2 ** 32 % bound);
  let value = draw();
  while (value >= limit) value = draw();
  return value % bound;
}
