/** Passes HTTP calls on to several targets in turn, as a load balancer before gateways does. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Balancer {
  readonly url: string;
  /** Method, path without its query, and target of each call passed on. */
  readonly passed: readonly { readonly call: string; readonly target: string }[];
  /** Sends calls that fit to this target alone; the rest in turn. */
  pin(call: RegExp, target: string): void;
  close(): Promise<void>;
}

export async function startBalancer(targets: readonly string[]): Promise<Balancer> {
  const passed: { call: string; target: string }[] = [];
  const pins: { readonly call: RegExp; readonly target: string }[] = [];
  let turn = 0;
  const server = createServer((incoming, answer) => {
    const call = `${incoming.method} ${incoming.url?.split('?')[0]}`;
    const pinned = pins.findLast((pin) => pin.call.test(call))?.target;
    const target = pinned ?? targets[turn++ % targets.length] ?? '';
    passed.push({ call, target });
    const { method, headers } = incoming;
    const onward = request(new URL(incoming.url ?? '/', target), { method, headers }, (message) => {
      answer.writeHead(message.statusCode ?? 502, message.headers);
      message.pipe(answer);
      message.on('error', () => answer.destroy());
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed,
    pin: (call, target) => void pins.push({ call, target }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
