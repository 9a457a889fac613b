/**
 * Bad input over the link to a real gateway, by an enrolled domain that keeps to no rule: broken
 * frames end its own link with a reason, malformed requests are refused with a code; the gateway
 * and the others go on, and a run works afterwards.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { initDomain } from '../../src/cli/init.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { encodeEnrolment } from '../../src/contracts/enrolment.ts';
import { DOMAIN_ASKS } from '../../src/contracts/link-messages.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { CLOSE_CODES, type CloseReason, reasonOfCode } from '../../src/link/close-reason.ts';
import { encodeFrame } from '../../src/link/frame-codec.ts';
import { FRAME_BYTES_MAX } from '../../src/link/limits.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemClock } from '../../src/system/clock.ts';
import { HashSchema, PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';
import { eddsaSuite, fingerprintOf } from '../../src/system/signature-suite.ts';
import { identityOf, joinRaw, proveRaw, type RawSocket, type RawWorld } from './raw-peer.ts';
import { withUnknownKey } from './support/bad-bodies.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];
const ROGUE = PartyIdSchema.parse('rogue');
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'region' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};

let weir: TestWeir;
let world: RawWorld;
let contract: ContractBody;

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 40) });
  contract = await weir.agree(PLAN);
  const keys = eddsaSuite.generate(systemRandom);
  const { token } = await weir.operator.createEnrolmentToken({ party: ROGUE, ttlS: 600 });
  const party = {
    id: ROGUE,
    name: { zh: '甲', en: 'Rogue' },
    signKey: encodeBase64url(keys.publicKey),
  };
  await weir.operator.enrol(encodeEnrolment(token, party, keys, eddsaSuite));
  world = { url: weir.url, keysOf: new Map([[ROGUE, keys]]) };
});
afterAll(() => weir.close());

/** The others are linked still, a run is posted, and nothing else stands in the books. */
afterEach(async () => {
  await weir.linked();
  const { request, idempotencyKey } = weir.prepare(contract);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  expect((await endOf(weir, runId)).state).toBe('posted');
  ran.push(runId);
  expect(faultsIn(await readBooks(weir, contract.contract.id, ran))).toEqual([]);
});
const ran: Awaited<ReturnType<typeof endOf>>['runId'][] = [];

const ask = (method: string, body: unknown, id = 0): Record<string, unknown> => ({
  t: 'request',
  id,
  method,
  body,
});
const witnessed = (id = 0): Record<string, unknown> =>
  ask(DOMAIN_ASKS.witnessed, { afterSeq: 0 }, id);

async function closesWith(reason: CloseReason, act: (raw: RawSocket) => void): Promise<void> {
  const raw = await joinRaw(world, ROGUE);
  act(raw);
  expect(reasonOfCode(await raw.closed)).toBe(reason);
}

/** The code that the gateway refuses a request with. */
async function failureOf(method: string, body: unknown): Promise<string> {
  const raw = await joinRaw(world, ROGUE);
  raw.send(ask(method, body));
  const frame = await raw.nextFrame();
  raw.socket.terminate();
  return frame.t === 'failure' ? frame.error.code : frame.t;
}

describe('frames', () => {
  it('control: a frame that keeps to the rules is answered', async () => {
    expect(await failureOf(DOMAIN_ASKS.witnessed, { afterSeq: 0 })).toBe('answer');
  });

  it('truncated, oversized, garbled, replayed or out of order end the link', async () => {
    const good = encodeFrame({ ...witnessed(), n: 0 });
    await closesWith('frame-malformed', (raw) => raw.socket.send(good.slice(0, -1)));
    await closesWith('frame-malformed', (raw) => raw.socket.send(systemRandom.bytes(64)));
    await closesWith('frame-not-binary', (raw) => raw.socket.send('text'));
    await closesWith('frame-too-large', (raw) =>
      raw.socket.send(new Uint8Array(FRAME_BYTES_MAX + 1)),
    );
    await closesWith('sequence-broken', (raw) => {
      raw.socket.send(good);
      raw.socket.send(good);
    });
    await closesWith('sequence-broken', (raw) => raw.send(witnessed(), 7));
    await closesWith('frame-unexpected', (raw) => raw.send(witnessed(3)));
  });

  it('with an unknown key in any object end the link', async () => {
    const data = {
      t: 'data',
      run: uuidV7(systemClock, systemRandom),
      attempt: 1,
      from: ROGUE,
      to: 'clinic',
      kind: 'k',
      count: 0,
      last: true,
      payload: new Uint8Array(3),
    };
    await closesWith('frame-malformed', (raw) => raw.send({ ...witnessed(), extra: 1 }));
    await closesWith('frame-malformed', (raw) => raw.send({ ...data, extra: 1 }));
    await closesWith('run-unknown', (raw) => raw.send(data));
  });

  it('of the handshake under another key are let in nowhere', async () => {
    const { raw } = await proveRaw(
      world,
      identityOf(world, ROGUE, eddsaSuite.generate(systemRandom)),
    );
    expect(await raw.closed).toBe(CLOSE_CODES['handshake-refused']);
  });
});

