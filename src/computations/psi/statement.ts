/**
 * What a domain of a match tells the recipient, past the gateway: a result encrypted to the
 * recipient, with the run it is of and the party that says so, signed. Without the signature a
 * gateway could make up a result: anyone can encrypt to a public key.
 */
import { z } from 'zod';
import type { Contract } from '../../contracts/contract.ts';
import { openResult, type ResultPlace, sealResult } from '../../contracts/sealed-result.ts';
import { signKeyOf } from '../../contracts/signed-documents.ts';
import { JWS_LENGTH_MAX, signDocument, verifyDocument } from '../../contracts/signing.ts';
import { AbortError } from '../../errors.ts';
import {
  HashSchema,
  PartyIdSchema,
  RunIdSchema,
  type Hash,
  type PartyId,
} from '../../system/ids.ts';
import type { KeyPair } from '../../system/signature-suite.ts';
import type { Release } from '../computation.ts';
import { REVEALED_KEYS_MAX } from './shape.ts';

/** A sealed text's length at most: a kilobyte a revealed key. */
const SEALED_LENGTH_MAX = REVEALED_KEYS_MAX * 1024;
export const STATEMENT_LENGTH_MAX: number = SEALED_LENGTH_MAX + 2 * JWS_LENGTH_MAX;

const StatementSchema = z.strictObject({
  statement: z.strictObject({
    format: z.literal('weir-match/1'),
    runId: RunIdSchema,
    contractHash: HashSchema,
    /** Which request it answers: a gateway numbers runs, so a run's number alone proves little. */
    requestHash: HashSchema,
    /** Of the very descriptor: halves of two runs or attempts give no sum. */
    descriptorHash: HashSchema,
    party: PartyIdSchema,
    /** Compact JWE to the recipient. */
    sealed: z.string().max(SEALED_LENGTH_MAX),
  }),
  /** Detached JWS by the party. */
  jws: z.string().max(JWS_LENGTH_MAX),
});

/** By its length the gateway is not to tell a number that was withheld from one that was not. */
const SIZE_BYTES_MIN = 1024;

/** Exactly which run a statement is of. */
export interface StatementPlace extends ResultPlace {
  readonly requestHash: Hash;
  readonly descriptorHash: Hash;
}

/** What the recipient knows of the run; `requestHash` is absent where another party asked. */
export interface AskedPlace extends ResultPlace {
  readonly requestHash?: Hash;
}

/** A release that only the recipient can read, with this party's word for it, as text. */
export async function encodeStatement(
  place: StatementPlace,
  party: PartyId,
  release: Release,
  recipient: Contract['recipient'],
  identity: KeyPair,
  sizeBytesMin: number = SIZE_BYTES_MIN,
): Promise<string> {
  const { runId, contractHash, requestHash, descriptorHash } = place;
  const sealed = await sealResult({ runId, contractHash }, release, recipient, { sizeBytesMin });
  const statement = {
    format: 'weir-match/1',
    runId,
    contractHash,
    requestHash,
    descriptorHash,
    party,
    sealed,
  };
  return JSON.stringify({ statement, jws: signDocument('weir/match/v1', statement, identity) });
}

/** What a party said, and of which descriptor. */
export interface Statement {
  readonly release: Release;
  readonly descriptorHash: Hash;
}

/**
 * Verifies a statement and opens it.
 * @param party - whose word it must be; its key is in the contract.
 * @throws AbortError `decryption-failed`, `transcript-mismatch`; IdentityError `signature-invalid`
 */
export async function openStatement(
  text: string,
  place: AskedPlace,
  party: PartyId,
  contract: Contract,
  recipient: KeyPair,
): Promise<Statement> {
  const { statement, jws } = parseStatement(text);
  verifyDocument('weir/match/v1', statement, jws, signKeyOf(contract, party), party);
  const { runId, contractHash, requestHash } = place;
  const isOfThisRun =
    statement.runId === runId &&
    statement.contractHash === contractHash &&
    (requestHash === undefined || statement.requestHash === requestHash) &&
    statement.party === party;
  if (!isOfThisRun) throw malformed();
  const { release } = await openResult(statement.sealed, { runId, contractHash }, recipient);
  return { release, descriptorHash: statement.descriptorHash };
}

function parseStatement(text: string): z.infer<typeof StatementSchema> {
  if (text.length > STATEMENT_LENGTH_MAX) throw malformed();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed();
  }
  const parsed = StatementSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw malformed();
}

function malformed(): AbortError {
  return new AbortError('transcript-mismatch', 'A statement of the match is malformed.');
}
