/** The analyst's client acts under contracts that it signed itself, whatever a gateway hands out. */
import { afterAll, describe, expect, it } from 'vitest';
import {
  fetchResult,
  generateAnalystKeys,
  prepareRun,
  runToEnd,
} from '../../src/client/analyst.ts';
import { runOwnSet } from '../../src/client/own-set.ts';
import { GatewayUnreachable } from '../../src/client/problem.ts';
import { WeirClient } from '../../src/client/weir-client.ts';
import type { AnalystMachine } from '../../src/computations/own-set/analyst.ts';
import type { SignedContract } from '../../src/contracts/contract.ts';
import { ContractIdSchema, RunIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast, makeContract, signByAll } from '../fixtures/contract.ts';
import { CLINIC, ownSetContract } from '../fixtures/own-set-contract.ts';

const cast = makeCast();
const keys = { ...generateAnalystKeys(systemRandom), signing: cast.keyOf(ANALYST) };
const own = signByAll(makeContract(cast), cast);
const args = { hours: ['7'] };
/** Nothing listens there: whoever asks it is told so. */
const nowhere = new WeirClient({
  url: 'http://127.0.0.1:1',
  retry: { attemptsMax: 1, baseMs: 1, waitMaxMs: 1 },
});
afterAll(() => nowhere.close());

async function* noIds(): AsyncGenerator<readonly string[]> {}

/** Whoever blinds anything with it fails the test. */
function idleMachine(): AnalystMachine {
  const never = (): never => {
    throw new Error('nothing is to be blinded');
  };
  return {
    engine: { parallel: 1, blind: never, evaluate: never },
    digest: never,
    openSpill: never,
    randomBytes: never,
  };
}

describe('an analyst’s client', () => {
  // The same parties and terms, with keys that the analyst has never seen.
  const made = makeCast();
  const forged = signByAll(makeContract(made), made);
  const cases: readonly (readonly [string, SignedContract, string])[] = [
    ['of the gateway’s own keys', forged, 'signature-invalid'],
    [
      'with the analyst’s key and another’s signature',
      { ...forged, contract: { ...forged.contract, analyst: own.contract.analyst } },
      'signature-invalid',
    ],
    [
      'that it never signed',
      { ...own, signatures: own.signatures.filter(({ party }) => party !== ANALYST) },
      'signature-missing',
    ],
  ];

  it.each(cases)('runs nothing under a contract %s', async (_what, contract, code) => {
    const run = runToEnd(nowhere, { contract, arguments: args, keys });
    await expect(run).rejects.toMatchObject({ code });
  });

  it('asks the gateway for a run of its own contract: the control', async () => {
    const run = runToEnd(nowhere, { contract: own, arguments: args, keys });
    await expect(run).rejects.toBeInstanceOf(GatewayUnreachable);
  });

  it('blinds no set for a holder that a gateway made up', async () => {
    const clinic = makeCast([CLINIC]);
    const contract = signByAll(ownSetContract({}, {}, clinic), clinic);
    const command = { contract, ids: { count: 1, read: noIds }, machine: idleMachine() };
    const match = runOwnSet(nowhere, { ...command, keys });
    await expect(match).rejects.toMatchObject({ code: 'signature-invalid' });
    const signing = clinic.keyOf(ANALYST);
    const allowed = runOwnSet(nowhere, { ...command, keys: { ...keys, signing } });
    await expect(allowed).rejects.toBeInstanceOf(GatewayUnreachable);
  });

  it('fetches no result under another contract than its request names', async () => {
    const id = ContractIdSchema.parse('0190c9a0-0000-7000-8000-000000000002');
    const other = signByAll(makeContract(cast, { id }), cast);
    const at = { nowMs: Date.now() };
    const { request } = prepareRun(own.contract, args, keys, at, systemRandom);
    const runId = RunIdSchema.parse('0190c9a0-0000-7000-8000-0000000000aa');
    const swapped = fetchResult(nowhere, runId, request, { contract: other, keys });
    await expect(swapped).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    const invented = prepareRun(forged.contract, args, keys, at, systemRandom);
    const handed = fetchResult(nowhere, runId, invented.request, { contract: forged, keys });
    await expect(handed).rejects.toMatchObject({ code: 'signature-invalid' });
    const honest = fetchResult(nowhere, runId, request, { contract: own, keys });
    await expect(honest).rejects.toBeInstanceOf(GatewayUnreachable);
  });
});
