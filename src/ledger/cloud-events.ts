/**
 * Metering records as CloudEvents 1.0. `data` is the record's canonical JSON, so that its SHA-256 is
 * what the audit entry carries; `source` and `id` never change, so that a receiver drops repeats.
 * @see CloudEvents 1.0.2, JSON event format §3 and §4 (batch)
 */
import { canonicalHash } from '../system/canonical-json.ts';
import type { MeteringRecord } from './ledger-store.ts';
import { encodeRecord } from './record.ts';

export const EVENT_CONTENT_TYPE = 'application/cloudevents+json; charset=utf-8';
export const EVENT_BATCH_CONTENT_TYPE = 'application/cloudevents-batch+json; charset=utf-8';
const RECORD_EVENT_TYPE = 'weir.metering.record.v1';
/** Digits of the `sequence` extension: equal widths sort as text in the order of the numbers. */
const SEQUENCE_DIGITS = 20;

/** A gateway's `source`: the same for ever, as its ledger is. */
export function eventSource(gatewayKey: string): string {
  return `urn:weir:gateway:${canonicalHash(gatewayKey).slice(0, 32)}`;
}

/** One record as a structured-mode event. */
export function encodeEvent(record: MeteringRecord, source: string): string {
  const envelope = JSON.stringify({
    specversion: '1.0',
    id: record.id,
    source,
    type: RECORD_EVENT_TYPE,
    subject: record.runId ?? record.id,
    time: new Date(record.atMs).toISOString(),
    datacontenttype: 'application/json',
    sequence: String(record.seq).padStart(SEQUENCE_DIGITS, '0'),
  });
  return `${envelope.slice(0, -1)},"data":${encodeRecord(record)}}`;
}

/** A JSON batch; an empty one is `[]`. */
export function encodeEventBatch(records: readonly MeteringRecord[], source: string): string {
  return `[${records.map((record) => encodeEvent(record, source)).join(',')}]`;
}