describe('requests', () => {
  it('that nobody knows, or of another form, are refused', async () => {
    expect(await failureOf('no.such', {})).toBe('route-unknown');
    for (const body of [null, [], 'x', { afterSeq: -1 }, { afterSeq: '0' }, {}]) {
      expect(await failureOf(DOMAIN_ASKS.witnessed, body)).toBe('malformed-message');
    }
  });

  it('with an unknown key in any object are refused', async () => {
    const hash = HashSchema.parse('0'.repeat(64));
    const id = contract.contract.id;
    const notice = { contractId: id, contractHash: hash, party: ROGUE, reason: '', at: now() };
    const decision = {
      format: 'weir-release/1',
      runId: uuidV7(systemClock, systemRandom),
      contractHash: hash,
      descriptorHash: hash,
      party: ROGUE,
      decision: 'approved',
      at: now(),
    };
    const bodies: readonly [string, unknown][] = [
      [DOMAIN_ASKS.contracts, { after: null }],
      [DOMAIN_ASKS.contract, { id }],
      [DOMAIN_ASKS.sign, { id, signature: { party: ROGUE, jws: 'x' } }],
      [
        DOMAIN_ASKS.refuse,
        { signed: { refusal: { format: 'weir-refusal/1', ...notice }, jws: 'x' } },
      ],
      [
        DOMAIN_ASKS.revoke,
        { signed: { revocation: { format: 'weir-revocation/1', ...notice }, jws: 'x' } },
      ],
      [
        DOMAIN_ASKS.pause,
        {
          signed: {
            pause: { format: 'weir-pause/1', standing: 'suspended', ...notice },
            jws: 'x',
          },
        },
      ],
      [DOMAIN_ASKS.decided, { signed: { release: decision, jws: 'x' } }],
      [DOMAIN_ASKS.witnessed, { afterSeq: 0 }],
      [DOMAIN_ASKS.log, { fromSize: null }],
      [DOMAIN_ASKS.publish, { names: [], datasets: [] }],
    ];
    expect(bodies.map(([method]) => method).toSorted()).toEqual(
      Object.values(DOMAIN_ASKS).toSorted(),
    );
    for (const [method, body] of bodies) {
      // The control: but for the key, the body has the agreed form.
      expect([method, await failureOf(method, body)]).not.toEqual([method, 'malformed-message']);
      for (const { place, changed } of withUnknownKey(body)) {
        const code = await failureOf(method, changed);
        expect([method, place, code]).toEqual([method, place, 'malformed-message']);
      }
    }
  });

  it('in another’s name, or about another’s contract, are refused', async () => {
    const { id } = contract.contract;
    expect(await failureOf(DOMAIN_ASKS.contract, { id })).toBe('contract-unknown');
    const others = { id, signature: { party: 'clinic', jws: 'x' } };
    expect(await failureOf(DOMAIN_ASKS.sign, others)).toBe('party-not-in-contract');
    const own = { id, signature: { party: ROGUE, jws: 'x' } };
    expect(['party-not-in-contract', 'contract-unknown']).toContain(
      await failureOf(DOMAIN_ASKS.sign, own),
    );
  });
});

describe('enrolment', () => {
  it('of a domain that was told another fingerprint ends before anything is configured', async () => {
    const party = PartyIdSchema.parse('careful');
    const { token } = await weir.operator.createEnrolmentToken({ party, ttlS: 600 });
    const directory = join(weir.directory, party);
    const enrolling = initDomain({
      directory,
      party,
      name: { zh: '谨慎', en: 'Careful' },
      gatewayUrl: weir.url,
      token,
      datasets: [],
      gatewayFingerprint: fingerprintOf(eddsaSuite.generate(systemRandom).publicKey),
    });
    await expect(enrolling).rejects.toMatchObject({ code: 'peer-mismatch' });
    expect(existsSync(join(directory, 'config.json'))).toBe(false);
  });
});

function now(): string {
  return new Date(systemClock.now()).toISOString();
}
