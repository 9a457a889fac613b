/**
 * The officer's door: HTTP over a Unix socket in the domain's own directory. Who may open the
 * socket is who may read the directory, so there is no token to leak.
 */
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { z } from 'zod';
import { type AnonymityQuestion, AnonymityQuestionSchema } from '../catalog/anonymity.ts';
import { InputError, SetupError, WeirError } from '../errors.ts';
import {
  type ContractId,
  ContractIdSchema,
  NameSchema,
  type PartyId,
  type RunId,
  RunIdSchema,
} from '../system/ids.ts';
import {
  AcceptRollbackSchema,
  ADMIN_SOCKET,
  type Decision,
  type Examination,
  DecisionSchema,
  DistrustSchema,
  type Proposal,
  ReasonSchema,
  type Regraded,
  type RegradeRequest,
  RegradeRequestSchema,
  ReleaseDecisionRequestSchema,
  type Review,
  type Rollback,
  SOCKET_PATH_BYTES_MAX,
  type Status,
  type Trust,
  TrustSchema,
} from './admin-messages.ts';
import type { ReleaseActions } from './officer-releases.ts';

const BODY_BYTES_MAX = 64 * 1024;

/** What an officer can do; the domain node implements it. */
export interface OfficerActions extends ReleaseActions {
  status(): Promise<Status>;
  proposals(): Promise<readonly Proposal[]>;
  review(id: ContractId): Promise<Review>;
  sign(id: ContractId, decision: Decision): Promise<Proposal>;
  refuse(id: ContractId, decision: Decision): Promise<void>;
  revoke(id: ContractId, decision: Decision): Promise<void>;
  /** Stops runs of a contract this domain signed, until it resumes it. */
  suspend(id: ContractId, reason: string): Promise<void>;
  resume(id: ContractId, reason: string): Promise<void>;
  trust(pin: Trust): Promise<void>;
  /** Removes a pin: no run of a contract with that holder begins here any more. */
  distrust(party: PartyId): Promise<void>;
  /** Exact figures about a dataset as it is now, for the officer's eyes. */
  examine(dataset: string, question: AnonymityQuestion): Promise<Examination>;
  /** Examines, and signs the decision where the figures meet the demand. */
  regrade(dataset: string, request: RegradeRequest): Promise<Regraded>;
  withdrawRegrade(dataset: string): Promise<void>;
  /** What accepting counters that were rolled back would mean. */
  viewRollback(): Promise<Rollback>;
  /** Goes on after a restored backup, forward only; `lostRuns` as the view told. */
  acceptRollback(lostRuns: number): Promise<void>;
  /** Takes the gateway’s audit log as it is now, though it does not continue the one seen before. */
  acceptGatewayHistory(): Promise<void>;
}

/**
 * Listens on `admin.sock` of the directory, mode 0600.
 * @param onBug - told of what is no WeirError: the officer hears of it without its content.
 * @throws SetupError `port-taken` where another process of this domain listens already.
 */
