/** The SDK against a gateway on a socket: runs to the end, resumes, retries, and trusts nothing. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { generateAnalystKeys, prepareRun, runToEnd } from '../../src/client/analyst.ts';
import { GatewayUnreachable, WeirProblem } from '../../src/client/problem.ts';
import { WeirClient, type WeirClientOptions } from '../../src/client/weir-client.ts';
import type { RunEventBody } from '../../src/contracts/api.ts';
import type { SignedContract } from '../../src/contracts/contract.ts';
import { signReceipt, type Receipt, type SignedReceipt } from '../../src/contracts/receipt.ts';
import type { SignedRequest } from '../../src/contracts/request.ts';
import { sealedResultHash, sealResult } from '../../src/contracts/sealed-result.ts';
import { contractHash, requestHash } from '../../src/contracts/signed-documents.ts';
import { signDocument } from '../../src/contracts/signing.ts';
import { errorOfCode, SetupError } from '../../src/errors.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import type { Clock } from '../../src/system/clock.ts';
import { HashSchema, PartyIdSchema, type RunId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { ANALYST, HOLDERS, makeCast, makeContract, signByAll } from '../fixtures/contract.ts';
import { startTestGateway, type TestGateway } from '../fixtures/gateway.ts';
import { makeTlsFiles } from '../fixtures/tls.ts';

const cast = makeCast();
const keys = { ...generateAnalystKeys(systemRandom), signing: cast.keyOf(ANALYST) };
const RELEASE = { columns: ['flights'], rows: [[12]], suppressedCells: 0, releasedCells: 1 };
const HASH = HashSchema.parse('ab'.repeat(32));
/** Waits of the SDK cost no time here, though its clock tells that they did. */
let waitedMs = 0;
const hasty: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now() + waitedMs,
  sleep: (delayMs) => {
    waitedMs += delayMs;
    return new Promise((done) => setImmediate(done));
  },
};
const open: WeirClient[] = [];
let gateway: TestGateway;
let token: string;
let contracts = 0;

beforeAll(async () => {
  gateway = await startTestGateway();
  token = await gateway.tokenFor('analyst', ANALYST);
});
afterEach(() => {
  for (const client of open.splice(0)) client.close();
});
afterAll(async () => {
  await gateway.close();
});

function clientOf(options: Partial<WeirClientOptions> = {}): WeirClient {
  const client = new WeirClient({ url: gateway.url, token, clock: hasty, ...options });
  open.push(client);
  return client;
}

/** A contract of its own, so that no test uses up another's quota. */
function freshContract(): SignedContract {
  contracts += 1;
  const id = `0190c9a0-0000-7000-8000-0000000${String(10_000 + contracts)}`;
  const encryptionKey = encodeBase64url(keys.encryption.publicKey);
  const recipient = { id: ANALYST, encryptionKey };
  return signByAll(makeContract(cast, { id: id as Receipt['contractId'], recipient }), cast);
}

/** What gateway and domains would sign at the end of the run. */
async function settle(
  { contract }: SignedContract,
  request: SignedRequest,
  runId: RunId,
  change: Partial<Receipt> = {},
): Promise<{ sealed: string; receipt: SignedReceipt }> {
  const place = { runId, contractHash: contractHash(contract) };
  const sealed = await sealResult(place, RELEASE, contract.recipient);
  const receipt: Receipt = {
    format: 'weir-receipt/1',
    gatewayKey: encodeBase64url(gateway.identity.publicKey),
    runId,
    attempt: 1,
    contractId: contract.id,
    contractHash: place.contractHash,
    requestHash: requestHash(request.request),
    descriptorHash: HASH,
    parties: [...HOLDERS],
    spends: HOLDERS.map((party, index) => ({ party, seq: index + 1, hash: HASH })),
    outcome: 'posted',
    code: null,
    units: { runs: '1' },
    chargeMicros: '1000000',
    currency: 'CNY',
    record: { seq: '1', hash: HASH },
    audit: { size: '1', hash: HASH },
    resultHash: sealedResultHash(sealed),
    at: '2026-06-15T12:00:00Z',
    ...change,
  };
  const signed = signReceipt(receipt, gateway.identity);
  const countersignatures = HOLDERS.map((party) => ({
    party,
    jws: signDocument('weir/countersign/v1', receipt, cast.keyOf(party)),
  }));
  return { sealed, receipt: { ...signed, countersignatures } };
}

