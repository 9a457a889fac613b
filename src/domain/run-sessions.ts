/**
 * A domain's runs, from the gateway's question to the last frame. Each of the three steps verifies
 * everything anew (`verify-run.ts`); the counter is spent, durably, and the request is marked as sent
 * before the first frame leaves. The engine does not wait for that: what it finds does.
 */
import type { Computation } from '../computations/computation.ts';
import { heldOf } from '../computations/held-release.ts';
import type { DescriptorParty } from '../contracts/describe-run.ts';
import type { Descriptor, DescriptorSignature, SignedRunKey } from '../contracts/descriptor.ts';
import { AgreeSchema, StartSchema } from '../contracts/run-messages.ts';
import { signDescriptor, signRunKey } from '../contracts/signed-documents.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import type { DisclosureStage } from '../disclosure/stage.ts';
import {
  CapacityError,
  InvariantError,
  PolicyError,
  StateError,
  WeirError,
  assertInvariant,
} from '../errors.ts';
import type { RunChannelHandle } from '../link/run-channel.ts';
import type { Pool } from '../pool/pool.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { Clock } from '../system/clock.ts';
import type { Hash, PartyId, RunId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { Random } from '../system/random.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { createExchangeKeys } from '../system/exchange-keys.ts';
import { agreedSource } from './agreed-source.ts';
import type { Counters } from './counters.ts';
import type { PrecomputedOf } from './run-precomputed.ts';
import type { RunDisclosure } from './run-disclosure.ts';
import type { SpendCommand } from './spend-rules.ts';
import type { HeldBook } from './held-results.ts';
import type { DatasetRegistry, RegisteredDataset } from './dataset-registry.ts';
import {
  type DomainView,
  makeRunKey,
  ownTerms,
  type PreparedRun,
  type PrepareMessage,
  verifyAgree,
  verifyPrepare,
  verifyRunKeys,
  verifyStart,
} from './verify-run.ts';
import { holding } from './holding.ts';
import { boundToPurpose } from './purpose-source.ts';
import { markedChannel, sealedChannels, sealedGuest } from './run-frames.ts';
import {
  asWeirError,
  during,
  endInTime,
  isAtWork,
  parsed,
  type StartChannels,
  type Session,
  type Started,
} from './run-session.ts';

/** Runs between prepare and their end; one more is refused. */
export const SESSIONS_MAX = 256;
/** A run that was prepared and not started is forgotten after this time. */
export const SESSION_IDLE_MS = 120_000;

export interface SessionParts {
  readonly self: PartyId;
  readonly identity: KeyPair;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly disclosure: RunDisclosure;
  readonly datasets: DatasetRegistry;
  /** Where results wait for officers. */
  readonly held: Pick<HeldBook, 'begin'>;
  readonly computations: ReadonlyMap<string, Computation>;
  readonly stages: readonly DisclosureStage[];
  readonly pool: Pool;
  readonly precomputedOf: PrecomputedOf;
  /** The domain's own view of a contract at this moment. */
  viewOf(message: PrepareMessage, dataset: RegisteredDataset | undefined): Promise<DomainView>;
  step(name: string, runId: RunId): Promise<void>;
}

/** Owns the ephemeral keys of runs; they are wiped when a run ends. */
export class RunSessions {
  readonly #parts: SessionParts;
  readonly #sessions = new Map<RunId, Session>();

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Answers `run.prepare`. Nothing derived from rows is in the answer. */
  async prepare(message: PrepareMessage): Promise<SignedRunKey> {
    this.#forgetIdle();
    this.#admit(message);
    const dataset = await this.#datasetOf(message);
    const view = await this.#parts.viewOf(message, dataset);
    const prepared = verifyPrepare(message, view);
    // Again: while this call waited, another may have prepared or started the run.
    this.#admit(message);
    if (dataset === undefined) throw new InvariantError('internal', 'verified without a dataset');
    const keys = createExchangeKeys(this.#parts.random);
    const entry: DescriptorParty = {
      id: this.#parts.self,
      ephemeralKey: encodeBase64url(keys.publicKey),
      datasetFingerprint: dataset.fingerprint,
    };
    this.#forget(message.runId);
    this.#sessions.set(message.runId, {
      message,
      prepared,
      dataset,
      entry,
      ephemeralSecret: keys.secretKey,
      createdMs: this.#parts.clock.monotonic(),
      stop: new AbortController(),
      phase: 'prepared',
      descriptor: undefined,
      agreedHash: undefined,
      done: undefined,
      engineMs: 0,
    });
    await this.#parts.step('prepared', message.runId);
    return signRunKey(makeRunKey(prepared, entry), this.#parts.identity);
  }

  /** Answers `run.agree` with this party's signature, once for an attempt. */
  async agree(body: unknown): Promise<DescriptorSignature> {
    const { descriptor, runKeys } = parsed(AgreeSchema, body);
    const session = this.#sessionOf(descriptor.runId, descriptor.attempt);
    return during(session, 'prepared', 'agreeing', async () => {
      const hash = await this.#verified(session, descriptor, runKeys);
      this.#stillOpen(session);
      session.descriptor = descriptor;
      session.agreedHash = hash;
      session.phase = 'agreed';
      await this.#parts.step('agreed', descriptor.runId);
      return signDescriptor(descriptor, this.#parts.self, this.#parts.identity);
    });
  }

  /** The hash of a descriptor that is what this domain derives itself from everyone's own words. */
  async #verified(
    session: Session,
    descriptor: Descriptor,
    runKeys: readonly SignedRunKey[],
  ): Promise<Hash> {
    const { prepared } = session;
    verifyRunKeys(descriptor, runKeys, prepared);
    const shape = this.#computationOf(prepared).estimate(
      prepared.contract,
      prepared.request.arguments,
    );
    const view = await this.#parts.viewOf(session.message, session.dataset);
    return verifyAgree(descriptor, prepared, session.entry, shape, view);
  }

  /**
   * Answers `run.start` with the signed spend; the run then goes on by itself.
   * @param over - the connection that asked: the run's frames go over it.
   */
  async start(body: unknown, over: StartChannels): Promise<SignedSpend> {
    const { runId, attempt, signatures } = parsed(StartSchema, body);
    const session = this.#sessionOf(runId, attempt);
    return during(session, 'agreed', 'starting', () => this.#started(session, signatures, over));
  }

  async #started(
    session: Session,
    signatures: readonly DescriptorSignature[],
    over: StartChannels,
  ): Promise<SignedSpend> {
    const { descriptor, agreedHash } = session;
    assertInvariant(descriptor !== undefined && agreedHash !== undefined, 'agreed on');
    const { runId } = descriptor;
    const dataset = await this.#datasetOf(session.message);
    if (dataset?.fingerprint !== session.entry.datasetFingerprint) {
      throw new PolicyError('dataset-drifted', 'The dataset changed since the run was prepared.', {
        party: this.#parts.self,
        remedy: 'Sign a new request.',
      });
    }
    const view = await this.#parts.viewOf(session.message, dataset);
    const command = verifyStart(descriptor, signatures, agreedHash, session.prepared, view);
    await this.#parts.step('before-spend', runId);
    this.#stillOpen(session);
    // Refused for want of room, or ended by another party: nothing is charged or counted for it.
    const end = over.endOfRun(descriptor);
    if (end !== undefined) throw end;
    await this.#parts.disclosure.charge(command, dataset);
    // The engine works while the count goes to disk; until it is there nothing leaves.
    const spent = this.#spend(command, session, runId);
    session.phase = 'computing';
    session.done = this.#compute(session, { descriptor, descriptorHash: agreedHash, over, spent });
    return spent;
  }

  /** Counts the run; one that may not be counted ends where it is. */
  async #spend(command: SpendCommand, session: Session, runId: RunId): Promise<SignedSpend> {
    try {
      const spend = await this.#parts.counters.spend(command);
      await this.#parts.step('after-spend', runId);
      return spend;
    } catch (error) {
      session.stop.abort(asWeirError(error));
      throw error;
    }
  }

  /** Ends runs of a contract at work here: the holder revoked or suspended it. */
  abortContract(contractHash: Hash, reason: WeirError): void {
    for (const [runId, session] of this.#sessions) {
      if (session.prepared.contractHash !== contractHash) continue;
      session.stop.abort(reason);
      if (!isAtWork(session)) this.#forget(runId);
    }
  }

  /** Whether a run of the contract is at work here, or about to be. */
  isAtWork(contractHash: Hash): boolean {
    const all = [...this.#sessions.values()];
    return all.some((one) => one.prepared.contractHash === contractHash && isAtWork(one));
  }

  /** Waits for the runs at work here. */
  async drain(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map(async (session) => session.done));
  }

  async #compute(session: Session, started: Started): Promise<void> {
    const { descriptor, over, spent } = started;
    const { runId } = descriptor;
    const { log, clock } = this.#parts;
    const startedMs = clock.monotonic();
    try {
      const spec = {
        runId,
        attempt: descriptor.attempt,
        parties: descriptor.parties.map((party) => party.id),
      };
      // A run that may not be counted waits for no gateway; one that is revoked tells it so.
      const refused = new AbortController();
      spent.catch((error: unknown) => refused.abort(asWeirError(error)));
      const channel = await over.claimRunChannel(spec, { signal: refused.signal });
      const stop = (): void => channel.abort(asWeirError(session.stop.signal.reason));
      session.stop.signal.addEventListener('abort', stop, { once: true });
      const ended = new AbortController();
      void endInTime(session, clock, ended.signal);
      try {
        // Revoked between its start and now: its channel ends before anything is sent.
        if (session.stop.signal.aborted) stop();
        channel.signal.throwIfAborted();
        await this.#runDomain(session, started, channel);
        await spent;
        channel.close();
      } catch (error) {
        // How a run ends may depend on rows: that is not told either before it is counted.
        await spent.catch(() => undefined);
        channel.abort(asWeirError(error));
        throw error;
      } finally {
        ended.abort();
      }
      await this.#parts.step('finished', runId);
      const ms = Math.round(clock.monotonic() - startedMs);
      log.info({ runId, ms, engineMs: Math.round(session.engineMs) }, 'run finished here');
    } catch (error) {
      const known = asWeirError(error);
      const told =
        known.family === 'invariant' ? { runId, err: error } : { runId, code: known.code };
      log.warn(told, 'run ended here without a result');
    } finally {
      this.#forget(runId);
    }
  }

  async #runDomain(
    session: Session,
    { descriptor, descriptorHash, spent }: Started,
    channel: RunChannelHandle,
  ): Promise<void> {
    const { self, identity, stages, pool, random, counters, log } = this.#parts;
    const { prepared, dataset, ephemeralSecret } = session;
    const hashBytes = new Uint8Array(Buffer.from(descriptorHash, 'hex'));
    // Before the first frame leaves: counted, and from then on no other party set may ever ask again.
    const marked = spent.then(() => counters.markSent(prepared.requestHash, descriptorHash));
    const marking = markedChannel(channel, marked);
    const sealing = {
      channel: marking,
      ephemeralSecret,
      descriptor,
      descriptorHash: hashBytes,
      random,
    };
    const source = agreedSource(dataset.source, {
      self,
      isCurrent: async () =>
        (await this.#datasetOf(session.message))?.fingerprint === dataset.fingerprint,
      took: (engineMs) => {
        session.engineMs += engineMs;
      },
    });
    const agreed = { ...dataset, source };
    const computation = this.#computationOf(prepared);
    const { contract, contractHash } = prepared;
    const run = { contract, contractHash, descriptor, descriptorHash, channel: marking };
    await holding(this.#parts, computation, run, (own) =>
      computation.runDomain({
        self,
        identity,
        ephemeralSecret,
        contract,
        descriptor,
        descriptorHash: hashBytes,
        attachmentHash: prepared.request.weightsHash,
        ...own,
        sealedTo: sealedChannels(sealing),
        sealedToAnalyst: sealedGuest(sealing, {
          party: contract.analyst.id,
          analystKey: prepared.request.analystKey,
        }),
        source,
        stages,
        precomputed: this.#parts.precomputedOf({ contractHash, signal: channel.signal }),
        ...this.#parts.disclosure.ofRun(descriptor, prepared.contract, agreed, channel.signal),
        pool,
        random,
        note: (facts) => log.info({ runId: prepared.runId, ...facts }, 'counts of the own data'),
        step: (name) => this.#parts.step(name, prepared.runId),
      }),
    );
  }

  #computationOf(prepared: PreparedRun): Computation {
    const { name } = prepared.contract.protocol;
    const computation = this.#parts.computations.get(name);
    if (computation !== undefined) {
      heldOf(computation, prepared.contract);
      return computation;
    }
    throw new PolicyError('plan-outside-contract', `This domain does not know ${name}.`, {
      party: this.#parts.self,
      rule: 'protocol.name',
      remedy: 'The holder installs a version that does.',
    });
  }

  async #datasetOf(message: PrepareMessage): Promise<RegisteredDataset | undefined> {
    const { contract } = message.contract;
    const found = await this.#parts.datasets.current(ownTerms(contract, this.#parts.self).dataset);
    if (found === undefined) return undefined;
    return { ...found, source: boundToPurpose(found.source, contract.purposeCode) };
  }

  /** @throws StateError `request-replayed`; CapacityError `queue-full` */
  #admit({ runId, attempt }: PrepareMessage): void {
    const older = this.#sessions.get(runId);
    if (older !== undefined && (isAtWork(older) || older.message.attempt >= attempt)) {
      throw new StateError('request-replayed', 'This attempt of the run was prepared before.');
    }
    if (older === undefined && this.#sessions.size >= SESSIONS_MAX) {
      const { self: party } = this.#parts;
      const busy = `${party} has ${SESSIONS_MAX} runs at work, as many as it takes at once.`;
      throw new CapacityError('queue-full', busy, { party, retryAfterS: 2 });
    }
  }

  /** After waiting: a newer attempt may have taken its place, a holder may have revoked. */
  #stillOpen(session: Session): void {
    session.stop.signal.throwIfAborted();
    if (this.#sessions.get(session.message.runId) === session) return;
    throw new StateError('round-mismatch', 'A later attempt of the run was prepared meanwhile.');
  }

  #sessionOf(runId: RunId, attempt: number): Session {
    const session = this.#sessions.get(runId);
    if (session !== undefined && session.message.attempt === attempt) return session;
    throw new StateError('run-unknown', 'This run was not prepared here, or was forgotten.', {
      party: this.#parts.self,
    });
  }

  #forgetIdle(): void {
    const nowMs = this.#parts.clock.monotonic();
    for (const [runId, session] of this.#sessions) {
      const isIdle = nowMs - session.createdMs > SESSION_IDLE_MS;
      if (isIdle && !isAtWork(session)) this.#forget(runId);
    }
  }

  #forget(runId: RunId): void {
    this.#sessions.get(runId)?.ephemeralSecret.fill(0);
    this.#sessions.delete(runId);
  }
}
