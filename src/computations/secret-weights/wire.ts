/** Names of a weighted sum's messages besides the counting round, and the table it is released as. */

export const WEIGHTED_KINDS = {
  /** Gateway to each party, before anything of its data leaves: public keys, then ciphertexts. */
  weights: 'round0.weights',
  /** First party to gateway, for the recipient. */
  statement: 'round2.statement',
  /** Each party to gateway, a ciphertext. */
  weighted: 'round2.weighted',
} as const;

/**
 * The release is a table of one text column with this name: the statement, the descriptor as JSON,
 * then the summed ciphertexts in base64url, in the order of the shape's places.
 */
export const WEIGHTED_COLUMN = 'secret-weights/1';

/** True where a release is one that only its recipient's weighing key opens. */
export function isWeightedRelease(release: { readonly columns: readonly string[] }): boolean {
  return release.columns.length === 1 && release.columns[0] === WEIGHTED_COLUMN;
}