/** Starts a run, and lets the gateway answer as `answer` says once it is under way. */
function runWith(
  contract: SignedContract,
  answer: (runId: RunId, request: SignedRequest) => Promise<{ sealed: string; receipt: object }>,
  onEvent?: (event: RunEventBody) => void,
  gatewayKey?: Uint8Array,
): ReturnType<typeof runToEnd> {
  const at = { nowMs: Date.now() };
  const prepared = prepareRun(contract.contract, { hours: ['7'] }, keys, at, systemRandom);
  return runToEnd(clientOf(), {
    contract,
    arguments: { hours: ['7'] },
    keys,
    prepared,
    ...(gatewayKey === undefined ? {} : { gatewayKey }),
    onEvent: (event) => {
      onEvent?.(event);
      if (event.state !== 'reserved') return;
      void answer(event.runId, prepared.request).then(({ sealed, receipt }) => {
        gateway.runs.advance(event.runId, 'computing');
        gateway.runs.post({ runId: event.runId, sealed, receipt: { ...receipt } });
      });
    },
  });
}

describe('runToEnd', () => {
  it('signs, starts, follows, verifies the receipt and opens the result', async () => {
    const contract = freshContract();
    const states: string[] = [];
    const finished = await runWith(
      contract,
      (runId, request) => settle(contract, request, runId),
      (event) => states.push(event.state),
    );
    expect(states).toEqual(['reserved', 'computing', 'posted']);
    expect(finished.result.release).toEqual(RELEASE);
    expect(finished.verified).toMatchObject({ countersignedBy: HOLDERS, missing: [] });
  });

  it('does not take another run’s, another request’s or a forged receipt', async () => {
    const contract = freshContract();
    const otherRun = runWith(contract, (runId, request) =>
      settle(contract, request, runId, { requestHash: HASH }),
    );
    await expect(otherRun).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    const otherId = '0190c9a0-0000-7000-8000-0000000000ee' as RunId;
    for (const change of [{ runId: otherId }, { outcome: 'refused' as const }]) {
      const told = runWith(contract, (runId, request) => settle(contract, request, runId, change));
      await expect(told).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    }
    const otherResult = runWith(contract, (runId, request) =>
      settle(contract, request, runId, { resultHash: HASH }),
    );
    await expect(otherResult).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    const changed = runWith(contract, async (runId, request) => {
      const honest = await settle(contract, request, runId);
      const receipt = { ...honest.receipt.receipt, chargeMicros: '1' };
      return { ...honest, receipt: { ...honest.receipt, receipt } };
    });
    await expect(changed).rejects.toMatchObject({ code: 'signature-invalid' });
    const alone = runWith(contract, async (runId, request) => {
      const honest = await settle(contract, request, runId);
      return { ...honest, receipt: { ...honest.receipt, countersignatures: [] } };
    });
    await expect(alone).rejects.toMatchObject({ code: 'signature-missing' });
    const { publicKey } = eddsaSuite.generate(systemRandom);
    const other = freshContract();
    const honest = (runId: RunId, request: SignedRequest) => settle(other, request, runId);
    const elsewhere = runWith(other, honest, undefined, publicKey);
    await expect(elsewhere).rejects.toMatchObject({ code: 'party-not-pinned' });
  });

  it('throws the code a run ended with', async () => {
    const contract = freshContract();
    const run = runToEnd(clientOf(), {
      contract,
      arguments: {},
      keys,
      onEvent: ({ runId, state }) => {
        if (state !== 'reserved') return;
        gateway.runs.failure = undefined;
        void clientOf().cancelRun(runId);
      },
    });
    await expect(run).rejects.toBeInstanceOf(WeirProblem);
    await expect(run).rejects.toMatchObject({ code: 'result-not-ready', status: 409 });
  });
});

