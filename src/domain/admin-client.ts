/** The officer's commands, over the admin socket of a running domain. */
import { request } from 'node:http';
import { join } from 'node:path';
import { z } from 'zod';
import { AbortError, errorOfCode, SetupError } from '../errors.ts';
import type { ContractId } from '../system/ids.ts';
import {
  ADMIN_SOCKET,
  type Decision,
  type Examination,
  ExaminationSchema,
  type Proposal,
  type Regraded,
  RegradedSchema,
  ProposalListSchema,
  ProposalSchema,
  type Review,
  ReviewSchema,
  type Rollback,
  RollbackSchema,
  type Status,
  StatusSchema,
  type Trust,
  type WaitingRelease,
  WaitingReleaseListSchema,
  type WaitingReleaseReview,
  WaitingReleaseReviewSchema,
} from './admin-messages.ts';
import type { OfficerActions } from './admin-server.ts';

const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
const FailureSchema = z.object({
  code: z.string(),
  message: z.string(),
  facts: z.record(z.string(), z.unknown()),
});

/**
 * Every method throws what the domain refuses with, as the class of its family.
 * @throws SetupError `config-missing` where no domain runs in the directory.
 */
export function adminClient(directory: string): OfficerActions {
  const call = (method: string, path: string, body?: unknown): Promise<unknown> =>
    callSocket(join(directory, ADMIN_SOCKET), method, path, body);
  const contract = (id: ContractId): string => `/contracts/${id}`;
  return {
    status: async (): Promise<Status> => StatusSchema.parse(await call('GET', '/status')),
    proposals: async (): Promise<readonly Proposal[]> =>
      ProposalListSchema.parse(await call('GET', '/contracts')).proposals,
    review: async (id): Promise<Review> => ReviewSchema.parse(await call('GET', contract(id))),
    sign: async (id, decision: Decision): Promise<Proposal> =>
      ProposalSchema.parse(await call('POST', `${contract(id)}/sign`, decision)),
    refuse: async (id, decision): Promise<void> => {
      await call('POST', `${contract(id)}/refuse`, decision);
    },
    revoke: async (id, decision): Promise<void> => {
      await call('POST', `${contract(id)}/revoke`, decision);
    },
    suspend: async (id, reason): Promise<void> => {
      await call('POST', `${contract(id)}/suspend`, { reason });
    },
    resume: async (id, reason): Promise<void> => {
      await call('POST', `${contract(id)}/resume`, { reason });
    },
    examine: async (dataset, question): Promise<Examination> =>
      ExaminationSchema.parse(await call('POST', `/datasets/${dataset}/examine`, question)),
    regrade: async (dataset, request): Promise<Regraded> =>
      RegradedSchema.parse(await call('POST', `/datasets/${dataset}/regrade`, request)),
    withdrawRegrade: async (dataset): Promise<void> => {
      await call('DELETE', `/datasets/${dataset}/regrade`);
    },
    releases: async (): Promise<readonly WaitingRelease[]> =>
      WaitingReleaseListSchema.parse(await call('GET', '/releases')).releases,
    reviewRelease: async (runId): Promise<WaitingReleaseReview> =>
      WaitingReleaseReviewSchema.parse(await call('GET', `/releases/${runId}`)),
    decideRelease: async (runId, request): Promise<void> => {
      await call('POST', `/releases/${runId}`, request);
    },
    trust: async (pin: Trust): Promise<void> => {
      await call('POST', '/trust', pin);
    },
    distrust: async (party): Promise<void> => {
      await call('POST', '/distrust', { party });
    },
    viewRollback: async (): Promise<Rollback> =>
      RollbackSchema.parse(await call('GET', '/counters/rollback')),
    acceptRollback: async (lostRuns): Promise<void> => {
      await call('POST', '/counters/accept', { lostRuns });
    },
    acceptGatewayHistory: async (): Promise<void> => {
      await call('POST', '/gateway/accept', {});
    },
  };
}

function callSocket(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, method, path, headers: { 'content-type': 'application/json' } },
      (incoming) => {
        const chunks: Buffer[] = [];
        let sizeBytes = 0;
        incoming.on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length;
          if (sizeBytes > ANSWER_BYTES_MAX) incoming.destroy(new Error('answer too large'));
          else chunks.push(chunk);
        });
        incoming.on('end', () => {
          try {
            resolve(answerOf(incoming.statusCode ?? 500, Buffer.concat(chunks).toString('utf8')));
          } catch (error) {
            reject(error);
          }
        });
        incoming.on('error', reject);
      },
    );
    outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const absent = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      reject(absent ? notRunning(socketPath) : error);
    });
    if (body !== undefined) outgoing.write(JSON.stringify(body));
    outgoing.end();
  });
}

function answerOf(status: number, text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (status < 400) return value;
  const failure = FailureSchema.safeParse(value);
  const rebuilt = failure.success
    ? errorOfCode(failure.data.code, failure.data.message, failure.data.facts)
    : undefined;
  throw rebuilt ?? new AbortError('domain-failed', 'The domain failed; see its log.');
}

function notRunning(socketPath: string): SetupError {
  return new SetupError('config-missing', `No domain is running there (${socketPath}).`, {
    remedy: 'Start it with `weir domain --dir DIR` and try again.',
  });
}
