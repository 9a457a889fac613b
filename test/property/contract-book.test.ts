import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEntries, verifyStoredChain } from '../../src/audit/chain-table.ts';
import {
  CONTRACT_MIGRATIONS,
  ContractBook,
  PROPOSALS_A_DAY_MAX,
} from '../../src/contracts/contract-book.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { checkAction, stateOf } from '../../src/contracts/life-cycle.ts';
import type { ContractAction, ContractFacts } from '../../src/contracts/life-cycle.ts';
import { signPause, signRefusal, signRevocation } from '../../src/contracts/notices.ts';
import { contractHash, signContract } from '../../src/contracts/signed-documents.ts';
import { type RevocationParts, tellMissed } from '../../src/gateway/revocations.ts';
import type { Link } from '../../src/link/link.ts';
import { systemClock } from '../../src/system/clock.ts';
import { ContractIdSchema, GATEWAY } from '../../src/system/ids.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { createLog } from '../../src/system/log.ts';
import {
  ANALYST,
  HOLDERS,
  makeCast,
  makeContract,
  NOW_MS,
  signByAll,
} from '../fixtures/contract.ts';
import { codeOf } from '../fixtures/counting.ts';
import { postgresKind, sqliteKind } from '../support/test-stores.ts';
import type { TestStore } from '../support/test-stores.ts';

const cast = makeCast();
const contract = makeContract(cast);
const signed = signByAll(contract, cast);
const [analystSignature, ...holderSignatures] = signed.signatures;
const proposal = { contract, signatures: [analystSignature!] };
const noticeOf = (party: PartyId, of: Contract = contract): object => ({
  contractId: of.id,
  contractHash: contractHash(of),
  party,
  reason: 'no longer needed',
  at: '2026-06-15T12:00:00Z',
});
const revocationBy = (party: PartyId): ReturnType<typeof signRevocation> =>
  signRevocation(
    { format: 'weir-revocation/1', ...noticeOf(party) } as Parameters<typeof signRevocation>[0],
    cast.keyOf(party),
  );
const refusalBy = (party: PartyId): ReturnType<typeof signRefusal> =>
  signRefusal(
    { format: 'weir-refusal/1', ...noticeOf(party) } as Parameters<typeof signRefusal>[0],
    cast.keyOf(party),
  );

const postgres = await postgresKind();
afterAll(() => postgres.stop());
let opened: TestStore;
let book: ContractBook;

async function auditKinds(): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { entry } of readEntries(opened.store))
    kinds.push((JSON.parse(entry) as { kind: string }).kind);
  return kinds;
}

/** Links that take note of what they are asked. */
function notedLinks(): { asked: unknown[]; links: RevocationParts['links'] } {
  const asked: unknown[] = [];
  const link = { request: async (...call: unknown[]) => asked.push(call.slice(0, 2)) };
  return { asked, links: { linkOf: () => link as unknown as Link } };
}

