/** What an analyst signs to have a contract run once. */
import { z } from 'zod';
import { ContractIdSchema, HashSchema } from '../system/ids.ts';
import { Bytes32Schema, InstantSchema, PublicKeySchema } from './contract.ts';
import { ArgumentsSchema } from './plan.ts';

/**
 * A request that expires later than this from now is refused, so that after a loss of its memory a
 * domain knows until when a request of before may still come.
 */
export const REQUEST_LIFETIME_MAX_MS = 86_400_000;

export const RunRequestSchema = z.strictObject({
  format: z.literal('weir-request/1'),
  contractId: ContractIdSchema,
  contractHash: HashSchema,
  arguments: ArgumentsSchema,
  /** SHA-256 of the encrypted weights that come with it, where the contract has them. */
  weightsHash: HashSchema.exactOptional(),
  /** 32 random bytes in base64url: every domain remembers it durably until the request expires. */
  nonce: Bytes32Schema,
  expiresAt: InstantSchema,
  /**
   * Fresh X25519 key of the analyst, where it brings a set of its own: with the holder's key of the
   * descriptor it seals the frames between them, past the gateway.
   */
  analystKey: PublicKeySchema.exactOptional(),
});
export type RunRequest = z.infer<typeof RunRequestSchema>;

export const SignedRequestSchema = z.strictObject({
  request: RunRequestSchema,
  /** Detached JWS by the contract's analyst. */
  jws: z.string().max(2048),
});
export type SignedRequest = z.infer<typeof SignedRequestSchema>;
