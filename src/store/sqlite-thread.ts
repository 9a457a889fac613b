/** The thread that owns an SQLite database: it drains what waits, commits it as one group, answers. */
import { chmodSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assertInvariant, InvariantError } from '../errors.ts';
import { openDatabase, storeFault, type Database } from './database.ts';
import { groupWriter, type GroupWriter, type WriteRequest } from './group-writer.ts';
import { migrate } from './migrations.ts';
import type { Program, ProgramModule } from './program.ts';
import {
  encodeFault,
  OPENED_ID,
  type ThreadReply,
  type ThreadRequest,
  type ThreadSetup,
} from './sqlite-messages.ts';

/** Batches of one transaction: more would only make the first of them wait longer. */
const GROUP_MAX = 1024;

type Write = ThreadRequest & WriteRequest;

async function start(): Promise<void> {
  assertInvariant(parentPort !== null, 'the store runs in a thread of its own');
  const port = parentPort;
  const setup = workerData as ThreadSetup;
  let db: Database;
  let writer: GroupWriter;
  try {
    db = openDatabase(setup.file);
    migrate(db, setup.migrations);
    writer = groupWriter(db, await loadPrograms(db, setup.programs));
  } catch (error) {
    const fault = encodeFault(storeFault(error, `The store ${setup.file} cannot be opened`));
    port.postMessage([{ id: OPENED_ID, ok: false, fault }] satisfies ThreadReply[]);
    port.close();
    return;
  }
  port.on('message', (first: readonly ThreadRequest[]) => {
    const requests = [...first];
    // Everything that came while the last group was syncing joins this one.
    for (;;) {
      const more = receiveMessageOnPort(port);
      if (more === undefined) break;
      requests.push(...(more.message as readonly ThreadRequest[]));
    }
    port.postMessage(serve(db, writer, requests));
    if (requests.some((request) => request.kind === 'close')) {
      db.close();
      port.close();
    }
  });
  port.postMessage([{ id: OPENED_ID, ok: true, answer: undefined }] satisfies ThreadReply[]);
}

async function loadPrograms(
  db: Database,
  urls: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, Program>>> {
  const programs: Record<string, Program> = {};
  for (const [name, url] of Object.entries(urls)) {
    const module = (await import(url)) as Partial<ProgramModule>;
    if (module.openProgram === undefined) {
      throw new InvariantError('internal', `the module of program ${name} exports no openProgram`);
    }
    programs[name] = module.openProgram(db);
  }
  return programs;
}

function serve(
  db: Database,
  writer: GroupWriter,
  requests: readonly ThreadRequest[],
): readonly ThreadReply[] {
  const writes = requests.filter(isWrite);
  const replies: ThreadReply[] = [];
  for (let start = 0; start < writes.length; start += GROUP_MAX) {
    const group = writes.slice(start, start + GROUP_MAX);
    const outcomes = writer.commit(group);
    for (const [index, { id }] of group.entries()) {
      const outcome = outcomes[index];
      assertInvariant(outcome !== undefined, 'every batch of a group is answered');
      replies.push(
        outcome.ok
          ? { id, ok: true, answer: outcome.answer }
          : { id, ok: false, fault: encodeFault(outcome.error) },
      );
    }
  }
  // After the commits, so that a query sees what was asked for before it.
  for (const request of requests) {
    if (!isWrite(request)) replies.push(answerOther(db, writer, request));
  }
  return replies;
}

function isWrite(request: ThreadRequest): request is Write {
  return request.kind === 'execute' || request.kind === 'call';
}

function answerOther(
  db: Database,
  writer: GroupWriter,
  request: Exclude<ThreadRequest, Write>,
): ThreadReply {
  const { id } = request;
  try {
    if (request.kind === 'query') return { id, ok: true, answer: writer.query(request) };
    if (request.kind === 'copy') copyTo(db, request.file);
    return { id, ok: true, answer: undefined };
  } catch (error) {
    return { id, ok: false, fault: encodeFault(error) };
  }
}

function copyTo(db: Database, file: string): void {
  try {
    db.run('VACUUM INTO ?', [file]);
    chmodSync(file, 0o600);
  } catch (error) {
    throw storeFault(error, `The store could not be copied to ${file}`);
  }
}

await start();
