/** What the SDK tells of many contracts, and of a run before it has ended. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateAnalystKeys, runToEnd } from '../../src/client/analyst.ts';
import { WeirClient } from '../../src/client/weir-client.ts';
import type { SignedContract } from '../../src/contracts/contract.ts';
import { requestHash } from '../../src/contracts/signed-documents.ts';
import { ContractIdSchema, type ContractId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast, makeContract, signByAll } from '../fixtures/contract.ts';
import { startTestGateway, type TestGateway } from '../fixtures/gateway.ts';

const cast = makeCast();
const keys = { ...generateAnalystKeys(systemRandom), signing: cast.keyOf(ANALYST) };
let gateway: TestGateway;
let client: WeirClient;

beforeAll(async () => {
  gateway = await startTestGateway();
  client = new WeirClient({
    url: gateway.url,
    token: await gateway.tokenFor('analyst', ANALYST),
  });
});
afterAll(async () => {
  client.close();
  await gateway.close();
});

const idOf = (at: number): ContractId =>
  ContractIdSchema.parse(`0190c9a0-0000-7000-8000-0000000${String(20_000 + at)}`);
const contractAt = (at: number): SignedContract =>
  signByAll(makeContract(cast, { id: idOf(at) }), cast);

describe('contracts', () => {
  it('are told to the last, however many pages they take', async () => {
    const ids = Array.from({ length: 45 }, (_, at) => idOf(at));
    for (const at of ids.keys()) await client.proposeContract(contractAt(at));
    const told: ContractId[] = [];
    for await (const { contract } of client.everyContract()) told.push(contract.id);
    expect(told).toEqual(ids);
    // The control: a page alone is not all of them.
    expect((await client.contracts()).contracts.length).toBeLessThan(ids.length);
  });
});

describe('a run', () => {
  it('tells its signed request before its first event, so that no crash loses its result', async () => {
    const told: string[] = [];
    const contract = contractAt(99);
    const stop = new AbortController();
    const run = runToEnd(client, {
      contract,
      arguments: { hours: ['7'] },
      keys,
      signal: stop.signal,
      onStarted: (runId, { request }) => told.push(`${runId} ${requestHash(request)}`),
      onEvent: ({ runId, state }) => {
        told.push(`${runId} ${state}`);
        stop.abort();
      },
    });
    await expect(run).rejects.toThrow();
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(/ [0-9a-f]{64}$/);
    expect(told[1]).toBe(`${told[0]?.split(' ')[0] ?? ''} reserved`);
  });
});