export async function listenAdmin(
  directory: string,
  actions: OfficerActions,
  onBug: (error: unknown) => void,
): Promise<{ close(): Promise<void> }> {
  const path = join(directory, ADMIN_SOCKET);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new SetupError('config-invalid', `The path ${path} is too long for a Unix socket.`, {
      remedy: `Use a directory whose path has at most ${SOCKET_PATH_BYTES_MAX - ADMIN_SOCKET.length - 1} bytes.`,
    });
  }
  await removeStale(path);
  const server = createAdaptorServer({ fetch: adminApp(actions, onBug).fetch });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Created under a closed umask: there is no moment in which others may connect.
    const before = process.umask(0o177);
    server.listen(path, () => resolve());
    process.umask(before);
  });
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        if ('closeAllConnections' in server) server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function adminApp(actions: OfficerActions, onBug: (error: unknown) => void): Hono {
  const app = new Hono();
  app.use(
    bodyLimit({
      maxSize: BODY_BYTES_MAX,
      onError: () => {
        throw new InputError('body-too-large', 'The body is too large.', {
          rule: `at most ${BODY_BYTES_MAX} bytes`,
        });
      },
    }),
  );
  app.get('/status', async (c) => c.json(await actions.status()));
  app.get('/contracts', async (c) => c.json({ proposals: await actions.proposals() }));
  app.get('/contracts/:id', async (c) => c.json(await actions.review(idOf(c.req.param('id')))));
  app.post('/contracts/:id/sign', async (c) => {
    const decision = await bodyOf(DecisionSchema, c);
    return c.json(await actions.sign(idOf(c.req.param('id')), decision));
  });
  app.post('/contracts/:id/refuse', async (c) => {
    await actions.refuse(idOf(c.req.param('id')), await bodyOf(DecisionSchema, c));
    return c.json({});
  });
  app.post('/contracts/:id/revoke', async (c) => {
    await actions.revoke(idOf(c.req.param('id')), await bodyOf(DecisionSchema, c));
    return c.json({});
  });
  for (const action of ['suspend', 'resume'] as const) {
    app.post(`/contracts/:id/${action}`, async (c) => {
      const { reason } = await bodyOf(ReasonSchema, c);
      await actions[action](idOf(c.req.param('id')), reason);
      return c.json({});
    });
  }
  datasetRoutes(app, actions);
  releaseRoutes(app, actions);
  app.post('/trust', async (c) => {
    await actions.trust(await bodyOf(TrustSchema, c));
    return c.json({});
  });
  app.post('/distrust', async (c) => {
    const { party } = await bodyOf(DistrustSchema, c);
    await actions.distrust(party);
    return c.json({});
  });
  app.get('/counters/rollback', async (c) => c.json(await actions.viewRollback()));
  app.post('/counters/accept', async (c) => {
    const { lostRuns } = await bodyOf(AcceptRollbackSchema, c);
    await actions.acceptRollback(lostRuns);
    return c.json({});
  });
  app.post('/gateway/accept', async (c) => {
    await actions.acceptGatewayHistory();
    return c.json({});
  });
  app.onError((error, c) => {
    const known = error instanceof WeirError;
    if (!known) onBug(error);
    const code = known ? error.code : 'internal';
    const message = known ? error.message : 'The domain failed on an internal error; see its log.';
    return c.json({ code, message, facts: known ? error.facts : {} }, known ? 422 : 500);
  });
  return app;
}

function datasetRoutes(app: Hono, actions: OfficerActions): void {
  const nameOf = (text: string): string => parse(NameSchema, text);
  app.post('/datasets/:name/examine', async (c) => {
    const question = await bodyOf(AnonymityQuestionSchema, c);
    return c.json(await actions.examine(nameOf(c.req.param('name')), question));
  });
  app.post('/datasets/:name/regrade', async (c) => {
    const request = await bodyOf(RegradeRequestSchema, c);
    return c.json(await actions.regrade(nameOf(c.req.param('name')), request));
  });
  app.delete('/datasets/:name/regrade', async (c) => {
    await actions.withdrawRegrade(nameOf(c.req.param('name')));
    return c.json({});
  });
}

function releaseRoutes(app: Hono, actions: OfficerActions): void {
  const runOf = (text: string): RunId => parse(RunIdSchema, text);
  app.get('/releases', async (c) => c.json({ releases: await actions.releases() }));
  app.get('/releases/:run', async (c) =>
    c.json(await actions.reviewRelease(runOf(c.req.param('run')))),
  );
  app.post('/releases/:run', async (c) => {
    const request = await bodyOf(ReleaseDecisionRequestSchema, c);
    await actions.decideRelease(runOf(c.req.param('run')), request);
    return c.json({});
  });
}

async function bodyOf<Schema extends z.ZodType>(
  schema: Schema,
  c: { readonly req: { json(): Promise<unknown> } },
): Promise<z.infer<Schema>> {
  const value = await c.req.json().catch((error: unknown) => {
    if (error instanceof WeirError) throw error;
    throw new InputError('invalid-json', 'The body is not valid JSON.');
  });
  return parse(schema, value);
}

function idOf(text: string): ContractId {
  return parse(ContractIdSchema, text);
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(
    'malformed-message',
    `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? 'malformed'}`,
  );
}

/** A socket file whose process is gone is removed; one that answers belongs to a running domain. */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (answered) {
    throw new SetupError('port-taken', `A domain is running in this directory already (${path}).`, {
      remedy: 'Stop it first, or use another --dir.',
    });
  }
  rmSync(path, { force: true });
}
