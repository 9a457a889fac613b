/** Branded identifiers and the canonical form every signature and hash is taken over. */
import { z } from 'zod';

const PARTY_ID = /^[a-z][a-z0-9-]{0,62}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const HASH = /^[0-9a-f]{64}$/;
/** Not `__proto__`: as a member's name it could be lost, or change what the object is. */
const NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/** A party's name: 1..63 characters, lower-case letters, digits, hyphens. `gateway` is reserved. */
export const PartyIdSchema = z.string().regex(PARTY_ID).brand<'PartyId'>();
export type PartyId = z.infer<typeof PartyIdSchema>;

export const RunIdSchema = z.string().regex(UUID).brand<'RunId'>();
export type RunId = z.infer<typeof RunIdSchema>;

export const ContractIdSchema = z.string().regex(UUID).brand<'ContractId'>();
export type ContractId = z.infer<typeof ContractIdSchema>;

/** SHA-256 as 64 lower-case hex digits. */
export const HashSchema = z.string().regex(HASH).brand<'Hash'>();
export type Hash = z.infer<typeof HashSchema>;

/** A dataset, column or measure name: an SQL identifier that needs no quoting (it is quoted all the same). */
export const NameSchema = z.string().regex(NAME);

/** The party id every frame from or to the gateway carries. */
export const GATEWAY: PartyId = PartyIdSchema.parse('gateway');