describe('refusals', () => {
  it('come as problems with all members', async () => {
    gateway.runs.failure = errorOfCode('column-usage-forbids', 'No.', {
      column: 'delay',
      party: 'west',
      remedy: 'Ask for SUM.',
    });
    const error = await clientOf()
      .run('0190c9a0-0000-7000-8000-00000000dead' as RunId)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeirProblem);
    expect((error as WeirProblem).document).toMatchObject({ column: 'delay', party: 'west' });
    const anonymous = new WeirClient({ url: gateway.url });
    open.push(anonymous);
    await expect(anonymous.datasets()).rejects.toMatchObject({ code: 'credential-missing' });
  });

  it('that pass are asked again, with the same key, and others are not', async () => {
    const contract = freshContract();
    const at = { nowMs: Date.now() };
    const prepared = prepareRun(contract.contract, {}, keys, at, systemRandom);
    gateway.runs.failure = errorOfCode('queue-full', 'Busy.', { retryAfterS: 1 });
    const before = gateway.runs.started.length;
    const { runId, repeated } = await clientOf().startRun(
      prepared.request,
      prepared.idempotencyKey,
    );
    expect(repeated).toBe(false);
    const again = await clientOf().startRun(prepared.request, prepared.idempotencyKey);
    expect(again).toMatchObject({ runId, repeated: true });
    expect(gateway.runs.started.length).toBe(before + 1);
    gateway.runs.failure = errorOfCode('queue-full', 'It ended so.', { runIsOver: true });
    await expect(clientOf().run(runId)).rejects.toMatchObject({ code: 'queue-full' });
    gateway.runs.failure = errorOfCode('contract-revoked', 'Over.');
    await expect(clientOf().run(runId)).rejects.toMatchObject({ code: 'contract-revoked' });
    expect((await clientOf().run(runId)).runId).toBe(runId);
  });
});

describe('operator and billing methods', () => {
  it('work over the same routes', async () => {
    const operator = clientOf({ token: await gateway.tokenFor('operator') });
    const created = await operator.createToken({
      role: 'billing',
      party: PartyIdSchema.parse('books'),
      label: 'books',
      ttlS: 60,
    });
    const billing = clientOf({ token: created.token });
    expect((await billing.meteringRecords({ limit: 2 })).records.length).toBeLessThanOrEqual(2);
    expect((await billing.usage({ analyst: ANALYST })).lines.length).toBeGreaterThan(0);
    expect((await operator.tokens()).tokens.map(({ id }) => id)).toContain(created.id);
    await operator.revokeToken(created.id);
    await expect(billing.usage()).rejects.toMatchObject({ code: 'credential-invalid' });
    const party = PartyIdSchema.parse('west');
    const enrolment = await operator.createEnrolmentToken({ party, ttlS: 60 });
    expect(enrolment.token).toMatch(/^weir_enrol_/);
    expect((await operator.domains()).domains).toEqual([]);
    const analyst = clientOf();
    const filed = await analyst.proposeContract(freshContract());
    expect((await analyst.contract(filed.contract.id)).hash).toBe(filed.hash);
    const page = await analyst.contracts({ limit: 1 });
    expect(page.contracts).toHaveLength(1);
    const explained = await analyst.explain({ contractId: filed.contract.id, arguments: {} });
    expect(explained.protocol).toBe('secure-sum');
    expect(await analyst.datasets()).toEqual({ datasets: [] });
  });
});

