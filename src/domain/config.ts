/** A domain's configuration file, as `weir init domain` writes it and its officer edits it. */
import { z } from 'zod';
import { PublicKeySchema } from '../contracts/contract.ts';
import { PartyIdSchema } from '../system/ids.ts';
import { DEFAULT_ENGINE_LIMITS } from './sources/engine-limits.ts';

/** Processes of one gateway that a domain links to. */
const GATEWAY_ADDRESSES_MAX = 16;

const Text = z.string().min(1).max(200);

export const DomainConfigSchema = z.strictObject({
  format: z.literal('weir-domain/1'),
  party: PartyIdSchema,
  name: z.strictObject({ zh: Text, en: Text }),
  gateway: z.strictObject({
    /** http:// or https://; beyond loopback only https is accepted. */
    url: z.url({ protocol: /^https?$/ }),
    /** The gateway's identity key, pinned at enrolment. */
    publicKey: PublicKeySchema.optional(),
    /** PEM file of the authority that issued the gateway's certificate, if not a public one. */
    caFile: z.string().optional(),
    /** Where further processes of the same gateway listen: same identity key, same database. */
    further: z
      .array(
        z.strictObject({ url: z.url({ protocol: /^https?$/ }), caFile: z.string().optional() }),
      )
      .max(GATEWAY_ADDRESSES_MAX - 1)
      .default([]),
  }),
  /** Registrations of datasets: JSON files, relative to the directory. */
  datasets: z.array(z.string()).max(1000).default([]),
  limits: z
    .strictObject({
      threads: z.int().min(1).max(256),
      memoryMiB: z.int().min(64).max(1_048_576),
      spillMiB: z.int().min(64).max(16_777_216),
      statementMs: z.int().min(1000).max(86_400_000),
    })
    .default(DEFAULT_ENGINE_LIMITS),
  /** The holder's own floor under every contract's minimum of parties. */
  minimumParties: z.int().min(2).max(256).default(2),
  /** ρ in millionths that each namespace of privacy units may lose to noised answers, in all. */
  noiseBudgetMicroRho: z.int().min(0).max(1_000_000_000).default(1_000_000),
  /**
   * Rollbacks past runs that this holder answers exactly in spite of: earlier exact answers may be
   * forgotten, so that two answers could differ by one person unseen.
   */
  releaseLossesAccepted: z.int().min(0).max(1_000_000).default(0),
  workers: z.int().min(1).max(64).default(2),
  log: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
});
export type DomainConfig = z.infer<typeof DomainConfigSchema>;
