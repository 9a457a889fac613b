/** What is counted: the dimensions of a quota and whole units of them. */

export type Dimension =
  | 'runs'
  | 'rows'
  | 'padded-items'
  | 'compute-milli-units'
  | 'bytes'
  | 'micro-rho';

/** Whole units of a dimension; never negative. */
export type Units = bigint & { readonly __brand: 'Units' };
