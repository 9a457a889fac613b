/** When a socket has closed, as a signal. */
import type { WebSocket } from 'ws';

/** Aborts when the socket has closed. */
export function closeSignal(socket: WebSocket): AbortSignal {
  const closed = new AbortController();
  if (socket.readyState === socket.CLOSED) closed.abort();
  else socket.once('close', () => closed.abort());
  return closed.signal;
}
