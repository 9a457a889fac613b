/**
 * Leaks on purpose, one a channel: what a bug in a gateway or a domain could do. Controls of the
 * canary test, which must find each of them.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Computation } from '../../../src/computations/computation.ts';
import { databaseFile } from '../../../src/gateway/gateway-state.ts';
import { GATEWAY } from '../../../src/system/ids.ts';
import type { Log } from '../../../src/system/log.ts';

export type LeakChannel = 'frame' | 'log' | 'row' | 'file' | 'crash' | 'body';

export interface Leak {
  readonly channel: LeakChannel;
  /** An integer in decimal digits. */
  readonly value: string;
}

const LEAK_AT = 'released';

/** What a step of a run lets out where told to. */
export function leakAtStep(leak: Leak, step: string, directory: string, log: Log): void {
  if (step !== LEAK_AT) return;
  switch (leak.channel) {
    case 'log':
      return log.info({ sum: Number(leak.value) }, 'a sum');
    case 'file':
      return writeFileSync(join(tmpdir(), 'spill.bin'), new BigInt64Array([BigInt(leak.value)]));
    case 'row':
      return writeRow(directory, leak.value);
    case 'crash':
      setImmediate(() => {
        throw new Error(`cannot add ${leak.value}`);
      });
      return undefined;
    case 'frame':
    case 'body':
      return undefined;
  }
}

/** Beside the gateway's own writer: into the database's write-ahead log, as an integer. */
function writeRow(directory: string, value: string): void {
  const database = new DatabaseSync(databaseFile(directory), { timeout: 5000 });
  database.exec('CREATE TABLE IF NOT EXISTS leak (value INTEGER)');
  database.prepare('INSERT INTO leak VALUES (?)').run(BigInt(value));
  database.close();
}

/** A computation whose domain sends the value in a frame, whose gateway tells it to its client. */
export function leaking(
  computation: Computation,
  /** The leak ordered by this channel, once. */
  take: (channel: LeakChannel) => Leak | undefined,
): Computation {
  return {
    ...computation,
    runDomain: async (role) => {
      const leak = take('frame');
      if (leak !== undefined) {
        const payload = new Uint8Array(8);
        new DataView(payload.buffer).setBigInt64(0, BigInt(leak.value), true);
        await role.channel.send(GATEWAY, 'round1.counts', payload);
      }
      return computation.runDomain(role);
    },
    runGateway: async (role) => {
      const leak = take('body');
      if (leak !== undefined) role.progress(0.5, `added up to ${leak.value}`);
      return computation.runGateway(role);
    },
  };
}
