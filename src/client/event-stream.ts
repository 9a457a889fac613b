/** Server-sent events out of bytes, bounded. @see HTML §9.2.6 */
import { GatewayUnreachable } from './problem.ts';

/** A run's event is far smaller; a line beyond this is no Weir gateway's. */
const EVENT_CHARS_MAX = 1024 * 1024;

export interface ServerEvent {
  readonly id: string | undefined;
  readonly name: string;
  readonly data: string;
}

/** The events of a stream, in order; an event cut off at the end is dropped. */
export async function* parseEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of chunks) {
    pending += decoder.decode(chunk, { stream: true }).replaceAll('\r\n', '\n');
    let end = pending.indexOf('\n\n');
    while (end >= 0) {
      const event = eventOf(pending.slice(0, end));
      pending = pending.slice(end + 2);
      if (event !== undefined) yield event;
      end = pending.indexOf('\n\n');
    }
    if (pending.length > EVENT_CHARS_MAX) {
      throw new GatewayUnreachable('The event stream is not one of a Weir gateway.');
    }
  }
}

function eventOf(block: string): ServerEvent | undefined {
  let id: string | undefined;
  let name = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    // A line that begins with a colon is a comment.
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, '');
    const field = line.slice(0, colon);
    if (field === 'id') id = value;
    else if (field === 'event') name = value;
    else if (field === 'data') data.push(value);
  }
  return data.length === 0 ? undefined : { id, name, data: data.join('\n') };
}
