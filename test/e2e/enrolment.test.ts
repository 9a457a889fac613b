/** Enrolment over real sockets: who can become a domain, and who cannot. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DomainListSchema, EnrolmentTokenBodySchema } from '../../src/contracts/api.ts';
import {
  EnrolmentAnswerSchema,
  encodeEnrolment,
  verifyEnrolmentAnswer,
  type EnrolmentRequest,
} from '../../src/contracts/enrolment.ts';
import { systemClock } from '../../src/system/clock.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite, fingerprintOf, type KeyPair } from '../../src/system/signature-suite.ts';
import { problemOfResponse, startTestGateway, type TestGateway } from '../fixtures/gateway.ts';

let gateway: TestGateway;
let operator: string;
let nowMs = Date.parse('2026-06-15T12:00:00Z');

beforeAll(async () => {
  gateway = await startTestGateway({ clock: { ...systemClock, now: () => nowMs } });
  operator = await gateway.tokenFor('operator', 'operator', 86_400);
});
afterAll(async () => {
  await gateway.close();
});

async function tokenFor(party: string, ttlS = 600): Promise<string> {
  const answer = await gateway.call('/v1/enrolment-tokens', {
    token: operator,
    json: { party, ttlS },
  });
  return EnrolmentTokenBodySchema.parse(await answer.json()).token;
}

function enrolment(token: string, id: string, keys: KeyPair): EnrolmentRequest {
  const party = {
    id: PartyIdSchema.parse(id),
    name: { zh: '西部', en: 'West' },
    signKey: encodeBase64url(keys.publicKey),
  };
  return encodeEnrolment(token, party, keys, eddsaSuite);
}

const send = (json: unknown): Promise<Response> => gateway.call('/v1/enrolments', { json });
const codeOf = async (json: unknown): Promise<unknown> =>
  (await problemOfResponse(await send(json)))['code'];
const freshKeys = (): KeyPair => eddsaSuite.generate(systemRandom);

describe('a domain enrols', () => {
  it('with its token, learns the gateway’s key, and both see the same fingerprints', async () => {
    const keys = freshKeys();
    const request = enrolment(await tokenFor('west'), 'west', keys);
    const response = await send(request);
    expect(response.status).toBe(201);
    const answer = EnrolmentAnswerSchema.parse(await response.json());
    const gatewayKey = verifyEnrolmentAnswer(answer, request, eddsaSuite);
    expect(gatewayKey).toEqual(gateway.identity.publicKey);
    expect((await gateway.domains.find(request.party.id))?.signKey).toEqual(keys.publicKey);
    const list = async () =>
      DomainListSchema.parse(await (await gateway.call('/v1/domains', { token: operator })).json());
    const { domains, gatewayFingerprint } = await list();
    expect(gatewayFingerprint).toBe(fingerprintOf(gatewayKey));
    const west = domains.find(({ party }) => party === 'west');
    expect(west?.fingerprint).toBe(fingerprintOf(keys.publicKey));
    expect(west?.connectedSince).toBeUndefined();
    gateway.connected.set(request.party.id, nowMs);
    expect((await list()).domains.find(({ party }) => party === 'west')?.connectedSince).toBe(
      new Date(nowMs).toISOString(),
    );
  });

  it('again alike where its answer was lost, but its token serves no other key', async () => {
    const keys = freshKeys();
    const token = await tokenFor('north');
    const request = enrolment(token, 'north', keys);
    const first = await (await send(request)).json();
    expect(await (await send(request)).json()).toEqual(first);
    expect(await codeOf(enrolment(token, 'north', freshKeys()))).toBe('enrolment-token-invalid');
    expect((await gateway.domains.find(request.party.id))?.signKey).toEqual(keys.publicKey);
  });

  it('once of many at the same time', async () => {
    const token = await tokenFor('crowd');
    const requests = Array.from({ length: 8 }, () => enrolment(token, 'crowd', freshKeys()));
    const statuses = await Promise.all(requests.map(async (each) => (await send(each)).status));
    expect(statuses.toSorted((one, other) => one - other)).toEqual([
      201,
      ...Array.from({ length: 7 }, () => 401),
    ]);
  });

  it('leaves its entry in the audit chain, without the token', async () => {
    const token = await tokenFor('audited');
    await send(enrolment(token, 'audited', freshKeys()));
    const rows = await gateway.store.query('SELECT entry FROM audit_entry');
    const text = rows.map((row) => String(row['entry'])).join('\n');
    expect(text).toMatch(/"party":"audited".*"kind":"domain.enrolled"|domain.enrolled.*audited/);
    expect(text).not.toContain(token.slice('weir_enrol_'.length));
    const tables = await gateway.store.query('SELECT hash, used_key FROM enrolment_token');
    expect(tables.map((row) => String(row['hash']))).not.toContain(token);
  });
});

describe('nobody enrols', () => {
  it('with a made-up token, or another domain’s', async () => {
    const unknown = `weir_enrol_${'B'.repeat(43)}`;
    expect(await codeOf(enrolment(unknown, 'east', freshKeys()))).toBe('enrolment-token-invalid');
    expect(await codeOf(enrolment('hunter2', 'east', freshKeys()))).toBe('enrolment-token-invalid');
    const token = await tokenFor('east');
    expect(await codeOf(enrolment(token, 'eve', freshKeys()))).toBe('enrolment-token-invalid');
    expect((await send(enrolment(token, 'east', freshKeys()))).status).toBe(201);
  });

  it('with an expired token', async () => {
    const token = await tokenFor('late', 10);
    nowMs += 10_000;
    expect(await codeOf(enrolment(token, 'late', freshKeys()))).toBe('enrolment-token-expired');
  });

  it('under a key it does not hold, or one that is everybody’s', async () => {
    const token = await tokenFor('forger');
    const mine = freshKeys();
    const theirs = freshKeys();
    const request = enrolment(token, 'forger', mine);
    const stolen = { ...request.party, signKey: encodeBase64url(theirs.publicKey) };
    expect(await codeOf({ ...request, party: stolen })).toBe('signature-invalid');
    // The neutral point: the all-zero scalar's signature verifies for it.
    const neutral = new Uint8Array(32);
    neutral[0] = 1;
    const proof = new Uint8Array(64);
    proof[0] = 1;
    const weak = { ...request.party, signKey: encodeBase64url(neutral) };
    expect(await codeOf({ ...request, party: weak, proof: encodeBase64url(proof) })).toBe(
      'signature-invalid',
    );
    // The token is still good for who does hold the key.
    expect((await send(request)).status).toBe(201);
  });

  it('under a name or key that is taken; the token stays good', async () => {
    const keys = freshKeys();
    expect((await send(enrolment(await tokenFor('taken'), 'taken', keys))).status).toBe(201);
    const second = await tokenFor('taken');
    expect(await codeOf(enrolment(second, 'taken', freshKeys()))).toBe('already-exists');
    const third = await tokenFor('fresh');
    expect(await codeOf(enrolment(third, 'fresh', keys))).toBe('already-exists');
    expect((await send(enrolment(third, 'fresh', freshKeys()))).status).toBe(201);
    const reserved = await gateway.call('/v1/enrolment-tokens', {
      token: operator,
      json: { party: 'gateway', ttlS: 60 },
    });
    expect((await problemOfResponse(reserved))['code']).toBe('already-exists');
  });

  it('is fooled by an answer for another request or by another key', async () => {
    const keys = freshKeys();
    const request = enrolment(await tokenFor('careful'), 'careful', keys);
    const answer = EnrolmentAnswerSchema.parse(await (await send(request)).json());
    const other = enrolment(await tokenFor('other'), 'other', keys);
    expect(() => verifyEnrolmentAnswer(answer, other, eddsaSuite)).toThrow(/another enrolment/);
    const swapped = { ...answer, gatewayKey: encodeBase64url(freshKeys().publicKey) };
    expect(() => verifyEnrolmentAnswer(swapped, request, eddsaSuite)).toThrow(/did not sign/);
  });
});
