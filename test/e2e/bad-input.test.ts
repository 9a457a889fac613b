/**
 * Bad input over HTTP to a real gateway with real domains: each gets its problem document; nothing
 * is run, nothing is charged, no process ends, and afterwards a run works as before.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PROBLEM_TYPE } from '../../src/gateway/problem.ts';
import { PROBLEM_TABLE } from '../../src/gateway/problem-table.ts';
import type { ContractBody, MeteringRecordBody } from '../../src/contracts/api.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import type { RunRequest, SignedRequest } from '../../src/contracts/request.ts';
import { contractHash, signContract, signRequest } from '../../src/contracts/signed-documents.ts';
import { ERROR_CODES, WeirError } from '../../src/errors.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemClock } from '../../src/system/clock.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { type Problem, withUnknownKey } from './support/bad-bodies.ts';
import { endOf } from './support/books.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'region' }],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'ages', fn: 'sum', column: 'age' },
  ],
  select: [{ column: 'region', in: { parameter: 'regions' } }],
};
const TERMS = {
  parameters: {
    regions: { kind: 'labels' as const, column: 'region', labels: ['north', 'south'], most: 1 },
  },
};
const ARGUMENTS = { regions: ['north'] };

let weir: TestWeir;
let contract: ContractBody;
let token: string;
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 60), controlled: true });
  contract = await weir.agree(PLAN, TERMS);
  token = await tokenOf('analyst');
  before = await everything();
});
afterAll(() => weir.close());
afterEach(async () => {
  const after = await everything();
  // Refusals of a call about a contract leave a record of nothing, and nothing else changes.
  const denials = after.records.slice(before.records.length);
  for (const { outcome, units, chargeMicros, runId } of denials) {
    expect([outcome, units, chargeMicros, runId]).toEqual(['denied', {}, '0', undefined]);
  }
  expect({ ...after, records: [] }).toEqual({ ...before, records: [] });
  for (const name of ['gateway', ...PARTIES]) {
    expect(() => process.kill(weir.program(name).pid, 0)).not.toThrow();
  }
  before = after;
});

/** What must not change: what domains counted, what is left, and every record so far. */
async function everything(): Promise<{
  readonly spends: readonly number[];
  readonly quota: unknown;
  readonly records: readonly MeteringRecordBody[];
}> {
  const statuses = await Promise.all(PARTIES.map((party) => weir.officer(party).status()));
  const { quota } = await weir.analyst.explain(contract.contract.id, ARGUMENTS);
  const { records } = await weir.operator.meteringRecords({ limit: 1000 });
  return { spends: statuses.map(({ counters }) => counters.spends), quota, records };
}

async function tokenOf(role: 'analyst' | 'billing', ttlS = 3600): Promise<string> {
  const party = PartyIdSchema.parse('analyst');
  return (await weir.operator.createToken({ role, party, label: 'bad input', ttlS })).token;
}

