/** What a domain role asks of a descriptor before it reads a row. */
import { describe, expect, it } from 'vitest';
import type { DomainRole } from '../../src/computations/computation.ts';
import { requirePlanned, type Planned } from '../../src/computations/planned.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';

const [A, B, C] = ['a', 'b', 'c'].map((id) => PartyIdSchema.parse(id)) as [never, never, never];
const roleOf = (parties: readonly string[], self: string = A): DomainRole =>
  ({
    self,
    descriptor: {
      protocol: 'p',
      engine: 'p/1',
      shape: { cells: 4, lanes: 8 },
      parties: parties.map((id) => ({ id })),
    },
  }) as unknown as DomainRole;
const planned: Planned = { protocol: 'p', engine: 'p/1', cells: 4, lanes: 8 };

describe('a descriptor', () => {
  it('that names what is planned passes, its parties in any order', () => {
    requirePlanned(roleOf([A, B]), planned);
    requirePlanned(roleOf([A, B]), { ...planned, parties: [B, A] });
  });

  it.each([
    ['another protocol', roleOf([A, B]), { ...planned, protocol: 'q' }],
    ['another engine', roleOf([A, B]), { ...planned, engine: 'p/2' }],
    ['other cells', roleOf([A, B]), { ...planned, cells: 5 }],
    ['other lanes', roleOf([A, B]), { ...planned, lanes: 9 }],
    ['parties without this domain', roleOf([B, C]), planned],
    ['a party too many', roleOf([A, B, C]), { ...planned, parties: [A, B] }],
    ['a party too few', roleOf([A]), { ...planned, parties: [A, B] }],
    ['a party twice', roleOf([A, A]), { ...planned, parties: [A, B] }],
  ])('with %s is refused', (_, role, plan) => {
    expect(() => requirePlanned(role, plan)).toThrow(
      expect.objectContaining({ code: 'descriptor-mismatch' }),
    );
  });
});
