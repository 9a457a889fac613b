/** A revocation against a gateway and links that do not help: it holds in the domain, and is told on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  DOMAIN_ASKS,
  GATEWAY_ASKS,
  RevokeSchema,
  SignSchema,
} from '../../src/contracts/link-messages.ts';
import {
  signPause,
  type SignedPause,
  signRevocation,
  type SignedRevocation,
} from '../../src/contracts/notices.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { adminClient } from '../../src/domain/admin-client.ts';
import { StateError } from '../../src/errors.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { asked, type Ask, askFor } from './support/attack-case.ts';
import { Attacker, codeOf, expectHonest } from './support/attacker.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-revoke-'));
const [A, B] = HOLDERS as [PartyId, PartyId, PartyId];
let attacker: Attacker;

beforeAll(async () => {
  attacker = await Attacker.open(root);
});
afterEach(() => expectHonest(attacker));
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

/** A contract that A's officer has signed through its own door. */
async function signedByOfficer(): Promise<Ask> {
  const ask = askFor(attacker.cast);
  const { contract, signatures } = ask.contract;
  const hash = contractHash(contract);
  const filed = { contract, hash, signatures, state: 'active' };
  attacker.links.handle(DOMAIN_ASKS.contract, async () => filed);
  attacker.links.handle(DOMAIN_ASKS.sign, async (body) => {
    SignSchema.parse(body);
    return filed;
  });
  await adminClient(join(root, A)).sign(contract.id, { hash });
  return ask;
}

function revocationBy(party: PartyId, { contract: { contract } }: Ask): SignedRevocation {
  return signRevocation(
    {
      format: 'weir-revocation/1',
      contractId: contract.id,
      contractHash: contractHash(contract),
      party,
      reason: 'over',
      at: new Date(systemClock.now()).toISOString(),
    },
    attacker.cast.keyOf(party),
  );
}

it('stops a run that was counted and waits for its channel', async () => {
  const ask = await signedByOfficer();
  const before = attacker.endCounts();
  const runKeys = await attacker.prepareAll(ask);
  const signatures = await attacker.agreeAll(attacker.descriptor(ask, runKeys), runKeys);
  await attacker.start(A, ask, signatures);
  const { contract } = ask.contract;
  const body = { signed: revocationBy(B, ask), contract };
  await attacker.request(A, GATEWAY_ASKS.revoked, body);
  const channel = attacker.openChannel(ask);
  while (attacker.endCounts()[0] === before[0]) await systemClock.sleep(10);
  expect(attacker.holders[0]?.endCodes().at(-1)).toBe('contract-revoked');
  expect(attacker.derivedFrames(ask.runId)).toEqual([]);
  await expect(channel.receive(B, 'round1.counts')).rejects.toMatchObject({
    code: 'contract-revoked',
  });
  const again = asked(attacker.cast, ask.contract);
  expect(await codeOf(attacker.prepare(A, again))).toBe('contract-revoked');
});

it('is told to the gateway on each new link, once the link is back', async () => {
  const ask = await signedByOfficer();
  const { contract } = ask.contract;
  const told: SignedRevocation[] = [];
  let hears = false;
  attacker.links.handle(DOMAIN_ASKS.revoke, async (body) => {
    if (!hears) throw new StateError('contract-unknown', 'There is no such contract.');
    told.push(RevokeSchema.parse(body).signed);
  });
  const hash = contractHash(contract);
  // The gateway pretends not to know the contract: the officer hears it, and it stands all the same.
  expect(await codeOf(adminClient(join(root, A)).revoke(contract.id, { hash }))).toBe(
    'contract-unknown',
  );
  const after = asked(attacker.cast, ask.contract);
  expect(await codeOf(attacker.prepare(A, after))).toBe('contract-revoked');
  hears = true;
  for (const times of [1, 2]) {
    attacker.links.linkOf(A)?.close();
    while (told.length < times) await systemClock.sleep(10);
    await attacker.linked();
  }
  expect(told.map(({ revocation }) => [revocation.party, revocation.contractHash])).toEqual([
    [A, hash],
    [A, hash],
  ]);
});

