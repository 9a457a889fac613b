/** An analyst's configuration file, as `weir init analyst` writes it, and where its token lies. */
import { join } from 'node:path';
import { z } from 'zod';
import { PartySchema, PublicKeySchema } from '../contracts/contract.ts';

export const AnalystConfigSchema = z.strictObject({
  format: z.literal('weir-analyst/1'),
  party: PartySchema,
  gateway: z.strictObject({
    url: z.url({ protocol: /^https?$/ }),
    /** The gateway's identity key where the analyst has compared its fingerprint. */
    publicKey: PublicKeySchema.optional(),
    caFile: z.string().optional(),
  }),
});
export type AnalystConfig = z.infer<typeof AnalystConfigSchema>;

export function tokenFileOf(directory: string): string {
  return join(directory, 'token');
}