describe.each([sqliteKind, postgres])('the contract book on $name', (kind) => {
  beforeEach(async (context) => {
    if (kind.missing !== undefined) context.skip(kind.missing);
    opened = await kind.open([CONTRACT_MIGRATIONS]);
    book = new ContractBook(opened.store, opened.audit);
  });
  afterEach(() => (kind.missing === undefined ? opened.remove() : undefined));

  it('takes so many proposals of an analyst a day, signed or not', async () => {
    // Rows as proposals leave them: signing so many contracts takes longer than it teaches.
    const idOf = (at: number): string => `0190c9a0-0000-7000-8000-${String(at).padStart(12, '0')}`;
    const rows = Array.from({ length: PROPOSALS_A_DAY_MAX - 1 }, (_, at) => [
      {
        sql: `INSERT INTO contract
              (contract_id, contract_hash, document, proposed_at_ms, revision, analyst)
              VALUES (?, ?, '', ?, 0, ?)`,
        params: [idOf(at + 100), String(at), NOW_MS, ANALYST],
      },
      {
        sql: 'INSERT INTO contract_party (party, contract_id) VALUES (?, ?)',
        params: [ANALYST, idOf(at + 100)],
      },
    ]);
    await opened.store.execute(rows.flat());
    const fresh = (at: number): ReturnType<typeof signByAll> =>
      signByAll(makeContract(cast, { id: ContractIdSchema.parse(idOf(at)) }), cast);
    const unsigned = (at: number): typeof signed => {
      const { contract: one, signatures } = fresh(at);
      return { contract: one, signatures: signatures.slice(0, 1) };
    };
    await book.propose(fresh(11), NOW_MS);
    await book.propose(fresh(11), NOW_MS);
    expect(await codeOf(() => book.propose(unsigned(12), NOW_MS))).toBe('rate-limited');
    await book.propose(unsigned(12), NOW_MS + 86_400_001);
  });

  it('counts nobody’s contracts against a party that they only name', async () => {
    // Another analyst's, which names this one among its holders: signed by it or not is all the same.
    const rows = Array.from({ length: PROPOSALS_A_DAY_MAX }, (_, at) => [
      {
        sql: `INSERT INTO contract
              (contract_id, contract_hash, document, proposed_at_ms, revision, analyst)
              VALUES (?, ?, '', ?, 0, ?)`,
        params: [`named-${at}`, String(at), NOW_MS, 'rival'],
      },
      {
        sql: 'INSERT INTO contract_party (party, contract_id) VALUES (?, ?)',
        params: [ANALYST, `named-${at}`],
      },
    ]);
    await opened.store.execute(rows.flat());
    expect(await book.propose(signed, NOW_MS)).toMatchObject({ state: 'active' });
  });

  it('tells a domain that links up of each revocation it may have missed, once', async () => {
    await book.propose(signed, NOW_MS);
    const [first, second] = [revocationBy(HOLDERS[0]!), revocationBy(HOLDERS[1]!)];
    const { asked, links } = notedLinks();
    const runs = { abortContract: async () => undefined };
    const clock = { ...systemClock, now: () => NOW_MS };
    const log = createLog({ level: 'silent', name: 'test' });
    const parts = { links, contracts: book, runs, clock, log };
    await tellMissed(parts, HOLDERS[2]!);
    expect(asked).toEqual([]);
    await book.revoke(first, NOW_MS);
    await book.revoke(second, NOW_MS).catch(() => undefined);
    await tellMissed(parts, HOLDERS[2]!);
    expect(asked).toEqual([['contract.revoked', { signed: first, contract }]]);
    // One that has ended by itself is no news.
    const late = { ...clock, now: () => Date.parse(contract.validity.notAfter) };
    await tellMissed({ ...parts, clock: late }, HOLDERS[2]!);
    await tellMissed(parts, 'stranger' as PartyId);
    expect(asked).toHaveLength(1);
  });

  it('takes a contract from proposal to activity, with one audit entry a step', async () => {
    const filed = await book.propose(proposal, NOW_MS);
    expect(filed).toMatchObject({ state: 'proposed', hash: contractHash(contract) });
    for (const signature of holderSignatures) {
      await book.addSignature(contract.id, signature, NOW_MS);
      await book.addSignature(contract.id, signature, NOW_MS);
    }
    const active = await book.get(contract.id, HOLDERS[0], NOW_MS);
    expect(active.state).toBe('active');
    expect(active.signatures).toEqual(signed.signatures);
    expect(await book.forRun(contract.id, ANALYST, NOW_MS)).toEqual(signed);
    expect(await auditKinds()).toEqual([
      'contract.proposed',
      'contract.signed',
      'contract.signed',
      'contract.signed',
    ]);
    expect(await verifyStoredChain(opened.store)).toMatchObject({ ok: true });
    const begin = Date.parse(contract.validity.notBefore);
    expect((await book.get(contract.id, undefined, begin - 1)).state).toBe('signed');
  });

  it('files a proposal whole or not at all, and an id for one contract only', async () => {
    const bad = { contract, signatures: [analystSignature!, holderSignatures[0]!] };
    const forged = signContract(contract, HOLDERS[1]!, cast.keyOf(HOLDERS[0]!));
    const propose = (given: typeof signed, now = NOW_MS): Promise<string> =>
      codeOf(() => book.propose(given, now));
    expect(await propose({ ...bad, signatures: [...bad.signatures, forged] })).toBe(
      'signature-invalid',
    );
    expect(await propose({ contract, signatures: holderSignatures })).toBe('signature-missing');
    expect(await propose(signed, Date.parse(contract.validity.notAfter))).toBe('contract-expired');
    expect(await codeOf(() => book.get(contract.id, undefined, NOW_MS))).toBe('contract-unknown');
    expect(await auditKinds()).toEqual([]);
    expect(await propose(bad)).toBe('accepted');
    expect(await propose(bad)).toBe('accepted');
    expect(await auditKinds()).toEqual(['contract.proposed', 'contract.signed']);
    const changed = makeContract(cast, { legalBasis: 'Another' });
    expect(await propose(signByAll(changed, cast))).toBe('already-exists');
    const twisted = makeContract(cast, { timeZone: 'Asia/Atlantis' });
    expect(await propose(signByAll(twisted, cast))).toBe('malformed-message');
  });

  it('shows contracts to those they name, in the order of ids', async () => {
    const others = makeCast(['north' as PartyId, 'south' as PartyId, 'up' as PartyId]);
    const foreign = makeContract(
      others,
      { id: ContractIdSchema.parse('0190c9a0-0000-7000-8000-000000000002') },
      ['north' as PartyId, 'south' as PartyId, 'up' as PartyId],
    );
    await book.propose(signed, NOW_MS);
    await book.propose(signByAll(foreign, others), NOW_MS);
    const ids = async (
      viewer: PartyId | undefined,
      after?: typeof contract.id,
    ): Promise<string[]> =>
      (await book.list(viewer, after, 10, NOW_MS)).map((filed) => filed.contract.id);
    expect(await ids(HOLDERS[0])).toEqual([contract.id]);
    expect(await ids('north' as PartyId)).toEqual([foreign.id]);
    expect(await ids(undefined)).toEqual([contract.id, foreign.id]);
    expect(await ids(undefined, contract.id)).toEqual([foreign.id]);
    expect(await codeOf(() => book.get(contract.id, 'north' as PartyId, NOW_MS))).toBe(
      'contract-unknown',
    );
    expect(await codeOf(() => book.forRun(contract.id, HOLDERS[0]!, NOW_MS))).toBe(
      'contract-unknown',
    );
  });

  it('lets an unsigned holder refuse and a signed one revoke, for good', async () => {
    await book.propose({ contract, signatures: [analystSignature!, holderSignatures[0]!] }, NOW_MS);
    expect(await codeOf(() => book.refuse(refusalBy(HOLDERS[0]!), NOW_MS))).toBe(
      'party-not-in-contract',
    );
    expect(await codeOf(() => book.revoke(revocationBy(HOLDERS[1]!), NOW_MS))).toBe(
      'party-not-in-contract',
    );
    expect((await book.refuse(refusalBy(HOLDERS[1]!), NOW_MS)).state).toBe('refused');
    const late = codeOf(() => book.addSignature(contract.id, holderSignatures[1]!, NOW_MS));
    expect(await late).toBe('contract-not-active');
    expect(await codeOf(() => book.forRun(contract.id, ANALYST, NOW_MS))).toBe(
      'contract-not-active',
    );
  });

  it('stops running at once on suspension, revocation, completion and expiry', async () => {
    await book.propose(signed, NOW_MS);
    const run = (nowMs = NOW_MS): Promise<string> =>
      codeOf(() => book.forRun(contract.id, ANALYST, nowMs));
    const id = contract.id;
    await book.suspend(id, HOLDERS[0]!, 'looking into it', NOW_MS);
    await book.suspend(id, GATEWAY, 'a rule', NOW_MS);
    expect(await run()).toBe('contract-not-active');
    expect(await codeOf(() => book.resume(id, HOLDERS[1]!, NOW_MS))).toBe('party-not-in-contract');
    await book.resume(id, GATEWAY, NOW_MS);
    // The operator cannot lift a holder's suspension.
    expect(await run()).toBe('contract-not-active');
    await book.resume(id, HOLDERS[0]!, NOW_MS);
    expect(await run()).toBe('accepted');
    expect(await run(Date.parse(contract.validity.notAfter))).toBe('contract-expired');
    expect((await book.complete(id, NOW_MS)).state).toBe('completed');
    expect(await run()).toBe('quota-exceeded');
    const revocation = revocationBy(HOLDERS[2]!);
    expect((await book.revoke(revocation, NOW_MS)).state).toBe('revoked');
    expect((await book.revoke(revocation, NOW_MS)).state).toBe('revoked');
    expect(await run()).toBe('contract-revoked');
    expect((await auditKinds()).slice(4)).toEqual([
      'contract.suspended',
      'contract.suspended',
      'contract.resumed',
      'contract.resumed',
      'contract.completed',
      'contract.revoked',
    ]);
  });

  it('takes a holder’s signed pause as evidence, once however often it is told', async () => {
    await book.propose(signed, NOW_MS);
    const pauseBy = (party: PartyId, standing: 'suspended' | 'resumed', by = party) =>
      signPause(
        {
          format: 'weir-pause/1',
          standing,
          contractId: contract.id,
          contractHash: contractHash(contract),
          party,
          reason: 'a look',
          at: new Date(NOW_MS).toISOString(),
        },
        cast.keyOf(by),
      );
    const told = pauseBy(HOLDERS[0]!, 'suspended');
    expect((await book.pause(told, NOW_MS)).state).toBe('suspended');
    expect((await book.pause(told, NOW_MS)).state).toBe('suspended');
    const rows = await opened.store.query('SELECT reason, document FROM contract_suspension');
    expect(rows.map((row) => [row['reason'], JSON.parse(String(row['document']))])).toEqual([
      ['a look', told],
    ]);
    const forged = pauseBy(HOLDERS[0]!, 'resumed', HOLDERS[1]!);
    expect(await codeOf(() => book.pause(forged, NOW_MS))).toBe('signature-invalid');
    expect((await book.pause(pauseBy(HOLDERS[1]!, 'resumed'), NOW_MS)).state).toBe('suspended');
    expect((await book.pause(pauseBy(HOLDERS[0]!, 'resumed'), NOW_MS)).state).toBe('active');
    expect((await auditKinds()).slice(4)).toEqual(['contract.suspended', 'contract.resumed']);
  });

  it('writes no entry where the change fails, and one where two come at once', async () => {
    await book.propose(proposal, NOW_MS);
    const codes = await Promise.all([
      codeOf(() => book.addSignature(contract.id, holderSignatures[0]!, NOW_MS)),
      codeOf(() => book.addSignature(contract.id, holderSignatures[0]!, NOW_MS)),
      codeOf(() => book.refuse(refusalBy(HOLDERS[0]!), NOW_MS)),
    ]);
    // Signed (the repetition changes nothing) or refused, never both.
    const [one, two, refused] = codes;
    expect([one, two].includes('accepted')).toBe(refused !== 'accepted');
    const { state, signatures } = await book.get(contract.id, undefined, NOW_MS);
    expect(state).toBe(refused === 'accepted' ? 'refused' : 'proposed');
    expect(signatures).toHaveLength(refused === 'accepted' ? 1 : 2);
    expect(await auditKinds()).toHaveLength(2);
  });

  it('takes all signatures that come at once', async () => {
    const filed = await Promise.all([
      book.propose(proposal, NOW_MS),
      book.propose(proposal, NOW_MS),
    ]);
    expect(filed.map((one) => one.state)).toEqual(['proposed', 'proposed']);
    await Promise.all(
      holderSignatures.map((signature) => book.addSignature(contract.id, signature, NOW_MS)),
    );
    expect((await book.get(contract.id, undefined, NOW_MS)).state).toBe('active');
    expect(await auditKinds()).toHaveLength(4);
    const revocations = HOLDERS.map((party) => book.revoke(revocationBy(party), NOW_MS));
    const codes = await Promise.all(revocations.map((one) => codeOf(() => one)));
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(1);
  });
});

