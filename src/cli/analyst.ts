/** An analyst at work: its directory's keys and profile, and the SDK to one gateway. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  type AnalystKeys,
  fetchResult,
  type FinishedRun,
  prepareRun,
  runToEnd,
} from '../client/analyst.ts';
import { draftContract, type DraftTerms } from '../client/draft-contract.ts';
import { draftMatch } from '../client/draft-match.ts';
import { draftOwnSet } from '../client/draft-own-set.ts';
import { openMatch } from '../client/match-opener.ts';
import { type FinishedOwnSet, type OwnSet, runOwnSet } from '../client/own-set.ts';
import { countingFailures } from '../client/failed-openings.ts';
import { openSealedSum } from '../client/sealed-opener.ts';
import { openWeightedSum } from '../client/weights-opener.ts';
import type { SealingKey } from '../client/sealing-key.ts';
import { WeirClient } from '../client/weir-client.ts';
import type { Release } from '../computations/computation.ts';
import { fileSpills } from '../computations/psi/file-spill.ts';
import { poolDigests } from '../computations/psi/key-digests.ts';
import { poolEngine } from '../computations/psi/pool-engine.ts';
import type { ContractBody, ExplainBody, RunEventBody } from '../contracts/api.ts';
import type { Contract } from '../contracts/contract.ts';
import { DEFAULT_RETENTION_S, DEFAULT_VALID_DAYS } from '../contracts/default-terms.ts';
import type { Arguments, MatchPlan, OwnSetPlan, Plan } from '../contracts/plan.ts';
import { type SignedRequest, SignedRequestSchema } from '../contracts/request.ts';
import { signContract } from '../contracts/signed-documents.ts';
import { AbortError, SetupError } from '../errors.ts';
import { openPool } from '../pool/piscina-pool.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import { systemClock } from '../system/clock.ts';
import type { ContractId, PartyId, RunId } from '../system/ids.ts';
import { readKeyFile } from '../system/key-file.ts';
import { systemRandom, uuidV7 } from '../system/random.ts';
import type { PsiMachine } from '../../protocols/psi/blinded-set.ts';
import { type AnalystConfig, AnalystConfigSchema, tokenFileOf } from './analyst-config.ts';
import { keyDirectory, parseJsonFile, readConfig, writePrivateFile } from './directories.ts';

const POLL_MS = 300;

/** Terms an analyst states; the rest comes from the catalog and modest defaults. */
export type StatedTerms = Partial<Omit<DraftTerms, 'id' | 'title'>> & {
  readonly title: Contract['title'];
};

/** Owns the connections to the gateway; `close` it when done. */
export class Analyst {
  readonly client: WeirClient;
  readonly config: AnalystConfig;
  readonly #directory: string;
  readonly #keys: AnalystKeys;

