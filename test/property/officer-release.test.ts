/** What a domain keeps of a result that waits, and whom it believes that all officers released it. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DescriptorSchema } from '../../src/contracts/descriptor.ts';
import {
  type ReleaseDecision,
  signReleaseDecision,
  type SignedReleaseDecision,
} from '../../src/contracts/officer-release.ts';
import { contractHash, signContract } from '../../src/contracts/signed-documents.ts';
import {
  HELD_MIGRATIONS,
  HELD_MAX,
  type HeldBook,
  openHeldBook,
} from '../../src/domain/held-results.ts';
import { deliverer, type ReleaseParts, tellDecisions } from '../../src/domain/officer-releases.ts';
import { keepSigned, SIGNED_CONTRACT_MIGRATIONS } from '../../src/domain/signed-contracts.ts';
import type { Standing } from '../../src/domain/standing.ts';
import { AbortError, CapacityError, StateError, WeirError } from '../../src/errors.ts';
import { MESSAGE_BYTES_MAX } from '../../src/link/limits.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { canonicalHash } from '../../src/system/canonical-json.ts';
import { type PartyId, RunIdSchema } from '../../src/system/ids.ts';
import { createLog } from '../../src/system/log.ts';
import { systemRandom, uuidV7 } from '../../src/system/random.ts';
import { HOLDERS, makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';

const SELF = HOLDERS[0]!;
const newRun = () => RunIdSchema.parse(uuidV7(systemClock, systemRandom));
const RUN = newRun();
const cast = makeCast();
const contract = makeContract(cast, { release: { by: 'officer', withinS: 3600 } });
const hash = 'a'.repeat(64);
const descriptor = DescriptorSchema.parse({
  format: 'weir-descriptor/1',
  runId: RUN,
  attempt: 1,
  contractHash: contractHash(contract),
  requestHash: hash,
  protocol: 'secure-sum',
  arguments: {},
  parties: HOLDERS.map((id) => ({ id, ephemeralKey: 'A'.repeat(43), datasetFingerprint: hash })),
  dictionariesHash: hash,
  shape: { cells: 1, lanes: 1 },
  noise: 'none',
  engine: 'secure-sum/1',
});
const place = {
  runId: RUN,
  contractHash: contractHash(contract),
  descriptorHash: canonicalHash(descriptor),
};
const MESSAGES = [
  { kind: 'round2.measures', payload: Uint8Array.of(1, 2, 3) },
  { kind: 'round2.measures', payload: new Uint8Array() },
  { kind: 'other', payload: new Uint8Array(300_000).fill(7) },
];

let directory: string;
let store: SqliteStore;
let held: HeldBook;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-held-'));
  store = await openSqliteStore({
    file: join(directory, 'domain.sqlite'),
    migrations: [HELD_MIGRATIONS, SIGNED_CONTRACT_MIGRATIONS],
  });
  held = await openHeldBook(join(directory, 'held'), store);
  await keepSigned(store, contract, signContract(contract, SELF, cast.keyOf(SELF)).jws, NOW_MS);
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function keep(runId = RUN): Promise<void> {
  const writer = held.begin(runId);
  for (const { kind, payload } of MESSAGES) await writer.append(kind, payload);
  await writer.keep({
    ...place,
    descriptor,
    review: { lines: [{ zh: '一', en: 'one' }] },
    heldMs: NOW_MS,
    untilMs: NOW_MS + 3_600_000,
  });
}

async function messagesOf(book: HeldBook): Promise<typeof MESSAGES> {
  const all: typeof MESSAGES = [];
  for await (const { kind, payload } of book.messages(RUN)) {
    all.push({ kind, payload: new Uint8Array(payload) });
  }
  return all;
}

const decision = (party: PartyId, changes: Partial<ReleaseDecision> = {}): SignedReleaseDecision =>
  signReleaseDecision(
    {
      format: 'weir-release/1',
      ...place,
      party,
      decision: 'approved',
      at: new Date(NOW_MS).toISOString(),
      ...changes,
    },
    cast.keyOf(changes.party ?? party),
  );
const ALL = HOLDERS.map((party) => decision(party));

describe('what is kept', () => {
  it('is there after a restart, whole, and a file without a row is not', async () => {
    await keep();
    writeFileSync(join(directory, 'held', `${newRun()}.held`), 'cut off by a crash');
    const again = await openHeldBook(join(directory, 'held'), store);
    expect(readdirSync(join(directory, 'held'))).toEqual([`${RUN}.held`]);
    expect((await again.list()).map(({ runId }) => runId)).toEqual([RUN]);
    expect(await messagesOf(again)).toEqual(MESSAGES);
  });

  it('goes with its run, and the decision stays', async () => {
    await keep();
    await held.decide(RUN, ALL[0]!);
    await held.end(RUN, NOW_MS);
    expect(await held.find(RUN)).toBeUndefined();
    expect(readdirSync(join(directory, 'held'))).toEqual([]);
    const [row] = await store.query('SELECT document, decision FROM held_result');
    expect(row).toEqual({ document: '', decision: JSON.stringify(ALL[0]) });
  });

  it('is decided once, though two say so at one moment', async () => {
    await keep();
    const refused = decision(SELF, { decision: 'refused' });
    const said = await Promise.allSettled([held.decide(RUN, ALL[0]!), held.decide(RUN, refused)]);
    const lost = said.filter((one) => one.status === 'rejected');
    expect(lost).toMatchObject([{ reason: { code: 'already-exists' } }]);
    expect((await held.find(RUN))?.decision).toEqual(
      said[0]?.status === 'rejected' ? refused : ALL[0],
    );
  });

  it('is decided for good: who decides again is told how', async () => {
    await keep();
    await held.decide(RUN, ALL[0]!);
    const again = held.decide(RUN, decision(SELF, { decision: 'refused' }));
    await expect(again).rejects.toMatchObject({
      code: 'already-exists',
      facts: { rule: 'approved' },
    });
  });

  it('is not sent where the file is cut off or says sizes that no message has', async () => {
    await keep();
    const path = join(directory, 'held', `${RUN}.held`);
    const whole = readFileSync(path);
    const [, , last] = MESSAGES;
    const bodyBytes = last!.kind.length + last!.payload.length;
    const messageBytes = 8 + bodyBytes;
    // Also between two messages, where each that is left is whole, and before the first.
    const cuts = [1, bodyBytes - 1, bodyBytes, bodyBytes + 1, messageBytes, whole.length];
    for (const cutBytes of cuts) {
      writeFileSync(path, whole.subarray(0, whole.length - cutBytes));
      await expect(messagesOf(held)).rejects.toMatchObject({ code: 'domain-failed' });
    }
    for (const [nameBytes, payloadBytes] of [
      [65, 0],
      [0, MESSAGE_BYTES_MAX + 1],
    ] as const) {
      const header = Buffer.alloc(8);
      header.writeUInt32LE(nameBytes, 0);
      header.writeUInt32LE(payloadBytes, 4);
      writeFileSync(path, header);
      truncateSync(path, header.length + nameBytes + payloadBytes);
      await expect(messagesOf(held)).rejects.toMatchObject({ code: 'domain-failed' });
    }
    writeFileSync(path, Buffer.concat([whole, whole.subarray(-messageBytes)]));
    await expect(messagesOf(held)).rejects.toMatchObject({ code: 'domain-failed' });
    // The control: as it was written it is read.
    writeFileSync(path, whole);
    expect(await messagesOf(held)).toEqual(MESSAGES);
  });

  it('by an earlier version, which did not count, is sent as it is', async () => {
    await keep();
    await store.execute([{ sql: 'UPDATE held_result SET message_count = NULL', params: [] }]);
    expect(await messagesOf(held)).toEqual(MESSAGES);
    await held.end(RUN, NOW_MS);
    await expect(messagesOf(held)).rejects.toMatchObject({ code: 'run-unknown' });
  });

  it('is of so many runs at most, and of none that ended otherwise', async () => {
    await store.execute(
      Array.from({ length: HELD_MAX }, (_, index) => ({
        sql: `INSERT INTO held_result (run_id, contract_hash, descriptor_hash, document, held_ms,
                until_ms, is_told) VALUES (?, ?, ?, '{}', 0, 0, 0)`,
        params: [`run-${index}`, hash, hash],
      })),
    );
    await expect(keep()).rejects.toMatchObject({ code: 'queue-full' });
    const writer = held.begin(newRun());
    await writer.append('round2.measures', Uint8Array.of(1));
    await writer.drop();
    expect(readdirSync(join(directory, 'held')).filter((name) => name !== `${RUN}.held`)).toEqual(
      [],
    );
  });
});

describe('a gateway that gives a run’s id to another run', () => {
  const another = async (): Promise<unknown> => {
    const writer = held.begin(RUN);
    try {
      await writer.append('round2.measures', Uint8Array.of(9));
      await writer.keep({
        ...place,
        descriptorHash: canonicalHash({ ...descriptor, attempt: 2 }),
        descriptor: { ...descriptor, attempt: 2 },
        review: { lines: [] },
        heldMs: NOW_MS,
        untilMs: NOW_MS + 3_600_000,
      });
      return 'kept';
    } catch (error) {
      await writer.drop();
      return error;
    }
  };

  it('ends that one, and what waits under the id stays whole', async () => {
    await keep();
    await held.decide(RUN, ALL[0]!);
    expect(await another()).toMatchObject({ code: 'already-exists' });
    expect((await held.find(RUN))?.decision).toEqual(ALL[0]);
    expect(await messagesOf(held)).toEqual(MESSAGES);
  });

  it('leaves the decision on the first as evidence, and no file', async () => {
    await keep();
    await held.decide(RUN, ALL[0]!);
    await held.end(RUN, NOW_MS);
    expect(await another()).toMatchObject({ code: 'already-exists' });
    const rows = await store.query('SELECT decision FROM held_result');
    expect(rows).toEqual([{ decision: JSON.stringify(ALL[0]) }]);
    expect(readdirSync(join(directory, 'held'))).toEqual([]);
  });

  it('control: a run that was kept and then failed leaves nothing, and its id serves again', async () => {
    const writer = held.begin(RUN);
    await writer.append('round2.measures', Uint8Array.of(9));
    await writer.keep({
      ...place,
      descriptor,
      review: { lines: [] },
      heldMs: NOW_MS,
      untilMs: NOW_MS + 3_600_000,
    });
    await writer.drop();
    expect(await store.query('SELECT run_id FROM held_result')).toEqual([]);
    expect(readdirSync(join(directory, 'held'))).toEqual([]);
    expect(await another()).toBe('kept');
  });
});

describe('a gateway that asks for a result', () => {
  const outcome = async (
    decisions: readonly SignedReleaseDecision[],
    own: SignedReleaseDecision | null = ALL[0]!,
    standing: Standing = 'in-force',
  ): Promise<string> => {
    await keep();
    if (own !== null) await held.decide(RUN, own);
    let claimed = 0;
    const parts: ReleaseParts = {
      self: SELF,
      state: {
        store,
        identity: cast.keyOf(SELF),
        standing: {
          standingOf: async () => standing,
        } as unknown as ReleaseParts['state']['standing'],
      },
      held,
      links: { tell: () => Promise.reject(new AbortError('domain-unreachable', 'no link')) },
      clock: { ...systemClock, now: () => NOW_MS },
      log: createLog({ level: 'silent', name: 'test' }),
    };
    const { deliver, drain } = deliverer(parts);
    const body = { runId: RUN, deliveryId: newRun(), decisions };
    try {
      await deliver(body, {
        claimRunChannel: () => {
          claimed += 1;
          return Promise.reject(new AbortError('domain-unreachable', 'no link'));
        },
      });
      await drain();
      return claimed === 1 ? 'sent' : 'accepted';
    } catch (error) {
      expect(claimed).toBe(0);
      if (error instanceof WeirError) return error.code;
      throw error;
    }
  };

  it('control: gets it with the approval of every holder of the run', async () => {
    expect(await outcome(ALL)).toBe('sent');
  });

  it('gets nothing where one approval is missing, or is a refusal', async () => {
    expect(await outcome(ALL.slice(0, 2))).toBe('result-not-ready');
    await held.end(RUN, NOW_MS);
    const refused = [...ALL.slice(0, 2), decision(HOLDERS[2]!, { decision: 'refused' })];
    await store.execute([{ sql: 'DELETE FROM held_result', params: [] }]);
    expect(await outcome(refused)).toBe('result-not-ready');
  });

  it('gets nothing before this domain’s own officer decided, whatever it shows', async () => {
    expect(await outcome(ALL, null)).toBe('result-not-ready');
  });

  it('gets nothing for approvals of another run, or signed by another key', async () => {
    const elsewhere = decision(HOLDERS[2]!, { runId: newRun() });
    expect(await outcome([...ALL.slice(0, 2), elsewhere])).toBe('party-not-in-contract');
    await store.execute([{ sql: 'DELETE FROM held_result', params: [] }]);
    rmSync(join(directory, 'held', `${RUN}.held`));
    const forged = { ...decision(HOLDERS[2]!), jws: ALL[1]!.jws };
    expect(await outcome([...ALL.slice(0, 2), forged])).toBe('signature-invalid');
  });

  it('gets nothing under a contract that was revoked or suspended', async () => {
    expect(await outcome(ALL, ALL[0]!, 'revoked')).toBe('contract-revoked');
    await store.execute([{ sql: 'DELETE FROM held_result', params: [] }]);
    rmSync(join(directory, 'held', `${RUN}.held`));
    expect(await outcome(ALL, ALL[0]!, 'suspended')).toBe('contract-not-active');
  });
});

describe('a gateway that does not take a decision', () => {
  it.each([
    ['because it is full', new CapacityError('queue-full', 'later'), 1],
    ['because it does not know the run', new StateError('run-unknown', 'which?'), 1],
    ['because the run is over', new StateError('round-mismatch', 'over'), 0],
  ])('%s', async (_why, refusal, left) => {
    await keep();
    const parts = {
      held,
      clock: { ...systemClock, now: () => NOW_MS },
      log: createLog({ level: 'silent', name: 'test' }),
    };
    await held.decide(RUN, ALL[0]!);
    await tellDecisions({ request: () => Promise.reject(refusal) }, parts);
    expect(await held.list()).toHaveLength(left);
    // Told again, and taken, where it stands.
    await tellDecisions({ request: async () => null }, parts);
    expect(await held.untold()).toEqual([]);
    expect(await held.list()).toHaveLength(left);
  });
});
