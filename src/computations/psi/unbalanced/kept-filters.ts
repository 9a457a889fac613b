/** Filters between runs: the sender's own with its key, the receiver's copy of it. */
import { z } from 'zod';
import { blindingSecret, SECRET_BYTES } from '../../../../protocols/psi/blind.ts';
import { equalBytes } from '../../../../protocols/common/bytes.ts';
import { ProtocolError } from '../../../../protocols/common/protocol-error.ts';
import {
  buildFilter,
  FilterDigest,
  filterPieces,
  type BuiltFilter,
  type OprfMachine,
} from '../../../../protocols/psi/unbalanced/own-filter.ts';
import type { PsiParams } from '../../../../protocols/psi/params.ts';
import type { KeptFilter } from '../../../../protocols/psi/unbalanced/receiver.ts';
import type { OwnFilter } from '../../../../protocols/psi/unbalanced/sender.ts';
import type { Hash } from '../../../system/ids.ts';
import type { Precomputed } from './precomputed.ts';

const OWN_KEY = 'oprf-key';
const OWN_FACTS = 'oprf-filter';
const PEER_DIGEST = 'oprf-peer-filter';
const ownPiece = (index: number): string => `${OWN_FACTS}/${index}`;
const peerPiece = (index: number): string => `${PEER_DIGEST}/${index}`;

/** Written last: where it stands, key and pieces are whole. */
const FactsSchema = z.strictObject({
  items: z.int().min(1),
  outputBits: z.int().min(1),
  keys: z.int().min(0),
  digest: z.base64(),
});

/** What a filter of the own set is made of. */
export interface FilterMaking {
  readonly precomputed: Precomputed;
  /** Of the own dataset. */
  readonly version: Hash;
  readonly params: PsiParams;
  readonly machine: OprfMachine;
  /** Digests of the own join keys, read only where the filter is to be made. */
  readonly digests: () => AsyncIterable<Uint8Array>;
  readonly onBuilt: (built: BuiltFilter) => void;
}

/** With how many items with a key it was made of. */
export interface KeptOwnFilter extends OwnFilter {
  readonly keys: number;
}

/**
 * The filter of this contract and version: the kept one, or a new one under a new key. A crash while it
 * is made leaves no facts, so the next run begins again, with another key.
 */
export function ownFilter(making: FilterMaking): Promise<KeptOwnFilter> {
  const { precomputed, version } = making;
  return precomputed.alone(async () => {
    await precomputed.keepOnly([version]);
    const kept = await keptFilter(making);
    return kept ?? makeFilter(making);
  });
}

async function keptFilter(making: FilterMaking): Promise<KeptOwnFilter | undefined> {
  const { precomputed, version } = making;
  const facts = await precomputed.read(version, OWN_FACTS);
  const key = await precomputed.read(version, OWN_KEY);
  if (facts === undefined || key === undefined) return undefined;
  const parsed = FactsSchema.safeParse(JSON.parse(Buffer.from(facts).toString('utf8')));
  // A purge that a crash cut short may have written over the key and left the rest.
  const isKey = key.length === SECRET_BYTES && equalBytes(key, blindingSecret(key));
  if (!parsed.success || !isKey) return undefined;
  const { items, outputBits, keys, digest } = parsed.data;
  return withPieces(making, key, {
    keys,
    shape: { items, outputBits },
    digest: new Uint8Array(Buffer.from(digest, 'base64')),
  });
}

async function makeFilter(making: FilterMaking): Promise<KeptOwnFilter> {
  const { precomputed, version, params, machine, digests } = making;
  const key = blindingSecret(machine.randomBytes(SECRET_BYTES));
  await precomputed.write(version, OWN_KEY, key);
  const keep = (index: number, piece: Uint8Array): Promise<void> =>
    precomputed.write(version, ownPiece(index), piece);
  const built = await buildFilter(params, machine, digests(), key, keep);
  const { shape, items: keys, digest } = built;
  const facts = { ...shape, keys, digest: Buffer.from(digest).toString('base64') };
  await precomputed.write(version, OWN_FACTS, Buffer.from(JSON.stringify(facts)));
  making.onBuilt(built);
  return withPieces(making, key, { keys, shape, digest });
}

function withPieces(
  { precomputed, version, machine }: FilterMaking,
  key: Uint8Array,
  { keys, shape, digest }: Pick<KeptOwnFilter, 'keys' | 'shape' | 'digest'>,
): KeptOwnFilter {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    const digested = new FilterDigest(machine.oprf);
    for (let index = 0; index < filterPieces(shape); index++) {
      const piece = (await precomputed.read(version, ownPiece(index))) ?? new Uint8Array(0);
      digested.add(piece);
      yield piece;
    }
    if (equalBytes(digested.finish(), digest)) return;
    // The disk gave back something else: made anew by the next run, under another key.
    await precomputed.keepOnly([]);
    throw new ProtocolError('encoding-failed', 'the own filter is not what it was');
  };
  return { key, keys, shape, digest, pieces };
}

/**
 * The receiver's copy. Its pieces are written before its digest, so a copy that a crash cut short is
 * none; should the sender have made another one of this version, that replaces it. Pieces are written
 * over and not removed first: another run of the contract may be at work on the same ones.
 * @param version - of the peer's dataset, as its signed words for the run have it.
 */
export function peerFilter(precomputed: Precomputed, version: Hash): KeptFilter {
  return {
    async digest() {
      await precomputed.keepOnly([version]);
      const digest = await precomputed.read(version, PEER_DIGEST);
      return digest?.length === 0 ? undefined : digest;
    },
    begin: () => precomputed.write(version, PEER_DIGEST, new Uint8Array(0)),
    keep: (index, piece) => precomputed.write(version, peerPiece(index), piece),
    complete: (digest) => precomputed.write(version, PEER_DIGEST, digest),
    piece: async (index) =>
      (await precomputed.read(version, peerPiece(index))) ?? new Uint8Array(0),
  };
}
