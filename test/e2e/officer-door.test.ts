/** The officer's door: what comes in malformed is refused by name; a pin that is removed ends trust. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { adminClient } from '../../src/domain/admin-client.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { askFor } from './support/attack-case.ts';
import { Attacker, codeOf, expectHonest } from './support/attacker.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-door-'));
const [A, B] = HOLDERS as [PartyId, PartyId, PartyId];
const socketPath = join(root, A, 'admin.sock');
let attacker: Attacker;

beforeAll(async () => {
  attacker = await Attacker.open(root);
});
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

function post(path: string, text: string): Promise<{ status: number; code: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const call = request({ socketPath, method: 'POST', path, headers }, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => {
        body += chunk.toString('utf8');
      });
      answer.on('end', () => {
        const { code } = JSON.parse(body) as { code: string };
        resolve({ status: answer.statusCode ?? 0, code });
      });
    });
    call.on('error', reject);
    call.end(text);
  });
}

it('is a socket that nobody else may open, and says what is wrong with a body', async () => {
  expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  const trust = '/trust';
  expect(await post(trust, '{"party":')).toEqual({ status: 422, code: 'invalid-json' });
  expect(await post(trust, '{}')).toEqual({ status: 422, code: 'malformed-message' });
  expect(await post(trust, JSON.stringify({ party: 'x'.repeat(70_000) }))).toEqual({
    status: 422,
    code: 'body-too-large',
  });
});

it('refuses runs with a holder whose pin was removed, until it is pinned anew', async () => {
  const officer = adminClient(join(root, A));
  const ask = askFor(attacker.cast);
  await officer.distrust(B);
  expect(await codeOf(attacker.prepare(A, ask))).toBe('party-not-pinned');
  await officer.distrust(B);
  await officer.trust({ party: B, publicKey: attacker.cast.publicKeyOf(B) });
  await expectHonest(attacker);
});
