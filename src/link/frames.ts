/** The frames of an authenticated link and of its handshake; parsed once, here. */
import { z } from 'zod';
import { HOLDERS_MAX } from '../contracts/contract.ts';
import { ATTEMPTS_MAX } from '../contracts/descriptor.ts';
import { PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import {
  CHUNK_BYTES_MAX,
  CROWDED_WINDOW_BYTES_MIN,
  RUN_INBOX_BYTES_MAX,
  WINDOW_BYTES_MAX,
} from './limits.ts';
import { WireErrorSchema } from './wire-error.ts';

const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const Bytes32 = Bytes.refine((value) => value.length === 32);
const Counter = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

/** The method of a request: lower-case words with dots and hyphens, at most 64 characters. */
const MethodSchema = z.string().regex(/^[a-z][a-z0-9.-]{0,63}$/);
/** The name of a run's message within its protocol. */
export const KindSchema = z.string().min(1).max(64);

const ofRun = { run: RunIdSchema, attempt: z.int().min(1).max(ATTEMPTS_MAX) };
const between = { ...ofRun, from: PartyIdSchema, to: PartyIdSchema };

const RequestSchema = z.strictObject({
  t: z.literal('request'),
  n: Counter,
  id: Counter,
  method: MethodSchema,
  body: z.unknown(),
});
const AnswerSchema = z.strictObject({
  t: z.literal('answer'),
  n: Counter,
  id: Counter,
  body: z.unknown(),
});
const FailureSchema = z.strictObject({
  t: z.literal('failure'),
  n: Counter,
  id: Counter,
  error: WireErrorSchema,
});
const CancelSchema = z.strictObject({ t: z.literal('cancel'), n: Counter, id: Counter });

/** The gateway opens a run; `parties` are its domains, `window` the bytes of each direction's. */
const OpenSchema = z.strictObject({
  t: z.literal('open'),
  n: Counter,
  ...ofRun,
  parties: z.array(PartyIdSchema).min(1).max(HOLDERS_MAX),
  window: z.int().min(CROWDED_WINDOW_BYTES_MIN).max(WINDOW_BYTES_MAX),
});
/** A piece of a message; `count` numbers the pieces from one party to another in one run. */
const DataSchema = z.strictObject({
  t: z.literal('data'),
  n: Counter,
  ...between,
  kind: KindSchema,
  count: Counter,
  last: z.boolean(),
  payload: Bytes.refine((value) => value.length <= CHUNK_BYTES_MAX),
});
/** `from` has read `bytes` of what `to` sent it. */
const CreditSchema = z.strictObject({
  t: z.literal('credit'),
  n: Counter,
  ...between,
  bytes: z.int().min(1).max(RUN_INBOX_BYTES_MAX),
});
const AbortSchema = z.strictObject({
  t: z.literal('abort'),
  n: Counter,
  ...ofRun,
  error: WireErrorSchema,
});
/** `party` has sent and read all it will in this run. */
const DoneSchema = z.strictObject({
  t: z.literal('done'),
  n: Counter,
  ...ofRun,
  party: PartyIdSchema,
});

/** Any frame after the handshake. `n` counts from 0 in each direction, without gaps. */
export const LinkFrameSchema = z.discriminatedUnion('t', [
  RequestSchema,
  AnswerSchema,
  FailureSchema,
  CancelSchema,
  OpenSchema,
  DataSchema,
  CreditSchema,
  AbortSchema,
  DoneSchema,
]);
export type LinkFrame = z.infer<typeof LinkFrameSchema>;
export type FrameOf<T extends LinkFrame['t']> = Extract<LinkFrame, { t: T }>;
export type RunFrame = FrameOf<'open' | 'data' | 'credit' | 'abort' | 'done'>;
export type RpcFrame = FrameOf<'request' | 'answer' | 'failure' | 'cancel'>;

type WithoutNumber<F> = F extends unknown ? Omit<F, 'n'> : never;
/** A frame before the connection numbers it. */
export type FrameBody = WithoutNumber<LinkFrame>;

/** Domain to gateway, first. `binding`: whether the transcript holds the TLS session's exporter. */
export const HelloSchema = z.strictObject({
  t: z.literal('hello'),
  version: z.literal(1),
  party: PartyIdSchema,
  key: Bytes32,
  nonce: Bytes32,
  binding: z.enum(['tls-exporter', 'none']),
});
export type Hello = z.infer<typeof HelloSchema>;
/** Gateway to domain, signed. */
export const ChallengeSchema = z.strictObject({
  t: z.literal('challenge'),
  version: z.literal(1),
  party: PartyIdSchema,
  key: Bytes32,
  nonce: Bytes32,
  signature: Bytes.refine((value) => value.length <= 256),
});
export type Challenge = z.infer<typeof ChallengeSchema>;
/** Domain to gateway: the domain's signature. */
export const ProofSchema = z.strictObject({
  t: z.literal('proof'),
  signature: Bytes.refine((value) => value.length <= 256),
});
export type Proof = z.infer<typeof ProofSchema>;
/** Gateway to domain: authenticated; numbered frames follow in both directions. */
export const WelcomeSchema = z.strictObject({ t: z.literal('welcome') });
