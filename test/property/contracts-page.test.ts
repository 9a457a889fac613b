import { describe, expect, it } from 'vitest';
import type { FiledContract } from '../../src/contracts/contract-book.ts';
import {
  CONTRACTS_TOLD_BYTES_MAX,
  CONTRACTS_TOLD_MAX,
  FiledContractsSchema,
  WitnessedSchema,
} from '../../src/contracts/link-messages.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { STATEMENTS_PAGE_MAX } from '../../src/contracts/spend-witness.ts';
import { signSpend, type SignedSpend, type Spend } from '../../src/contracts/spend.ts';
import { contractsPage, statementsPage } from '../../src/gateway/domain-desk.ts';
import { encodeFrame } from '../../src/link/frame-codec.ts';
import { BODY_BYTES_MAX } from '../../src/link/limits.ts';
import {
  ContractIdSchema,
  HashSchema,
  type PartyId,
  PartyIdSchema,
  RunIdSchema,
} from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';

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

describe('a domain’s own spends, shown to it', () => {
  const holder = cast.keyOf(HOLDERS[0]!);
  const spendOf = (seq: number, parties: readonly PartyId[]): SignedSpend => {
    const hash = HashSchema.parse('a'.repeat(64));
    const spend: Spend = {
      format: 'weir-spend/1',
      party: HOLDERS[0]!,
      seq,
      previous: hash,
      contractHash: hash,
      requestHash: hash,
      nonce: 'A'.repeat(43),
      runId: RunIdSchema.parse('0190c9a0-0000-7000-8000-000000000001'),
      attempt: 1,
      descriptorHash: hash,
      parties: [...parties],
      runs: 1,
      counted: {
        total: seq,
        day: { key: '2026-06-15', runs: seq },
        month: { key: '2026-06', runs: seq },
      },
      at: new Date(NOW_MS).toISOString(),
    };
    return signSpend(spend, holder);
  };
  const named = (count: number): PartyId[] =>
    Array.from({ length: count }, (_, at) => PartyIdSchema.parse(`holder-${at}`.padEnd(63, 'x')));

  it.each([1, 64, 256])('of runs of %i parties fit a message, and come all', (count) => {
    const parties = named(count);
    const all = Array.from({ length: 1100 }, (_, at) => spendOf(at + 1, parties));
    const got: number[] = [];
    for (let after = 0; after < all.length; ) {
      const rest = all.slice(after, after + STATEMENTS_PAGE_MAX);
      const statements = statementsPage(rest);
      const page = WitnessedSchema.parse({ party: HOLDERS[0], latest: all.at(-1), statements });
      expect(encodeFrame(page).length).toBeLessThan(BODY_BYTES_MAX);
      got.push(...page.statements.map(({ spend }) => spend.seq));
      after = got.at(-1) ?? all.length;
    }
    expect(got).toEqual(all.map(({ spend }) => spend.seq));
    // The control: a full page of runs of many would not fit.
    const full = encodeFrame(all.slice(0, STATEMENTS_PAGE_MAX)).length;
    expect(full > BODY_BYTES_MAX).toBe(count > 1);
  });
});
