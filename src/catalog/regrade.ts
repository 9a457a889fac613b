/**
 * A holder's signed decision to grade a derived dataset as general, because an examination found
 * it anonymous enough. It holds for one version: new data needs a new decision.
 */
import { z } from 'zod';
import { InstantSchema } from '../contracts/contract.ts';
import { signDocument, verifyDocument } from '../contracts/signing.ts';
import { PolicyError } from '../errors.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { HashSchema, NameSchema, PartyIdSchema, type Hash } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import {
  AnonymityDemandSchema,
  AnonymityFiguresSchema,
  AnonymityQuestionSchema,
  meetsDemand,
} from './anonymity.ts';
import type { PublishedDataset } from './published.ts';

export const RegradeDecisionSchema = z.strictObject({
  format: z.literal('weir-regrade/1'),
  holder: PartyIdSchema,
  dataset: NameSchema,
  /** The version that was examined. */
  fingerprint: HashSchema,
  /** Core data has no way down. */
  from: z.literal('important'),
  to: z.literal('general'),
  question: AnonymityQuestionSchema,
  demand: AnonymityDemandSchema,
  figures: AnonymityFiguresSchema,
  reason: z.string().min(1).max(2000),
  decidedBy: z.string().min(1).max(200),
  decidedAt: InstantSchema,
});
export type RegradeDecision = z.infer<typeof RegradeDecisionSchema>;

/** Figures are exact, so a signed decision stays in the domain; only its hash is published. */
export const SignedRegradeSchema = z.strictObject({
  decision: RegradeDecisionSchema,
  jws: z.string().max(2048),
});
export type SignedRegrade = z.infer<typeof SignedRegradeSchema>;

/** What a registration's `anonymisationAssessment` refers to a decision by. */
export function regradeHash(decision: RegradeDecision): Hash {
  return canonicalHash(decision);
}

/**
 * Signs a decision with the holder's identity key.
 * @throws PolicyError `refused-by-officer` where the figures do not meet the decision's own demand.
 */
export function signRegrade(decision: RegradeDecision, keys: KeyPair): SignedRegrade {
  refuseUnmet(decision);
  return { decision, jws: signDocument('weir/regrade/v1', decision, keys) };
}

/**
 * Verifies that a decision allows a dataset to be graded general as it is now.
 * @throws IdentityError `signature-invalid`; PolicyError `dataset-drifted` where it was about another
 * dataset or version, `refused-by-officer` where its figures do not carry it.
 */
export function verifyRegrade(
  signed: SignedRegrade,
  dataset: Pick<PublishedDataset, 'holder' | 'name' | 'fingerprint'>,
  holderKey: Uint8Array,
): RegradeDecision {
  const { decision, jws } = signed;
  verifyDocument('weir/regrade/v1', decision, jws, holderKey, decision.holder);
  const isAbout =
    decision.holder === dataset.holder &&
    decision.dataset === dataset.name &&
    decision.fingerprint === dataset.fingerprint;
  if (!isAbout) {
    throw new PolicyError('dataset-drifted', 'The decision is about another version.', {
      party: dataset.holder,
      rule: 'regrade',
      remedy: 'Examine the dataset as it is now and decide anew.',
    });
  }
  refuseUnmet(decision);
  return decision;
}

function refuseUnmet({ figures, demand, holder, question }: RegradeDecision): void {
  const isWhole =
    figures.l.length === question.sensitive.length &&
    figures.l.every(({ column }, index) => column === question.sensitive[index]);
  if (isWhole && meetsDemand(figures, demand)) return;
  throw new PolicyError('refused-by-officer', 'The dataset is not as anonymous as demanded.', {
    party: holder,
    rule: `k at least ${demand.k}, l at least ${demand.l}`,
    remedy: 'Coarser quasi-identifiers, fewer of them, or the grade it has.',
  });
}
