/**
 * The run descriptor: everything the parties must agree on before data moves. Every party signs
 * it and verifies all signatures; its hash keys every derivation of the run.
 */
import { z } from 'zod';
import { HashSchema, PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import { HOLDERS_MAX, PublicKeySchema } from './contract.ts';
import { DescriptorNoiseSchema } from './noise.ts';
import { ArgumentsSchema } from './plan.ts';

export const ATTEMPTS_MAX = 8;

export const DescriptorPartySchema = z.strictObject({
  id: PartyIdSchema,
  /** Fresh X25519 key of this party for this run and attempt. */
  ephemeralKey: PublicKeySchema,
  datasetFingerprint: HashSchema,
});

export const DescriptorSchema = z.strictObject({
  format: z.literal('weir-descriptor/1'),
  runId: RunIdSchema,
  attempt: z.int().min(1).max(ATTEMPTS_MAX),
  contractHash: HashSchema,
  requestHash: HashSchema,
  protocol: z.enum(['secure-sum', 'sealed-sum', 'secret-weights', 'psi', 'psi-own-set']),
  arguments: ArgumentsSchema,
  /** Exactly the parties of this run, sorted by id. */
  parties: z.array(DescriptorPartySchema).min(1).max(HOLDERS_MAX),
  /** SHA-256 of the contract's dictionaries in canonical form. */
  dictionariesHash: HashSchema,
  shape: z.strictObject({ cells: z.int().min(1), lanes: z.int().min(1) }),
  noise: DescriptorNoiseSchema,
  engine: z.string().max(64),
});
export type Descriptor = z.infer<typeof DescriptorSchema>;

/** A party's own words on a run, before the descriptor exists: its key and its dataset's version. */
export const RunKeySchema = z.strictObject({
  format: z.literal('weir-run-key/1'),
  runId: RunIdSchema,
  attempt: z.int().min(1).max(ATTEMPTS_MAX),
  contractHash: HashSchema,
  requestHash: HashSchema,
  party: DescriptorPartySchema,
});
export type RunKey = z.infer<typeof RunKeySchema>;

export const SignedRunKeySchema = z.strictObject({
  runKey: RunKeySchema,
  /** Detached JWS by the party. */
  jws: z.string().max(2048),
});
export type SignedRunKey = z.infer<typeof SignedRunKeySchema>;

export const DescriptorSignatureSchema = z.strictObject({
  party: PartyIdSchema,
  /** Detached JWS over the descriptor. */
  jws: z.string().max(2048),
});
export type DescriptorSignature = z.infer<typeof DescriptorSignatureSchema>;
