/** One side of a match by VOLE: on a thread of its own, its messages by the sealed channel here. */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { PsiRole } from '../../../protocols/psi/messages.ts';
import type { SettledElements } from '../../../protocols/psi/vole/settled-elements.ts';
import type { VolePsiParams } from '../../../protocols/psi/vole/psi-params.ts';
import type { VoleAnswer, VoleArgument, VoleCall, VoleReply } from '../../../workers/psi-vole.ts';
import type { SealedChannel } from '../../link/channel.ts';
import type { Pool } from '../../pool/pool.ts';

/** Where a side runs and what it is told. */
export interface VoleThread {
  readonly pool: Pool;
  readonly channel: SealedChannel;
  readonly signal: AbortSignal;
  /** Parts done, out of so many. */
  readonly onProgress: (done: number, total: number) => void;
}

/**
 * Runs a side to its end, by LPN or without. The elements go to the thread: they cannot be used here any more.
 * @throws ProtocolError; whatever the channel fails with; CapacityError `queue-full` where as many
 *   such threads run as may
 */
export async function runVoleThread(
  { pool, channel, signal, onProgress }: VoleThread,
  role: PsiRole,
  params: VolePsiParams,
  { source }: SettledElements,
  withoutLpn = false,
): Promise<VoleAnswer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source.pieces()) pieces.push(piece);
  const { port1, port2 } = new MessageChannel();
  // A thread that waits for a message that cannot come is ended.
  const broken = new AbortController();
  const failure = serve(port1, channel, onProgress);
  const argument: VoleArgument = {
    role,
    params,
    pieces,
    count: source.count,
    withoutLpn,
    port: port2,
  };
  const buffers = new Set(pieces.map(({ buffer }) => buffer as ArrayBuffer));
  try {
    return await Promise.race([
      pool.run<VoleAnswer>('psi-vole', 'voleTask', argument, {
        transfer: [...buffers, port2],
        signal: AbortSignal.any([signal, broken.signal]),
        ownThread: true,
      }),
      failure,
    ]);
  } finally {
    port1.close();
    broken.abort();
  }
}

/** Answers the thread's calls in their order; rejects when the channel fails, else stays open. */
function serve(
  port: MessagePort,
  channel: SealedChannel,
  onProgress: VoleThread['onProgress'],
): Promise<never> {
  return new Promise((_resolve, reject) => {
    let sent: Promise<void> = Promise.resolve();
    const answer = async (call: VoleCall): Promise<void> => {
      switch (call.call) {
        case 'progress':
          onProgress(call.done, call.total);
          return;
        case 'send': {
          sent = sent.then(() => channel.send(call.kind, call.payload));
          await sent;
          const reply: VoleReply = { id: call.id };
          port.postMessage(reply);
          return;
        }
        case 'receive': {
          const reply: VoleReply = { id: call.id, payload: await channel.receive(call.kind) };
          port.postMessage(reply);
        }
      }
    };
    port.on('message', (call: VoleCall) => {
      answer(call).catch(reject);
    });
  });
}
