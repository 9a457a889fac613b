/** When a caller has left, or was answered. */
import type { ServerResponse } from 'node:http';

/**
 * Calls `leave` once when the answer's connection closes, at once where it has: what closed while the
 * caller was looked up tells nobody again.
 * @returns stops listening.
 */
export function onceClosed(outgoing: ServerResponse, leave: () => void): () => void {
  if (outgoing.closed || outgoing.destroyed) {
    leave();
    return () => undefined;
  }
  outgoing.once('close', leave);
  return () => {
    outgoing.off('close', leave);
  };
}
