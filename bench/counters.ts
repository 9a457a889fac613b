/**
 * What a domain's own checks cost a run: verifying contract, request and descriptor, and counting
 * durably (one transaction, one anchor, one mark), on real files.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signRequest, signDescriptor } from '../src/contracts/signed-documents.ts';
import { openAnchor } from '../src/domain/anchor.ts';
import { COUNTER_MIGRATIONS } from '../src/domain/counter-rows.ts';
import { openCounters } from '../src/domain/counters.ts';
import { verifyAgree, verifyPrepare, verifyStart } from '../src/domain/verify-run.ts';
import type { DomainView } from '../src/domain/verify-run.ts';
import { openSqliteStore } from '../src/store/sqlite-store.ts';
import { describeRun } from '../src/contracts/describe-run.ts';
import { encodeBase64url } from '../src/system/base64url.ts';
import { HashSchema, RunIdSchema } from '../src/system/ids.ts';
import { systemClock } from '../src/system/clock.ts';
import { systemRandom, uuidV7 } from '../src/system/random.ts';
import {
  ANALYST,
  HOLDERS,
  makeCast,
  makeContract,
  makeRequest,
  NOW_MS,
  signByAll,
} from '../test/fixtures/contract.ts';
import { makeCommand } from '../test/fixtures/counting.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const SPENDS = 300;
const SPENDS_LARGE = 5000;
const VERIFICATIONS = 200;

export const countersSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('spend and mark')) await spends(context);
    if (context.wants('verify a run')) verifications(context);
  },
};

async function spends(context: BenchContext): Promise<void> {
  const count = context.large ? SPENDS_LARGE : SPENDS;
  const directory = await mkdtemp(join(tmpdir(), 'weir-bench-'));
  const store = await openSqliteStore({
    file: join(directory, 'domain.db'),
    migrations: [COUNTER_MIGRATIONS],
  });
  const anchor = await openAnchor(join(directory, 'anchor'));
  const cast = makeCast();
  const self = HOLDERS[0] ?? ANALYST;
  const counters = await openCounters({ store, anchor, self, identity: cast.keyOf(self) });
  const base = makeContract(cast);
  const limits = { ...base.limits, runsTotal: count, runsPerDay: count, runsPerMonth: count };
  const commands = Array.from({ length: count }, () => makeCommand({ ...base, limits }));
  const tookMs: number[] = [];
  for (const command of commands) {
    const startedMs = performance.now();
    await counters.spend(command);
    await counters.markSent(command.requestHash, command.descriptorHash);
    tookMs.push(performance.now() - startedMs);
  }
  report(context, 'spend and mark', tookMs);
  await store.close();
  await anchor.close();
  await rm(directory, { recursive: true, force: true });
}

function verifications(context: BenchContext): void {
  const cast = makeCast();
  const self = HOLDERS[0] ?? ANALYST;
  const contract = makeContract(cast);
  const fingerprint = HashSchema.parse('c'.repeat(64));
  const view: DomainView = {
    self,
    publicKey: cast.keyOf(self).publicKey,
    pinnedKey: (party) => cast.keys.get(party)?.publicKey,
    standing: 'in-force',
    dataset: { name: 'departures', fingerprint, rowCount: 1000, checkPlan: () => undefined },
    minimumParties: 3,
    nowMs: NOW_MS,
  };
  const message = {
    contract: signByAll(contract, cast),
    request: signRequest(makeRequest(contract), cast.keyOf(ANALYST)),
    runId: RunIdSchema.parse(uuidV7(systemClock, systemRandom)),
    attempt: 1,
  };
  const { request } = message.request;
  const shape = { engine: 'secure-sum/1', cells: 18, lanes: 2 };
  const parties = HOLDERS.map((id) => ({
    id,
    ephemeralKey: encodeBase64url(systemRandom.bytes(32)),
    datasetFingerprint: fingerprint,
  }));
  const { runId, attempt } = message;
  const descriptor = describeRun({ contract, request, runId, attempt, parties, shape });
  const signatures = HOLDERS.map((id) => signDescriptor(descriptor, id, cast.keyOf(id)));
  const own = parties.find((party) => party.id === self);
  if (own === undefined) throw new Error('the fixture has no own entry');
  const tookMs: number[] = [];
  for (let repetition = 0; repetition < VERIFICATIONS; repetition += 1) {
    const startedMs = performance.now();
    const prepared = verifyPrepare(message, view);
    const agreed = verifyAgree(descriptor, prepared, own, shape, view);
    verifyStart(descriptor, signatures, agreed, prepared, view);
    tookMs.push(performance.now() - startedMs);
  }
  report(context, 'verify a run', tookMs);
}

function report(context: BenchContext, name: string, tookMs: readonly number[]): void {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  context.report(name, 'p50_ms', at(0.5), 'ms');
  context.report(name, 'p99_ms', at(0.99), 'ms');
}
