/** What both parties of a match by VOLE agree on, and what each brings. */
import { ProtocolError } from '../../common/protocol-error.ts';
import type { LinearMap, Primitives } from '../../common/primitives.ts';
import type { PsiChannel } from '../exchange.ts';
import { requireParams, type PsiParams } from '../params.ts';
import type { OpenSpill } from '../spill.ts';
import type {
  OtReceiverCorrelation,
  ReceiverCorrelation,
  SenderCorrelation,
  VoleParams,
} from './correlation.ts';
import { PART_ITEMS_MAX } from './parts.ts';

export interface VolePsiParams extends PsiParams {
  /** Items of a part on average, at most; `PART_ITEMS_MAX` but in tests. */
  readonly partItemsMax: number;
}

/** Vectors travel in chunks of so many elements, outputs likewise: 128 KiB, as points do. */
export const VOLE_CHUNK_ITEMS = 8192;

/** How a party gets its half of a correlation over field elements. */
export interface Correlator {
  readonly words?: false;
  sender(channel: PsiChannel, params: VoleParams): Promise<SenderCorrelation>;
  receiver(channel: PsiChannel, params: VoleParams): Promise<ReceiverCorrelation>;
}

/** How a party gets its half of a correlation over words of 64 bytes: without LPN. */
export interface WordCorrelator {
  readonly words: true;
  sender(
    channel: PsiChannel,
    params: VoleParams,
  ): Promise<{ readonly map: LinearMap; readonly q: Uint8Array }>;
  receiver(
    channel: PsiChannel,
    params: VoleParams,
    vector: Uint8Array,
  ): Promise<OtReceiverCorrelation>;
}

/** What a party brings besides its items. */
export interface VolePsiMachine {
  readonly primitives: Pick<Primitives, 'hash' | 'stream' | 'gf128' | 'okvs'>;
  /** The peer's must be of the same kind. */
  readonly correlator: Correlator | WordCorrelator;
  readonly openSpill: OpenSpill;
  /** Fresh random bytes; fixed only in tests. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** Parts done out of all, for progress. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A party's items: `count` different elements, padded by their owner to a public size. */
export interface ElementSource {
  readonly count: number;
  /** Pieces of whole elements (`ELEMENT_BYTES` each); read once. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** @throws ProtocolError `parameter-invalid` */
export function requireVoleParams(params: VolePsiParams): void {
  requireParams(params);
  if (params.mode !== 'intersection' || params.noiseSlots !== 0) {
    throw new ProtocolError('parameter-invalid', 'the VOLE engine answers intersections only');
  }
  const { partItemsMax } = params;
  if (Number.isInteger(partItemsMax) && partItemsMax >= 1 && partItemsMax <= PART_ITEMS_MAX) return;
  throw new ProtocolError('parameter-invalid', `a part has up to ${PART_ITEMS_MAX} items`);
}

/** Bytes of an item's value under a correlation. */
export function valueBytesOf({ words }: Correlator | WordCorrelator): 16 | 64 {
  return words === true ? 64 : 16;
}