interface Call {
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The problem that a POST is answered with, as the table says that it must be. */
async function refusal(path: string, body: unknown, call: Call = {}): Promise<Problem> {
  const bearer = 'token' in call ? call.token : token;
  const response = await fetch(weir.url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': encodeBase64url(systemRandom.bytes(16)),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...call.headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const problem = (await response.json()) as Problem;
  expect(response.headers.get('content-type')).toBe(PROBLEM_TYPE);
  expect(Object.values(ERROR_CODES).flat()).toContain(problem.code);
  expect(problem.type).toBe(`urn:weir:problem:${problem.code}`);
  expect([problem.status, response.status]).toEqual(
    Array.from({ length: 2 }, () => PROBLEM_TABLE[problem.code].status),
  );
  return problem;
}

const codeOf = async (path: string, body: unknown, call?: Call): Promise<string> =>
  (await refusal(path, body, call)).code;

/** A request of the analyst's, with changes before it signs. */
function request(changes: Partial<RunRequest> = {}, keys = weir.keys.signing): SignedRequest {
  return signRequest(
    {
      format: 'weir-request/1',
      contractId: contract.contract.id,
      contractHash: contract.hash,
      arguments: ARGUMENTS,
      nonce: encodeBase64url(systemRandom.bytes(32)),
      expiresAt: new Date(systemClock.now() + 600_000).toISOString(),
      ...changes,
    },
    keys,
  );
}

/** A draft of another contract, changed before the analyst signs it. */
async function proposal(changes: Partial<Contract>): Promise<{
  contract: Contract;
  signatures: ReturnType<typeof signContract>[];
}> {
  const draft = await weir.analyst.draft(PLAN, { title: { zh: '坏', en: 'Bad' }, ...TERMS });
  const changed = { ...draft, ...changes };
  return {
    contract: changed,
    signatures: [signContract(changed, changed.analyst.id, weir.keys.signing)],
  };
}

describe('a request to run', () => {
  it('control: is accepted as it is', async () => {
    const started = await weir.analyst.client.startRun(request());
    expect((await endOf(weir, started.runId)).state).toBe('posted');
    before = await everything();
  });

  it('names a contract that is not there, or the hash of another', async () => {
    const id = uuidV7(systemClock, systemRandom) as Contract['id'];
    expect(await codeOf('/v1/runs', request({ contractId: id }))).toBe('contract-unknown');
    const hash = contract.hash.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const other = request({ contractHash: hash as typeof contract.hash });
    expect(await codeOf('/v1/runs', other)).toBe('descriptor-mismatch');
  });

  it('has a forged signature, or none', async () => {
    const forged = request({}, eddsaSuite.generate(systemRandom));
    expect(await codeOf('/v1/runs', forged)).toBe('signature-invalid');
    const signed = request();
    const moved = { ...signed, request: { ...signed.request, arguments: { regions: ['south'] } } };
    expect(await codeOf('/v1/runs', moved)).toBe('signature-invalid');
    expect(await codeOf('/v1/runs', { request: signed.request })).toBe('malformed-message');
    expect(await codeOf('/v1/runs', { ...signed, jws: '' })).toBe('signature-invalid');
  });

  it('asks for what the contract does not allow', async () => {
    const asked = (args: RunRequest['arguments']): Promise<string> =>
      codeOf('/v1/runs', request({ arguments: args }));
    expect(await asked({ regions: ['north', 'south'] })).toBe('plan-outside-contract');
    expect(await asked({ regions: ['远东'] })).toBe('plan-outside-contract');
    expect(await asked({})).toBe('parameter-invalid');
    expect(await asked({ ...ARGUMENTS, more: ['north'] })).toBe('parameter-invalid');
  });

  it('is too old, or good for too long', async () => {
    const at = (ms: number): SignedRequest =>
      request({ expiresAt: new Date(systemClock.now() + ms).toISOString() });
    expect(await codeOf('/v1/runs', at(-1))).toBe('request-expired');
    expect(await codeOf('/v1/runs', at(2 * 86_400_000))).toBe('parameter-invalid');
  });

  it('comes without a key of its own, or under one of another', async () => {
    const headers = { 'idempotency-key': '' };
    expect(await codeOf('/v1/runs', request(), { headers })).toBe('malformed-message');
    const started = request();
    const key = encodeBase64url(systemRandom.bytes(16));
    const { runId } = await weir.analyst.client.startRun(started, key);
    await endOf(weir, runId);
    before = await everything();
    const again = { headers: { 'idempotency-key': key } };
    expect(await codeOf('/v1/runs', request(), again)).toBe('idempotency-conflict');
  });

  it('is of another analyst', async () => {
    const other = PartyIdSchema.parse('stranger');
    const made = { role: 'analyst', party: other, label: 'x', ttlS: 600 } as const;
    const { token: foreign } = await weir.operator.createToken(made);
    expect(await codeOf('/v1/runs', request(), { token: foreign })).toBe('contract-unknown');
  });
});

describe('a token', () => {
  it('is missing, wrong, or of another role', async () => {
    expect(await codeOf('/v1/runs', request(), { token: undefined })).toBe('credential-missing');
    const wrong = token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    expect(await codeOf('/v1/runs', request(), { token: wrong })).toBe('credential-invalid');
    expect(await codeOf('/v1/runs', request(), { token: 'a b' })).toBe('credential-invalid');
    const billing = await tokenOf('billing');
    expect(await codeOf('/v1/runs', request(), { token: billing })).toBe('scope-insufficient');
    expect(await codeOf('/v1/tokens', {})).toBe('scope-insufficient');
  });

  it('has expired', async () => {
    const short = await tokenOf('analyst', 60);
    await weir.gateway.order({ kind: 'age', aheadMs: 61_000 });
    expect(await codeOf('/v1/runs', request(), { token: short })).toBe('credential-expired');
    await weir.gateway.order({ kind: 'age', aheadMs: -61_000 });
  });
});

describe('a contract', () => {
  it('was changed by one byte after it was signed', async () => {
    const signed = await proposal({});
    for (const [from, to] of [
      ['"runsTotal":1000', '"runsTotal":1001'],
      ['"zh":"坏"', '"zh":"好"'],
      ['"smallestCell":3', '"smallestCell":4'],
    ] as const) {
      const text = JSON.stringify(signed);
      expect(text).toContain(from);
      expect(await codeOf('/v1/contracts', text.replace(from, to))).toBe('signature-invalid');
    }
  });

  it('lacks its analyst’s signature, or has somebody else’s', async () => {
    const signed = await proposal({});
    const none = { ...signed, signatures: [] };
    expect(await codeOf('/v1/contracts', none)).toBe('signature-missing');
    const keys = eddsaSuite.generate(systemRandom);
    const forged = [signContract(signed.contract, signed.contract.analyst.id, keys)];
    expect(await codeOf('/v1/contracts', { ...signed, signatures: forged })).toBe(
      'signature-invalid',
    );
    const path = `/v1/contracts/${contract.contract.id}/signatures`;
    const clinic = signContract(contract.contract, PartyIdSchema.parse('clinic'), keys);
    expect(await codeOf(path, clinic)).toBe('party-not-in-contract');
    const own = signContract(contract.contract, contract.contract.analyst.id, keys);
    expect(await codeOf(path, own)).toBe('contract-not-active');
  });

  it('asks for a column or dataset that is not there', async () => {
    const column = 'nowhere';
    const groups = [{ column }];
    const unlisted = await proposal({ plan: { ...PLAN, groups, select: [] }, parameters: {} });
    expect(await codeOf('/v1/contracts', unlisted)).toBe('column-unknown');
    const invented = { plan: { ...PLAN, groups, select: [] }, parameters: {} };
    const dictionaries = [{ column, labels: ['x'] }];
    const ask = (changed: Contract): Promise<string> =>
      codeOf('/v1/explain', { contract: changed, arguments: {} });
    expect(await ask((await proposal({ ...invented, dictionaries })).contract)).toBe(
      'column-unknown',
    );
    const { contract: draft } = await proposal({});
    const datasets = draft.datasets.map((dataset) => ({ ...dataset, dataset: 'nothing' }));
    const unknown = { ...draft, datasets };
    expect(await codeOf('/v1/explain', { contract: unknown, arguments: ARGUMENTS })).toBe(
      'dataset-unknown',
    );
  });

  it('of a dataset that is not there is signed by no officer', async () => {
    const draft = await weir.analyst.draft(PLAN, { title: { zh: '坏', en: 'Bad' }, ...TERMS });
    const datasets = draft.datasets.map((dataset) => ({ ...dataset, dataset: 'nothing' }));
    const bad = { ...draft, datasets };
    await weir.analyst.propose(bad).catch(() => undefined);
    const hash = contractHash(bad);
    for (const party of PARTIES) {
      const signing = weir.officer(party).sign(bad.id, { hash });
      const code = await signing.then(
        () => 'signed',
        (error: unknown) => (error instanceof WeirError ? error.code : 'untyped'),
      );
      expect(['dataset-unknown', 'contract-unknown']).toContain(code);
    }
  });

  it('has too many cells, wider bounds than published, or a filter it does not group by', async () => {
    const wide = [{ column: 'age', minimum: '0', maximum: '999999999999999999', scale: 0 }];
    const { contract: draft } = await proposal({ bounds: wide });
    const widened = { contract: draft, arguments: ARGUMENTS };
    expect(await codeOf('/v1/explain', widened)).toBe('parameter-invalid');
    const labels = Array.from({ length: 4097 }, (_, index) => `l${index}`);
    const plan = {
      ...PLAN,
      groups: [{ column: 'region' }, { column: 'kind' }],
      select: [],
    };
    const dictionaries = ['region', 'kind'].map((column) => ({ column, labels }));
    const many = await proposal({ plan, dictionaries, parameters: {} });
    expect(await codeOf('/v1/contracts', many)).toBe('too-many-cells');
    const select = [{ column: 'kind', in: { values: ['a'] } }];
    const filtered = await proposal({ plan: { ...PLAN, select }, parameters: {} });
    expect(await codeOf('/v1/contracts', filtered)).toBe('query-not-supported');
  });
});

describe('a limit', () => {
  it('that is used up says which, what is left and when it comes back', async () => {
    const limits = { runsTotal: 5, runsPerDay: 1, runsPerMonth: 5 };
    const limited = await weir.agree(PLAN, { ...TERMS, limits });
    const ask = (): SignedRequest =>
      request({ contractId: limited.contract.id, contractHash: limited.hash });
    const { runId } = await weir.analyst.client.startRun(ask());
    expect((await endOf(weir, runId)).state).toBe('posted');
    before = await everything();
    const problem = await refusal('/v1/runs', ask());
    expect(problem).toMatchObject({ code: 'quota-exceeded', dimension: 'runs/day', left: '0' });
    const resetsAt = Date.parse(problem['resetsAt'] as string);
    expect(resetsAt).toBeGreaterThan(systemClock.now());
    expect(resetsAt).toBeLessThanOrEqual(systemClock.now() + 86_400_000);
  });
});

describe('a body', () => {
  it('is no JSON, too deep, or too large', async () => {
    expect(await codeOf('/v1/runs', '{"request":')).toBe('invalid-json');
    expect(await codeOf('/v1/runs', `${'['.repeat(99)}${']'.repeat(99)}`)).toBe(
      'malformed-message',
    );
    const big = JSON.stringify({ ...request(), pad: 'x'.repeat(12 * 1024 * 1024) });
    expect(await codeOf('/v1/runs', big)).toBe('body-too-large');
  });

  it('has an unknown key in any of its objects', async () => {
    const { contract: draft, signatures } = await proposal({});
    const [signature] = signatures;
    const name = { zh: '甲', en: 'A' };
    const party = { id: 'newcomer', name, signKey: draft.analyst.signKey };
    const enrolment = { token: 'weir_enrol_x', party, proof: `${'A'.repeat(85)}Q` };
    const bodies: readonly [string, unknown][] = [
      ['/v1/runs', request()],
      ['/v1/contracts', { contract: draft, signatures }],
      [`/v1/contracts/${contract.contract.id}/signatures`, signature],
      ['/v1/explain', { contractId: contract.contract.id, arguments: ARGUMENTS }],
      ['/v1/explain', { contract: draft, arguments: ARGUMENTS }],
      ['/v1/enrolments', enrolment],
    ];
    let objects = 0;
    for (const [path, body] of bodies) {
      for (const { place, changed } of withUnknownKey(body)) {
        const { code, path: told } = await refusal(path, changed);
        expect([path, place, code]).toEqual([path, place, 'malformed-message']);
        expect([path, told]).toEqual([path, `${place}/unknown-key`]);
        objects += 1;
      }
    }
    expect(objects).toBeGreaterThan(60);
  });
});
