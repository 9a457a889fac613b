/**
 * One side of a match by VOLE on a thread of its own: the thread computes, the domain's main thread
 * has the channel and passes messages on through a port. Nothing else leaves the thread but the
 * answer.
 */
import { randomBytes } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { releaseBytes } from '../protocols/common/bytes.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import type { PsiChannel } from '../protocols/psi/exchange.ts';
import type { PsiRole } from '../protocols/psi/messages.ts';
import { memorySpill } from '../protocols/psi/spill.ts';
import { lpnCorrelator, otCorrelator } from '../protocols/psi/vole/correlators.ts';
import type {
  ElementSource,
  VolePsiMachine,
  VolePsiParams,
} from '../protocols/psi/vole/psi-params.ts';
import { runVolePsiReceiver } from '../protocols/psi/vole/psi-receiver.ts';
import { runVolePsiSender } from '../protocols/psi/vole/psi-sender.ts';
import { nativePrimitives } from './native-primitives.ts';

/** Messages on their way to the main thread at most. */
const SENDING_MAX = 8;

export interface VoleArgument {
  readonly role: PsiRole;
  readonly params: VolePsiParams;
  /** Elements, `count` of them; moved to this thread. */
  readonly pieces: readonly Uint8Array[];
  readonly count: number;
  /** The correlation by oblivious transfer alone; the peer must do alike. */
  readonly withoutLpn: boolean;
  readonly port: MessagePort;
}

/** What the thread asks of the main thread; each is answered in its turn. */
export type VoleCall =
  | {
      readonly call: 'send';
      readonly id: number;
      readonly kind: string;
      readonly payload: Uint8Array;
    }
  | { readonly call: 'receive'; readonly id: number; readonly kind: string }
  | { readonly call: 'progress'; readonly done: number; readonly total: number };

export interface VoleReply {
  readonly id: number;
  /** Of a `receive`. */
  readonly payload?: Uint8Array;
}

export interface VoleAnswer {
  /** The receiver's: numbers of the elements that are shared, ascending. */
  readonly numbers: Uint32Array | undefined;
  /** The peer's padded size. */
  readonly peerItems: number;
}

/** Runs a side to its end. A ProtocolError is answered as data, which keeps its code. */
export async function voleTask(argument: VoleArgument): Promise<unknown> {
  const { role, params, port, withoutLpn } = argument;
  const random = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
  const brought = { primitives: nativePrimitives, randomBytes: random };
  const machine: VolePsiMachine = {
    primitives: nativePrimitives,
    correlator: withoutLpn ? otCorrelator(brought) : lpnCorrelator(brought),
    // Parts take the place of the pieces they come from, which are given back one by one.
    openSpill: memorySpill,
    randomBytes: random,
    onProgress: (done, total) => port.postMessage({ call: 'progress', done, total }),
  };
  const channel = portChannel(port);
  try {
    const answer: VoleAnswer =
      role === 'sender'
        ? {
            ...(await runVolePsiSender(channel, params, machine, sourceOf(argument))),
            numbers: undefined,
          }
        : await runVolePsiReceiver(channel, params, machine, sourceOf(argument));
    await channel.sent();
    return answer;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { protocolError: { code: error.code, message: error.message } };
  } finally {
    port.close();
  }
}

/** One part is worked on in place; of several, each piece is used up as it is shared out. */
function sourceOf({ pieces, count, params }: VoleArgument): ElementSource {
  return {
    count,
    async *pieces() {
      for (const piece of pieces) {
        yield piece;
        if (count > params.partItemsMax) releaseBytes(piece);
      }
    },
  };
}

function portChannel(port: MessagePort): PsiChannel & { sent(): Promise<void> } {
  const waiting = new Map<number, (reply: VoleReply) => void>();
  const sending: Promise<VoleReply>[] = [];
  let last = 0;
  port.on('message', (reply: VoleReply) => {
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  });
  const ask = (call: Record<string, unknown>): Promise<VoleReply> => {
    last += 1;
    const id = last;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      port.postMessage({ ...call, id });
    });
  };
  return {
    async send(kind, payload) {
      sending.push(ask({ call: 'send', kind, payload }));
      if (sending.length > SENDING_MAX) await sending.shift();
    },
    async receive(kind) {
      const { payload } = await ask({ call: 'receive', kind });
      return payload ?? new Uint8Array(0);
    },
    async sent() {
      await Promise.all(sending);
    },
  };
}
