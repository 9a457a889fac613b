/**
 * Watches the system calls of a gateway: no call that starts a run, or is refused one, is answered
 * before a sync of the ledger's log that began after the call had come.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { databaseFile } from '../../src/gateway/gateway-state.ts';
import { nothingAcknowledged, refuseOnce, runOnce } from './gateway-load.ts';
import { startGatewayWorld } from './gateway-world.ts';

export interface GatewayTrace {
  /** Answers to calls that start a run, accepted or refused. */
  readonly answers: number;
  /** Those with no sync of the log between the call and the answer. */
  readonly unsynced: number;
}

const ROUNDS = 8;
const ATTACH_MS = 1500;
/** A run's last writes come after its end was told. */
const PAUSE_MS = 100;

/** One call at a time, so that every sync between a call and its answer is of that call. */
export async function traceGateway(lateStore: boolean): Promise<GatewayTrace> {
  const world = await startGatewayWorld({ lateStore });
  try {
    const output = join(world.weir.directory, 'gateway.strace');
    const calls = 'trace=read,write,writev,fdatasync,fsync';
    const target = ['-p', String(world.weir.gateway.pid)];
    const tracer = spawn('strace', ['-f', '-y', '-s', '64', '-e', calls, '-o', output, ...target], {
      stdio: 'ignore',
    });
    const ended = new Promise<void>((resolve) => tracer.once('exit', () => resolve()));
    await sleep(ATTACH_MS);
    const acks = nothingAcknowledged();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const customer of world.customers) {
        await (round % 2 === 0 ? refuseOnce(customer, acks) : runOnce(customer, acks, false));
        await sleep(PAUSE_MS);
      }
    }
    tracer.kill('SIGINT');
    await ended;
    return readGatewayTrace(
      readFileSync(output, 'utf8'),
      `/${basename(databaseFile(world.weir.directory))}-wal>`,
    );
  } finally {
    await world.close();
  }
}

interface Waiting {
  readonly since: number;
  isSynced: boolean;
}

/**
 * @param text - `strace -f -y` of reads, writes and syncs, in the order in which they happened.
 * @param log - how the ledger's log is named in it.
 */
export function readGatewayTrace(text: string, log: string): GatewayTrace {
  const waiting = new Map<string, Waiting>();
  const syncing = new Map<string, number>();
  let answers = 0;
  let unsynced = 0;
  for (const [at, line] of text.split('\n').entries()) {
    const pid = line.split(' ', 1)[0] ?? '';
    const socket = /\b(?:read|write|writev)\((\d+)</.exec(line)?.[1];
    if (/\bf(?:data)?sync\(/.test(line) && line.includes(log)) syncing.set(pid, at);
    const isSyncDone = /\bf(?:data)?sync(?:\(| resumed>).*= 0$/.test(line);
    if (isSyncDone && syncing.has(pid)) {
      const began = syncing.get(pid) ?? at;
      for (const each of waiting.values()) each.isSynced ||= each.since < began;
      syncing.delete(pid);
    }
    if (socket === undefined) continue;
    if (line.includes('"POST /v1/runs ')) waiting.set(socket, { since: at, isSynced: false });
    else if (line.includes('"HTTP/1.1 ') && waiting.has(socket)) {
      answers += 1;
      if (waiting.get(socket)?.isSynced !== true) unsynced += 1;
      waiting.delete(socket);
    }
  }
  return { answers, unsynced };
}