describe('following', () => {
  /** A server that breaks each stream after one event; `handle` may answer anything. */
  async function withServer(
    handle: (request: IncomingMessage, response: ServerResponse) => void,
    use: (url: string) => Promise<void>,
  ): Promise<void> {
    const server = createServer(handle);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
  const runId = '0190c9a0-0000-7000-8000-000000000abc' as RunId;
  const eventOf = (seq: number, state: string): string =>
    `id: ${seq}\nevent: run\ndata: ${JSON.stringify({ runId, seq, at: '2026-06-15T12:00:00Z', state, note: '' })}\n\n`;

  it('survives broken streams: every event once, in order', async () => {
    const asked: unknown[] = [];
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      const after = Number(request.headers['last-event-id']);
      asked.push(after);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // Tells the last one again, then one more, then breaks in the middle of another.
      const next = after + 1;
      response.write(after > 0 ? eventOf(after, 'computing') : ': open\n\n');
      response.write(eventOf(next, next === 4 ? 'posted' : 'computing'));
      response.write(eventOf(next + 1, 'computing').slice(0, 30), () => response.destroy());
    };
    await withServer(handle, async (url) => {
      const seqs: number[] = [];
      for await (const { seq } of clientOf({ url }).follow(runId)) seqs.push(seq);
      expect(seqs).toEqual([1, 2, 3, 4]);
      expect(asked).toEqual([0, 1, 2, 3]);
    });
  });

  it('gives up on streams that never bring anything, and on what is no gateway', async () => {
    const barren = (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).destroy();
    };
    await withServer(barren, async (url) => {
      const events = clientOf({ url }).follow(runId);
      await expect(events.next()).rejects.toBeInstanceOf(GatewayUnreachable);
    });
    const foreign = (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    };
    await withServer(foreign, async (url) => {
      const once = { retry: { attemptsMax: 1, baseMs: 1, waitMaxMs: 1 } };
      await expect(clientOf({ url, ...once }).run(runId)).rejects.toThrow(/not of this API/);
    });
  });
});

describe('the connection', () => {
  it('is never plain beyond this machine, where a token would be read on the way', () => {
    const codeOf = (url: string): unknown => {
      try {
        open.push(new WeirClient({ url, token }));
        return undefined;
      } catch (error) {
        return error instanceof SetupError ? error.code : error;
      }
    };
    expect(codeOf('http://gateway.example')).toBe('tls-required');
    expect(codeOf('http://192.0.2.1:80')).toBe('tls-required');
    expect(codeOf('ftp://127.0.0.1')).toBe('config-invalid');
    expect(codeOf('nonsense')).toBe('config-invalid');
    expect(codeOf('http://127.0.0.1:1')).toBeUndefined();
    expect(codeOf('http://[::1]:1')).toBeUndefined();
    expect(codeOf('https://gateway.example')).toBeUndefined();
  });

  it('trusts the one authority it is given, and no other', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weir-client-'));
    const tls = await makeTlsFiles(directory, 'gateway');
    const stranger = await makeTlsFiles(directory, 'stranger');
    const secure = await startTestGateway({ tls });
    const by = await secure.tokenFor('analyst', ANALYST);
    const once = { attemptsMax: 1, baseMs: 1, waitMaxMs: 1 };
    const options = { url: secure.url, token: by, retry: once };
    const ca = readFileSync(tls.certFile, 'utf8');
    expect(await clientOf({ ...options, ca }).datasets()).toEqual({ datasets: [] });
    const wrong = clientOf({ ...options, ca: readFileSync(stranger.certFile, 'utf8') });
    await expect(wrong.datasets()).rejects.toBeInstanceOf(GatewayUnreachable);
    await expect(clientOf(options).datasets()).rejects.toBeInstanceOf(GatewayUnreachable);
    await secure.close();
    rmSync(directory, { recursive: true });
  });

  it('that is refused says so in one sentence', async () => {
    const client = clientOf({
      url: 'http://127.0.0.1:1',
      retry: { attemptsMax: 2, baseMs: 1, waitMaxMs: 1 },
    });
    await expect(client.datasets()).rejects.toThrow(
      /^The gateway at http:\/\/127\.0\.0\.1:1 does not answer: .+\.$/,
    );
  });
});

describe('keys', () => {
  it('are fresh, of the right size, and usable', () => {
    const made = generateAnalystKeys(systemRandom);
    expect(made.encryption.publicKey).toHaveLength(32);
    expect(made.encryption.publicKey).not.toEqual(
      generateAnalystKeys(systemRandom).encryption.publicKey,
    );
    const message = new TextEncoder().encode('m');
    const signature = eddsaSuite.sign('weir/request/v1', message, made.signing);
    expect(eddsaSuite.isValid('weir/request/v1', message, signature, made.signing.publicKey)).toBe(
      true,
    );
  });
});
