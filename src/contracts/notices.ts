/** What a party says about a contract besides signing it: a refusal, a pause, a revocation. */
import { z } from 'zod';
import { IdentityError } from '../errors.ts';
import { ContractIdSchema, HashSchema, PartyIdSchema } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { InstantSchema } from './contract.ts';
import type { Contract } from './contract.ts';
import { contractHash, signKeyOf } from './signed-documents.ts';
import { signDocument, verifyDocument } from './signing.ts';

const shape = {
  contractId: ContractIdSchema,
  contractHash: HashSchema,
  party: PartyIdSchema,
  /** For people; shown to every party of the contract. */
  reason: z.string().max(2000),
  at: InstantSchema,
};

/** A holder will not sign this contract. */
export const RefusalSchema = z.strictObject({ format: z.literal('weir-refusal/1'), ...shape });
export type Refusal = z.infer<typeof RefusalSchema>;

/** A holder takes its signature back: no run begins any more, runs in flight stop. */
export const RevocationSchema = z.strictObject({
  format: z.literal('weir-revocation/1'),
  ...shape,
});
export type Revocation = z.infer<typeof RevocationSchema>;

/** A holder stops runs for a while, or lets them begin again. */
export const PauseSchema = z.strictObject({
  format: z.literal('weir-pause/1'),
  standing: z.enum(['suspended', 'resumed']),
  ...shape,
});
export type Pause = z.infer<typeof PauseSchema>;

const Jws = z.string().max(2048);
export const SignedRefusalSchema = z.strictObject({ refusal: RefusalSchema, jws: Jws });
export type SignedRefusal = z.infer<typeof SignedRefusalSchema>;
export const SignedRevocationSchema = z.strictObject({ revocation: RevocationSchema, jws: Jws });
export type SignedRevocation = z.infer<typeof SignedRevocationSchema>;

export const SignedPauseSchema = z.strictObject({ pause: PauseSchema, jws: Jws });
export type SignedPause = z.infer<typeof SignedPauseSchema>;

export function signRefusal(refusal: Refusal, keys: KeyPair): SignedRefusal {
  return { refusal, jws: signDocument('weir/refusal/v1', refusal, keys) };
}

/** By a holder of this contract. @throws IdentityError */
export function verifyRefusal(signed: SignedRefusal, contract: Contract): void {
  const { refusal, jws } = signed;
  verifyDocument('weir/refusal/v1', refusal, jws, holderKey(refusal, contract), refusal.party);
}

export function signRevocation(revocation: Revocation, keys: KeyPair): SignedRevocation {
  return { revocation, jws: signDocument('weir/revocation/v1', revocation, keys) };
}

/** By a holder of this contract. @throws IdentityError */
export function verifyRevocation(signed: SignedRevocation, contract: Contract): void {
  const { revocation, jws } = signed;
  const key = holderKey(revocation, contract);
  verifyDocument('weir/revocation/v1', revocation, jws, key, revocation.party);
}

export function signPause(pause: Pause, keys: KeyPair): SignedPause {
  return { pause, jws: signDocument('weir/pause/v1', pause, keys) };
}

/** By a holder of this contract. @throws IdentityError */
export function verifyPause(signed: SignedPause, contract: Contract): void {
  const { pause, jws } = signed;
  verifyDocument('weir/pause/v1', pause, jws, holderKey(pause, contract), pause.party);
}

function holderKey(notice: Refusal | Revocation | Pause, contract: Contract): Uint8Array {
  const named =
    notice.contractId === contract.id &&
    notice.contractHash === contractHash(contract) &&
    contract.holders.some((holder) => holder.id === notice.party);
  if (!named) {
    throw new IdentityError(
      'party-not-in-contract',
      'The notice is not by a holder of this contract.',
      {
        party: notice.party,
        rule: 'contractId, contractHash, party',
      },
    );
  }
  return signKeyOf(contract, notice.party);
}
