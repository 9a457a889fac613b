/** What every domain role asks before it reads a row: whether this is the run that was agreed on. */
import { StateError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import type { DomainRole } from './computation.ts';

/** What contract and arguments plan. */
export interface Planned {
  readonly protocol: string;
  readonly engine: string;
  readonly cells: number;
  readonly lanes: number;
  /** All that take part, in any order; where absent, any parties of which this domain is one. */
  readonly parties?: readonly PartyId[];
}

/**
 * The descriptor names what this contract and these arguments plan, nothing else.
 * @throws StateError `descriptor-mismatch`
 */
export function requirePlanned(
  { descriptor, self }: Pick<DomainRole, 'descriptor' | 'self'>,
  { protocol, engine, cells, lanes, parties }: Planned,
): void {
  const named = descriptor.parties.map(({ id }) => id);
  const isPlanned =
    descriptor.protocol === protocol &&
    descriptor.engine === engine &&
    descriptor.shape.cells === cells &&
    descriptor.shape.lanes === lanes &&
    named.includes(self) &&
    (parties === undefined ||
      (named.length === parties.length && parties.every((party) => named.includes(party))));
  if (isPlanned) return;
  throw new StateError('descriptor-mismatch', 'The descriptor is not of the run it was made for.');
}