describe('the life cycle', () => {
  const everyone = new Set([ANALYST, ...HOLDERS]);
  const none = new Set<PartyId>();
  const facts: ContractFacts = {
    contract,
    signedBy: everyone,
    refusedBy: none,
    revokedBy: none,
    suspendedBy: none,
    isCompleted: false,
  };
  const code = (action: ContractAction, actor: PartyId, of: ContractFacts): Promise<string> =>
    codeOf(() => checkAction(action, actor, of, NOW_MS, GATEWAY));

  it('gives a revocation the last word over everything else', () => {
    const revoked = { ...facts, revokedBy: new Set([HOLDERS[0]!]) };
    for (const more of [{ isCompleted: true }, { suspendedBy: everyone }, { signedBy: none }]) {
      expect(stateOf({ ...revoked, ...more }, NOW_MS)).toBe('revoked');
      expect(stateOf({ ...revoked, ...more }, Number.MAX_SAFE_INTEGER)).toBe('revoked');
    }
  });

  it('lets strangers do nothing and each role only its own', async () => {
    const actions: ContractAction[] = [
      'sign',
      'refuse',
      'suspend',
      'resume',
      'revoke',
      'complete',
      'run',
    ];
    for (const action of actions) {
      expect(await code(action, 'stranger' as PartyId, facts)).toBe('party-not-in-contract');
    }
    expect(await code('run', HOLDERS[0]!, facts)).toBe('party-not-in-contract');
    expect(await code('revoke', ANALYST, facts)).toBe('party-not-in-contract');
    expect(await code('revoke', GATEWAY, facts)).toBe('party-not-in-contract');
    expect(await code('complete', ANALYST, facts)).toBe('party-not-in-contract');
    expect(await code('sign', HOLDERS[0]!, facts)).toBe('contract-not-active');
    expect(await code('suspend', HOLDERS[0]!, facts)).toBe('accepted');
    const unsigned = { ...facts, signedBy: new Set([ANALYST]) };
    expect(await code('run', ANALYST, unsigned)).toBe('contract-not-active');
    expect(await code('refuse', HOLDERS[0]!, unsigned)).toBe('accepted');
  });
});
