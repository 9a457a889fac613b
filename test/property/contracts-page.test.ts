import { describe, expect, it } from 'vitest';
import type { FiledContract } from '../../src/contracts/contract-book.ts';
import {
  CONTRACTS_TOLD_BYTES_MAX,
  CONTRACTS_TOLD_MAX,
  FiledContractsSchema,
} from '../../src/contracts/link-messages.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { contractsPage } from '../../src/gateway/domain-desk.ts';
import { BODY_BYTES_MAX } from '../../src/link/limits.ts';
import { ContractIdSchema } from '../../src/system/ids.ts';
import { makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';

const cast = makeCast();

/** Contracts in the order of their ids, each with a key of so many bytes in it. */
function filed(count: number, keyLength: number): FiledContract[] {
  return Array.from({ length: count }, (_, index) => {
    const digits = String(index).padStart(12, '0');
    const contract = makeContract(cast, {
      id: ContractIdSchema.parse(`0190c9a0-0000-7000-8000-${digits}`),
      protocol: { name: 'sealed-sum', sealingKey: 'A'.repeat(keyLength) },
    });
    const hash = contractHash(contract);
    return { contract, signatures: [], hash, state: 'proposed', proposedAtMs: NOW_MS };
  });
}

/** What a domain collects, asking as long as there is a next answer. */
function collected(all: readonly FiledContract[]): { ids: string[]; sizes: number[] } {
  const ids: string[] = [];
  const sizes: number[] = [];
  for (let after: string | null = ''; after !== null; ) {
    const from = after;
    const rest = all.filter(({ contract }) => contract.id > from).slice(0, CONTRACTS_TOLD_MAX);
    const page = FiledContractsSchema.parse(contractsPage(rest));
    ids.push(...page.contracts.map(({ contract }) => contract.id));
    sizes.push(JSON.stringify(page).length);
    after = page.next;
  }
  return { ids, sizes };
}

describe('contracts told to a domain', () => {
  it('come all, once and in order, in answers that fit a message of the link', () => {
    for (const [count, keyLength] of [
      [0, 10],
      [1, 349_718],
      [5, 349_718],
      [CONTRACTS_TOLD_MAX, 10],
      [CONTRACTS_TOLD_MAX * 2 + 1, 10],
      [40, 87_000],
    ] as const) {
      const all = filed(count, keyLength);
      const { ids, sizes } = collected(all);
      expect(ids).toEqual(all.map(({ contract }) => contract.id));
      for (const size of sizes) expect(size).toBeLessThan(BODY_BYTES_MAX);
    }
    // The control: all at once would not fit.
    const everything = filed(40, 87_000).reduce(
      (sum, { contract }) => sum + JSON.stringify(contract).length,
      0,
    );
    expect(everything).toBeGreaterThan(CONTRACTS_TOLD_BYTES_MAX);
    expect(everything).toBeGreaterThan(BODY_BYTES_MAX);
  });
});
