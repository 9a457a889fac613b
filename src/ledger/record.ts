/**
 * A metering record's canonical JSON. Sequence number and quota left are known only inside the
 * transaction, so a draft is encoded in pieces around them: the store (in a thread, or in
 * PostgreSQL) splices strings and hashes, and needs no canonical encoder.
 */
import { hash as digest } from 'node:crypto';
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';
import { canonicalText } from '../system/canonical-json.ts';
import type { ContractId, Hash, PartyId, RunId } from '../system/ids.ts';
import type { MeteringRecord, RecordDraft, RecordOutcome } from './ledger-store.ts';

/** Every dimension, in the order of its columns and of canonical JSON. */
export const DIMENSIONS: readonly Dimension[] = [
  'bytes',
  'compute-milli-units',
  'micro-rho',
  'padded-items',
  'rows',
  'runs',
];

/** Member names sort as head < quotaLeft < middle < seq < supersedes < tail. */
export interface RecordPieces {
  /** `{"analyst":… ,"protocol":…,` */
  readonly head: string;
  /** `,"receiptHash":…,"runId":…,` */
  readonly middle: string;
  /** `,"units":{…}}` */
  readonly tail: string;
}

/** A draft in pieces. @throws InputError `malformed-message` where a text is no valid Unicode. */
export function encodePieces(draft: RecordDraft): RecordPieces {
  const head = inOrder({
    analyst: draft.analyst,
    atMs: draft.atMs,
    chargeMicros: String(draft.chargeMicros),
    code: draft.code,
    contractId: draft.contractId,
    currency: draft.currency,
    datasets: draft.datasets.map(({ name, fingerprint }) => ({ fingerprint, name })),
    holders: draft.holders,
    id: draft.id,
    outcome: draft.outcome,
    protocol: draft.protocol,
  });
  const middle = inOrder({ receiptHash: draft.receiptHash, runId: draft.runId });
  const inner = middle.slice(1, -1);
  return {
    head: `${head.slice(0, -1)},`,
    middle: inner === '' ? ',' : `,${inner},`,
    tail: `,"units":${encodeUnits(draft.units)}}`,
  };
}

/** The record's canonical JSON. */
export function joinPieces(
  pieces: RecordPieces,
  quotaLeft: Readonly<Record<string, Units>>,
  seq: bigint,
  supersedes: bigint | undefined,
): string {
  const left = `"quotaLeft":${encodeUnits(quotaLeft)}`;
  const replaced = supersedes === undefined ? '' : `,"supersedes":"${supersedes}"`;
  return `${pieces.head}${left}${pieces.middle}"seq":"${seq}"${replaced}${pieces.tail}`;
}

/** A whole record's canonical JSON. */
export function encodeRecord(record: MeteringRecord): string {
  return joinPieces(encodePieces(record), record.quotaLeft, record.seq, record.supersedes);
}

/** SHA-256 over the record's canonical JSON: what its audit leaf carries. */
export function recordHash(document: string): Hash {
  return digest('sha256', document, 'hex') as Hash;
}

/** The audit entry of a record: the caller's entry, bound to the record by number and hash. */
export function bindEntry(encodedEntry: string, seq: bigint, document: Hash): string {
  // `record` sorts after `kind`, the last member of an entry, so this is canonical too.
  return `${encodedEntry.slice(0, -1)},"record":{"hash":"${document}","seq":"${seq}"}}`;
}

/** A stored record. @throws InvariantError where it is not what this module wrote. */
export function parseRecord(document: string): MeteringRecord {
  const raw = JSON.parse(document) as Record<string, unknown>;
  const text = (name: string): string => {
    const value = raw[name];
    assertInvariant(typeof value === 'string', `a stored record has ${name}`);
    return value;
  };
  const maybe = (name: string): string | undefined =>
    raw[name] === undefined ? undefined : text(name);
  const supersedes = maybe('supersedes');
  const datasets = raw['datasets'] as readonly { name: string; fingerprint?: string }[];
  assertInvariant(
    typeof raw['atMs'] === 'number' && Array.isArray(datasets),
    'a stored record is whole',
  );
  return {
    seq: BigInt(text('seq')),
    id: text('id'),
    atMs: raw['atMs'],
    analyst: text('analyst') as PartyId,
    holders: raw['holders'] as readonly PartyId[],
    contractId: maybe('contractId') as ContractId | undefined,
    runId: maybe('runId') as RunId | undefined,
    protocol: maybe('protocol'),
    datasets: datasets.map(({ name, fingerprint }) => ({ name, fingerprint })),
    outcome: text('outcome') as RecordOutcome,
    code: maybe('code'),
    units: parseUnits(raw['units']),
    chargeMicros: BigInt(text('chargeMicros')),
    currency: text('currency'),
    quotaLeft: parseUnits(raw['quotaLeft']),
    receiptHash: maybe('receiptHash') as Hash | undefined,
    ...(supersedes === undefined ? {} : { supersedes: BigInt(supersedes) }),
  };
}

function encodeUnits(units: Readonly<Record<string, Units | undefined>>): string {
  const names = Object.keys(units).sort();
  return inOrder(Object.fromEntries(names.map((name) => [name, decimal(units[name])])));
}

function decimal(units: Units | undefined): string | undefined {
  return units === undefined ? undefined : String(units);
}

function parseUnits(value: unknown): Readonly<Record<string, Units>> {
  assertInvariant(typeof value === 'object' && value !== null, 'stored units are an object');
  return Object.fromEntries(
    Object.entries(value).map(([name, units]) => [name, BigInt(units as string) as Units]),
  );
}

/** A lone surrogate comes out of JSON.stringify as an escape, where canonical JSON has an error. */
const MAYBE_LONE_SURROGATE = /\\ud[89a-f]/;

/**
 * The canonical JSON of a value whose members already stand in the order of their names: then
 * JSON.stringify writes it as RFC 8785 does, in a fraction of the time. Absent members are left out.
 * @throws InputError `malformed-message` for a lone surrogate.
 */
function inOrder(value: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(value);
  return MAYBE_LONE_SURROGATE.test(text) ? canonicalText(JSON.parse(text)) : text;
}