  /** @throws SetupError where the directory, a key or the token is missing. */
  constructor(directory: string, url?: string) {
    this.#directory = directory;
    this.config = readConfig(directory, AnalystConfigSchema);
    this.#keys = {
      signing: readKeyFile(join(directory, 'keys', 'identity.key'), 'ed25519'),
      encryption: readKeyFile(join(directory, 'keys', 'encryption.key'), 'x25519'),
    };
    const { caFile } = this.config.gateway;
    this.client = new WeirClient({
      url: url ?? this.config.gateway.url,
      token: readToken(directory),
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
    });
  }

  close(): void {
    this.client.close();
  }

  /** A contract for the plan with every holder that publishes its table. */
  async draft(plan: Plan, stated: StatedTerms): Promise<Contract> {
    const { datasets } = await this.client.datasets();
    const terms = this.#terms(stated);
    return draftContract({ ...this.#selfAsRecipient(), plan, datasets, terms });
  }

  /** A contract over sets of this analyst's own. @param datasets - the one holder's dataset. */
  async draftOwnSet(
    plan: OwnSetPlan,
    tables: ReadonlyMap<PartyId, string>,
    stated: StatedTerms,
  ): Promise<Contract> {
    const { datasets } = await this.client.datasets();
    const terms = this.#terms(stated);
    return draftOwnSet({ ...this.#selfAsRecipient(), plan, tables, datasets, terms });
  }

  /** A contract by which two holders match. @param tables - each holder's dataset. */
  async draftMatch(
    plan: MatchPlan,
    tables: ReadonlyMap<PartyId, string>,
    stated: StatedTerms,
  ): Promise<Contract> {
    const { datasets } = await this.client.datasets();
    const terms = this.#terms(stated);
    return draftMatch({ ...this.#selfAsRecipient(), plan, tables, datasets, terms });
  }

  #selfAsRecipient(): Pick<Contract, 'analyst' | 'recipient'> {
    const { party } = this.config;
    const encryptionKey = encodeBase64url(this.#keys.encryption.publicKey);
    return { analyst: party, recipient: { id: party.id, encryptionKey } };
  }

  #terms(stated: StatedTerms): DraftTerms {
    return {
      purpose: stated.title,
      legalBasis: 'Agreement of the parties to this contract',
      parameters: {},
      limits: {},
      minimumParties: undefined,
      notBefore: new Date(systemClock.now()),
      validDays: DEFAULT_VALID_DAYS,
      resultRetentionS: DEFAULT_RETENTION_S,
      ...stated,
      id: uuidV7(systemClock, systemRandom),
    };
  }

  /** Signs as the analyst and files the contract. */
  propose(contract: Contract): Promise<ContractBody> {
    const signature = signContract(contract, this.config.party.id, this.#keys.signing);
    return this.client.proposeContract({ contract, signatures: [signature] });
  }

  /** Resolves once every holder has signed. @throws AbortError where one refused. */
  async untilActive(id: ContractId, progress: (text: string) => void): Promise<ContractBody> {
    for (;;) {
      const filed = await this.client.contract(id);
      if (filed.state === 'active') return filed;
      if (filed.state !== 'proposed' && filed.state !== 'signed') {
        throw new AbortError('domain-failed', `The contract is ${filed.state}.`);
      }
      const waiting = filed.contract.holders
        .map((holder) => holder.id)
        .filter((party) => !filed.signatures.some((signature) => signature.party === party));
      progress(`waiting for the signatures of ${waiting.join(', ')} …`);
      await systemClock.sleep(POLL_MS);
    }
  }

  explain(contractId: ContractId, args: Arguments): Promise<ExplainBody> {
    return this.client.explain({ contractId, arguments: args });
  }

  /**
   * Runs a contract once: verified receipt, opened result. The signed request is kept.
   * @param weights - encrypted, where the contract has secret weights.
   */
  async run(
    contract: ContractBody,
    args: Arguments,
    onEvent: (event: RunEventBody) => void,
    weights?: Uint8Array,
  ): Promise<FinishedRun> {
    const at = { nowMs: systemClock.now() };
    const prepared = prepareRun(
      contract.contract,
      args,
      this.#keys,
      at,
      systemRandom,
      weights === undefined ? {} : { weights },
    );
    return runToEnd(this.client, {
      contract,
      arguments: args,
      keys: this.#keys,
      prepared,
      onStarted: this.#keep,
      onEvent,
      ...this.#pinned(),
    });
  }

  /** Counts how many of these ids the contract's holder has. The signed request is kept. */
  async match(
    contract: ContractBody,
    ids: OwnSet,
    onEvent: (event: RunEventBody) => void,
    onProgress: NonNullable<PsiMachine['onProgress']>,
    signal?: AbortSignal,
  ): Promise<FinishedOwnSet> {
    const threads = availableParallelism();
    const pool = openPool({ threadsMax: threads });
    try {
      return await runOwnSet(this.client, {
        contract,
        ids,
        keys: this.#keys,
        machine: {
          engine: poolEngine(pool, threads),
          digest: poolDigests(pool),
          openSpill: fileSpills(join(this.#directory, 'state'), systemRandom),
          randomBytes: (count) => systemRandom.bytes(count),
          onProgress,
        },
        onEvent,
        onStarted: this.#keep,
        ...(signal === undefined ? {} : { signal }),
        ...this.#pinned(),
      });
    } finally {
      await pool.close();
    }
  }

  /** The result of an earlier run, while it is kept. */
  async result(runId: RunId): Promise<FinishedRun> {
    const file = this.#requestFile(runId);
    if (!existsSync(file)) {
      throw new SetupError('config-missing', `No run ${runId} was started from this directory.`, {
        path: file,
        remedy: 'Its result opens only where its signed request is kept: give that --dir.',
      });
    }
    const request = parseJsonFile(file, SignedRequestSchema);
    const contract = await this.client.contract(request.request.contractId);
    return fetchResult(this.client, runId, request, {
      contract,
      keys: this.#keys,
      ...this.#pinned(),
    });
  }

  /** Opens a sealed sum of this analyst in a thread of this process. @throws as `openSealedSum` */
  async openSealed(contract: Contract, run: FinishedRun, sealingKey: SealingKey): Promise<Release> {
    const pool = openPool({ threadsMax: 1 });
    try {
      return await openSealedSum(run.result.release, {
        contract,
        requestHash: run.receipt.receipt.requestHash,
        recipient: this.#keys.encryption,
        sealingKey,
        openFrames: (task) =>
          countingFailures(keyDirectory(this.#directory, 'sealing'), () =>
            pool.run('homomorphic', 'openFramesTask', task, { transfer: [task.secretKey.buffer] }),
          ),
      });
    } finally {
      await pool.close();
    }
  }

  /** Opens a weighted sum of this analyst in a thread of this process. @throws as `openWeightedSum` */
  async openWeighted(
    contract: Contract,
    run: FinishedRun,
    weighingKey: SealingKey,
  ): Promise<Release> {
    const pool = openPool({ threadsMax: 1 });
    try {
      return await openWeightedSum(run.result.release, {
        contract,
        requestHash: run.receipt.receipt.requestHash,
        recipient: this.#keys.encryption,
        weighingKey,
        open: (task) =>
          countingFailures(keyDirectory(this.#directory, 'weighing'), () =>
            pool.run('weights', 'openWeightedTask', task, { transfer: [task.secretKey.buffer] }),
          ),
      });
    } finally {
      await pool.close();
    }
  }

  /** Opens what the holders of a match sealed to this analyst. @throws as `openMatch` */
  openMatch(contract: Contract, run: FinishedRun): Promise<Release> {
    const { release, runId, contractHash } = run.result;
    const { requestHash } = run.receipt.receipt;
    const place = { runId, contractHash, requestHash };
    return openMatch(release, place, contract, this.#keys.encryption);
  }

  /** The signed request of a run: with it the result can be fetched again. */
  readonly #keep = (runId: RunId, request: SignedRequest): void =>
    writePrivateFile(this.#requestFile(runId), JSON.stringify(request));

  #requestFile(runId: RunId): string {
    return join(this.#directory, 'state', `request-${runId}.json`);
  }

  #pinned(): { gatewayKey?: Uint8Array } {
    const key = this.config.gateway.publicKey;
    return key === undefined ? {} : { gatewayKey: decodeBase64url(key, 32) };
  }
}

function readToken(directory: string): string {
  const file = tokenFileOf(directory);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new SetupError('config-missing', `There is no API token in ${file}.`, {
      path: file,
      remedy: 'The operator makes one: weir token-create --role analyst --party <you>.',
    });
  }
}
