/**
 * The native SQL parser in a process of its own, bounded in time, memory and queue. A text that
 * stops, bloats or crashes it is refused; the next text gets a fresh process.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { CapacityError, InputError } from '../errors.ts';
import type { SqlSerializer } from './sql-serializer.ts';

/** Starting the process, on a machine at work. */
const START_TIMEOUT_MS = 20_000;
/** Plans parse in well under a millisecond. */
const PARSE_TIMEOUT_MS = 2000;
/** Texts that wait for their trees; one more is refused. */
const WAITING_MAX = 64;
/** A process that has grown beyond this is replaced once it has answered. */
const RSS_BYTES_MAX = 384 * 1024 * 1024;
/** Heap of the process's own JavaScript; the native parser has a limit of its own. */
const HEAP_MIB_MAX = 64;

const ReadySchema = z.strictObject({ ready: z.literal(true) });
const AnswerSchema = z.strictObject({
  id: z.int(),
  tree: z.string().optional(),
  rssBytes: z.number(),
});

/** The one text that is being read. */
interface Reading {
  readonly id: number;
  readonly resolve: (tree: string) => void;
  readonly reject: (error: Error) => void;
}

interface Child {
  readonly process: ChildProcess;
  readonly ready: Promise<void>;
  /** Ends it; the next text gets another one. */
  readonly retire: () => void;
  reading: Reading | undefined;
}

export interface IsolationOptions {
  /** How long one text may take, in milliseconds. */
  readonly parseTimeoutMs?: number;
  /** Another program in the parser's place: a test lets it hang or crash. */
  readonly program?: URL;
}

/** Nothing is started before the first text. @throws never; `serialize` throws InputError, CapacityError */
export function openIsolatedSerializer(options: IsolationOptions = {}): SqlSerializer {
  const parseTimeoutMs = options.parseTimeoutMs ?? PARSE_TIMEOUT_MS;
  const program = options.program ?? ownProgram();
  let current: Child | undefined;
  let nextId = 0;
  let waiting = 0;
  let isClosed = false;
  let last: Promise<unknown> = Promise.resolve();
  const ask = async (text: string): Promise<string> => {
    if (isClosed) throw restarting();
    const child = (current ??= startChild(program, (ended) => {
      if (current === ended) current = undefined;
    }));
    await child.ready;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const timer = setTimeout(() => {
      reject(refusal('it takes too long to read'));
      child.retire();
    }, parseTimeoutMs);
    child.reading = { id: nextId++, resolve, reject };
    child.process.send({ id: child.reading.id, text }, (error) => {
      if (error !== null) reject(restarting());
    });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      child.reading = undefined;
    }
  };
  return {
    serialize: async (text) => {
      if (waiting >= WAITING_MAX) throw restarting();
      waiting += 1;
      // One after another: whichever text ends the process is the one that is refused for it.
      const mine = last.then(() => ask(text));
      last = mine.catch(() => undefined);
      try {
        return await mine;
      } finally {
        waiting -= 1;
      }
    },
    close: () => {
      isClosed = true;
      current?.retire();
    },
  };
}

function startChild(program: URL, onEnd: (child: Child) => void): Child {
  const process = fork(fileURLToPath(program), [], {
    // No environment: nothing to read there. No rights but to read the program's own files.
    env: {},
    execArgv: [
      '--permission',
      '--allow-addons',
      '--allow-fs-read=*',
      '--disable-warning=SecurityWarning',
      `--max-old-space-size=${HEAP_MIB_MAX}`,
    ],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'json',
  });
  process.unref();
  process.channel?.unref();
  const started = Promise.withResolvers<void>();
  const timer = setTimeout(() => process.kill('SIGKILL'), START_TIMEOUT_MS);
  const child: Child = {
    process,
    ready: started.promise,
    retire: () => {
      onEnd(child);
      process.kill('SIGKILL');
    },
    reading: undefined,
  };
  started.promise.catch(() => undefined);
  process.on('message', (message) => {
    if (ReadySchema.safeParse(message).success) {
      clearTimeout(timer);
      started.resolve();
    } else {
      answer(child, message);
    }
  });
  const ended = (): void => {
    clearTimeout(timer);
    started.reject(restarting());
    onEnd(child);
    child.reading?.reject(refusal('the parser cannot read it'));
  };
  process.once('error', ended);
  process.once('exit', ended);
  return child;
}

function answer({ reading, retire }: Child, message: unknown): void {
  const parsed = AnswerSchema.safeParse(message);
  if (!parsed.success || parsed.data.id !== reading?.id) return;
  const { tree, rssBytes } = parsed.data;
  if (tree === undefined) reading.reject(refusal('the parser cannot read it'));
  else reading.resolve(tree);
  if (rssBytes > RSS_BYTES_MAX) retire();
}

function refusal(rule: string): InputError {
  return new InputError('query-not-supported', `The query is not supported: ${rule}.`, {
    rule,
    remedy: 'Ask in a shorter, plainer form.',
  });
}

function restarting(): CapacityError {
  return new CapacityError('queue-full', 'The SQL parser is not ready for another query.', {
    retryAfterS: 1,
  });
}

/** From source (`.ts`, types stripped by Node) and from the build (`.js`) alike. */
function ownProgram(): URL {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`parser-process${extension}`, import.meta.url);
}
