/**
 * The fixed load generator: raw HTTP/1.1 over kept connections, one request under way on each, every
 * request with a key of its own. A process of its own, told what to do by its parent.
 */
import { connect, type Socket } from 'node:net';
import { quantile } from './ledger-driver.ts';

export interface LoadOrder {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Begins every key of this order. */
  readonly prefix: string;
}

export interface LoadReport {
  /** Answered 200. */
  readonly calls: number;
  readonly failed: number;
  readonly tookMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const HASH = 'cd'.repeat(32);
const BODY = JSON.stringify({
  contract: 7,
  analyst: 'airline',
  datasets: ['west', 'centre', 'east'].map((name) => ({ name, fingerprint: HASH })),
  elements: Array.from({ length: 8 }, (_, at) => `element-${at}-of-a-call`),
});

async function load(order: LoadOrder): Promise<LoadReport> {
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  let failed = 0;
  let next = 0;
  const requester = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect({ port: order.port, host: '127.0.0.1', noDelay: true });
      let received = '';
      let beganMs = 0;
      const ask = (): void => {
        if (performance.now() - startMs >= order.durationMs) {
          socket.end();
          return resolve();
        }
        next += 1;
        // Contracts change with the call, in the same number of digits.
        const body = BODY.replace('"contract":7', `"contract":${10 + (next % 54)}`);
        beganMs = performance.now();
        socket.write(
          `POST ${order.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nidempotency-key: ${order.prefix}-${next}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
      };
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        received += chunk;
        const end = answerEnd(received);
        if (end === undefined) return;
        if (received.startsWith('HTTP/1.1 200')) latenciesMs.push(performance.now() - beganMs);
        else failed += 1;
        received = received.slice(end);
        ask();
      });
      socket.on('connect', ask).on('error', reject);
    });
  await Promise.all(Array.from({ length: order.connections }, requester));
  return {
    calls: latenciesMs.length,
    failed,
    tookMs: performance.now() - startMs,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}

/** Where a whole answer ends, or undefined while it has not come. */
function answerEnd(text: string): number | undefined {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head))?.[1];
  if (length === undefined) throw new Error('an answer has no length');
  const end = head + 4 + Number(length);
  return text.length >= end ? end : undefined;
}

process.once('disconnect', () => process.exit(0));
process.on('message', (order: LoadOrder) => {
  void load(order).then((report) => process.send?.(report));
});
