/** An attacker's gateway that does not wait for answers: of calls that exclude each other, one counts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HOLDERS } from '../fixtures/contract.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { askFor, voided } from './support/attack-case.ts';
import { Attacker, codeOf, expectHonest } from './support/attacker.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-race-'));
const [A] = HOLDERS as [PartyId, PartyId, PartyId];
let attacker: Attacker;

beforeAll(async () => {
  attacker = await Attacker.open(root);
});
afterEach(() => expectHonest(attacker));
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

it('prepares a later attempt while a start is under way: the keys in use stay', async () => {
  const ask = askFor(attacker.cast);
  const { signatures, channel } = await attacker.agreed(ask);
  const codes = await Promise.all([
    codeOf(attacker.start(A, ask, signatures)),
    codeOf(attacker.prepare(A, { ...ask, attempt: 2 })),
  ]);
  expect(codes).toEqual(['answered', 'request-replayed']);
  channel.abort(voided());
});

it('prepares one attempt twice at once: one key is given', async () => {
  const ask = askFor(attacker.cast);
  const codes = await Promise.all([1, 2, 3].map(() => codeOf(attacker.prepare(A, ask))));
  expect(codes.toSorted()).toEqual(['answered', 'request-replayed', 'request-replayed']);
});

it('shows two descriptors at once: one is signed', async () => {
  const ask = askFor(attacker.cast, { minimumParties: 2 });
  const runKeys = await attacker.prepareAll(ask);
  const fewer = new Map([...runKeys].slice(0, 2));
  const codes = await Promise.all([
    codeOf(attacker.agree(A, attacker.descriptor(ask, runKeys), runKeys)),
    codeOf(attacker.agree(A, attacker.descriptor(ask, fewer), fewer)),
  ]);
  expect(codes.toSorted()).toEqual(['answered', 'round-mismatch']);
});

it('ends a run before it starts it: nothing is counted for what cannot go on', async () => {
  const ask = askFor(attacker.cast);
  const { signatures, channel } = await attacker.agreed(ask);
  const before = await attacker.counted();
  channel.abort(voided());
  expect(await codeOf(attacker.start(A, ask, signatures))).toBe(voided().code);
  expect(await attacker.counted()).toEqual(before);
});

it('starts twice at once: one is counted', async () => {
  const ask = askFor(attacker.cast);
  const { signatures, channel } = await attacker.agreed(ask);
  const before = await attacker.counted();
  const codes = await Promise.all([1, 2].map(() => codeOf(attacker.start(A, ask, signatures))));
  expect(codes.toSorted()).toEqual(['answered', 'round-mismatch']);
  const after = await attacker.counted();
  expect(after[0]).toBe((before[0] ?? 0) + 1);
  channel.abort(voided());
});