it('holds for a contract whose signing the domain has forgotten with an older database', async () => {
  // Signed, as far as anybody else can see; nothing of it is in A's store.
  const [own, others] = [askFor(attacker.cast), askFor(attacker.cast)];
  const { contract, signatures } = own.contract;
  const hash = contractHash(contract);
  const told: string[] = [];
  let shown = signatures.filter(({ party }) => party !== A);
  attacker.links.handle(DOMAIN_ASKS.contract, async () => {
    return { contract, hash, signatures: shown, state: 'active' };
  });
  attacker.links.handle(DOMAIN_ASKS.revoke, async (body) => {
    told.push(RevokeSchema.parse(body).signed.revocation.party);
  });
  const officer = adminClient(join(root, A));
  expect(await codeOf(officer.revoke(contract.id, { hash }))).toBe('contract-unknown');
  shown = [...signatures];
  await officer.revoke(contract.id, { hash });
  expect(told).toEqual([A]);
  expect(await codeOf(attacker.prepare(A, own))).toBe('contract-revoked');
  const body = { signed: revocationBy(B, others), contract: others.contract.contract };
  await attacker.request(A, GATEWAY_ASKS.revoked, body);
  expect(await codeOf(attacker.prepare(A, others))).toBe('contract-revoked');
  // Its own, which the gateway has kept, told back to it.
  const before = askFor(attacker.cast);
  const heard = { signed: revocationBy(A, before), contract: before.contract.contract };
  await attacker.request(A, GATEWAY_ASKS.revoked, heard);
  expect(await codeOf(attacker.prepare(A, before))).toBe('contract-revoked');
});

it('is not the only word on a contract that runs though its signing was forgotten', async () => {
  const ask = askFor(attacker.cast);
  const { id } = ask.contract.contract;
  const officer = adminClient(join(root, A));
  attacker.links.handle(DOMAIN_ASKS.pause, async () => null);
  expect(await codeOf(officer.suspend(id, 'why does it run?'))).toBe('contract-unknown');
  await attacker.prepare(A, ask);
  expect((await officer.status()).counters.contracts.map(({ contractId }) => contractId)).toContain(
    id,
  );
  await officer.suspend(id, 'why does it run?');
  const again = asked(attacker.cast, ask.contract);
  expect(await codeOf(attacker.prepare(A, again))).toBe('contract-not-active');
  await officer.resume(id, 'seen');
  expect(await codeOf(attacker.prepare(A, again))).toBe('answered');
});

it('takes no malformed or foreign revocation', async () => {
  const ask = await signedByOfficer();
  const { contract } = ask.contract;
  const signed = revocationBy(B, ask);
  const forged = { ...signed, revocation: { ...signed.revocation, party: A } };
  const heard = (body: unknown): Promise<string> =>
    codeOf(attacker.request(A, GATEWAY_ASKS.revoked, body));
  expect(await heard({ signed })).toBe('malformed-message');
  expect(await heard({ signed: forged, contract })).toBe('signature-invalid');
  await attacker.prepare(A, asked(attacker.cast, ask.contract));
});

it('begins no run while another holder has suspended, in whatever order it is told', async () => {
  const ask = await signedByOfficer();
  const { contract } = ask.contract;
  const at = (minute: number): string =>
    new Date(systemClock.now() + minute * 60_000).toISOString();
  const pauseOf = (standing: 'suspended' | 'resumed', minute: number): SignedPause =>
    signPause(
      {
        format: 'weir-pause/1',
        standing,
        contractId: contract.id,
        contractHash: contractHash(contract),
        party: B,
        reason: 'looking into it',
        at: at(minute),
      },
      attacker.cast.keyOf(B),
    );
  const heard = (signed: SignedPause): Promise<unknown> =>
    attacker.request(A, GATEWAY_ASKS.paused, { signed, contract });
  const prepared = (): Promise<string> =>
    codeOf(attacker.prepare(A, asked(attacker.cast, ask.contract)));
  const first = pauseOf('suspended', 1);
  await heard(first);
  expect(await prepared()).toBe('contract-not-active');
  await heard(pauseOf('resumed', 2));
  // Told again what is over: the later word stands.
  await heard(first);
  expect(await prepared()).toBe('answered');
  const forged = { ...pauseOf('suspended', 3), jws: first.jws };
  expect(await codeOf(heard(forged))).toBe('signature-invalid');
  const own = pauseOf('suspended', 4);
  await heard({ ...own, pause: { ...own.pause, party: A } });
  expect(await prepared()).toBe('answered');
});
