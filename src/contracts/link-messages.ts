/** What domains and gateway tell each other besides runs: the catalog, contracts, witnessed spends. */
import { z } from 'zod';
import { EXTENSION_MAX } from '../system/hash-link.ts';
import { ContractIdSchema, HashSchema, PartyIdSchema } from '../system/ids.ts';
import { ContractSchema, ContractSignatureSchema, HOLDERS_MAX } from './contract.ts';
import { SignedPauseSchema, SignedRefusalSchema, SignedRevocationSchema } from './notices.ts';
import { SignedSpendSchema } from './spend.ts';

/** Names of the link's requests, by who asks. */
export const DOMAIN_ASKS = {
  publish: 'catalog.publish',
  contracts: 'contract.list',
  contract: 'contract.get',
  sign: 'contract.sign',
  refuse: 'contract.refuse',
  revoke: 'contract.revoke',
  pause: 'contract.pause',
  decided: 'release.decided',
  witnessed: 'spend.witnessed',
  log: 'audit.extension',
} as const;
export const GATEWAY_ASKS = { revoked: 'contract.revoked', paused: 'contract.paused' } as const;

/** Bytes of datasets that a holder publishes in one message, which may hold a single larger one. */
export const PUBLISHED_BYTES_MAX = 524_288;
/** JSON text of one published dataset with its signature: it fits a message of the link. */
export const PUBLISHED_DATASET_BYTES_MAX = 917_504;

/** A number of entries, as decimal digits. */
const Size = z.string().regex(/^\d{1,18}$/);

/** Contracts a domain is told of in one answer, which must fit a message of the link. */
export const CONTRACTS_TOLD_MAX = 32;
export const CONTRACTS_TOLD_BYTES_MAX = 524_288;
/** JSON text of the spends that a domain is shown of itself in one answer. */
export const STATEMENTS_TOLD_BYTES_MAX = 917_504;

export const FiledContractSchema = z.strictObject({
  contract: ContractSchema,
  hash: HashSchema,
  signatures: z.array(ContractSignatureSchema).max(HOLDERS_MAX + 1),
  state: z.string().max(32),
});
export type FiledContract = z.infer<typeof FiledContractSchema>;

export const FiledContractsSchema = z.strictObject({
  contracts: z.array(FiledContractSchema).max(CONTRACTS_TOLD_MAX),
  /** The `after` of the next answer, or null on the last. */
  next: ContractIdSchema.nullable(),
});
export type FiledContracts = z.infer<typeof FiledContractsSchema>;

/** In the order of their ids, which is that of their making. */
export const ContractsQuerySchema = z.strictObject({ after: ContractIdSchema.nullable() });

export const ContractQuerySchema = z.strictObject({ id: ContractIdSchema });
export const SignSchema = z.strictObject({
  id: ContractIdSchema,
  signature: ContractSignatureSchema,
});
export const RefuseSchema = z.strictObject({ signed: SignedRefusalSchema });
export const RevokeSchema = z.strictObject({ signed: SignedRevocationSchema });
export const PauseMessageSchema = z.strictObject({ signed: SignedPauseSchema });
export const RevokedSchema = z.strictObject({
  signed: SignedRevocationSchema,
  contract: ContractSchema,
});

export const PausedSchema = z.strictObject({
  signed: SignedPauseSchema,
  contract: ContractSchema,
});

/** Statements of the asking domain after a number, as the gateway witnessed them. */
export const WitnessedQuerySchema = z.strictObject({ afterSeq: z.int().min(0) });
export const WitnessedSchema = z.strictObject({
  party: PartyIdSchema,
  latest: SignedSpendSchema.nullable(),
  statements: z.array(SignedSpendSchema).max(1000),
});

/** The audit log after `fromSize` entries; null: its present head alone. */
export const LogQuerySchema = z.strictObject({ fromSize: Size.nullable() });
/** Digests of the entries after `fromSize`, and the head they lead to. */
export const LogExtensionSchema = z.strictObject({
  size: Size,
  hash: HashSchema,
  entries: z.array(HashSchema).max(EXTENSION_MAX),
});
