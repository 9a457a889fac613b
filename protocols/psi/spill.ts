/** Where records go that should not stay in memory. The domain hands in files; tests, memory. */
import { ProtocolError } from '../common/protocol-error.ts';

export interface Spill {
  /** Appends bytes and tells at which offset they start. */
  append(bytes: Uint8Array): Promise<number>;
  /** Fills `into` with what was written from `offset` on: the caller's bytes, since reads are many. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Removes everything. */
  close(): Promise<void>;
}

/** Opens an empty spill; each list has its own. */
export type OpenSpill = () => Promise<Spill>;

/**
 * A spill that is opened when first needed. Closing it waits for one that is being opened just then,
 * and closes it: what is closed leaves no file behind, and makes none after.
 */
export class LazySpill {
  readonly #openSpill: OpenSpill;
  #opening: Promise<Spill> | undefined;
  #spill: Spill | undefined;
  #isClosed = false;

  constructor(openSpill: OpenSpill) {
    this.#openSpill = openSpill;
  }

  /** @throws ProtocolError `message-unexpected` once closed. */
  async opened(): Promise<Spill> {
    if (!this.#isClosed && this.#spill === undefined) {
      this.#opening ??= this.#openSpill();
      const spill = await this.#opening;
      // Else `close` has it.
      if (!this.#isClosed) this.#spill = spill;
    }
    if (this.#spill !== undefined) return this.#spill;
    throw new ProtocolError('message-unexpected', 'a list was used after it was closed');
  }

  /** @throws ProtocolError `message-unexpected` once closed. */
  requireOpen(): void {
    if (!this.#isClosed) return;
    throw new ProtocolError('message-unexpected', 'a list was used after it was closed');
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opening = this.#opening;
    this.#opening = undefined;
    this.#spill = undefined;
    // One that could not be opened is no matter of closing.
    const spill = await opening?.catch(() => undefined);
    await spill?.close();
  }
}

/** A spill that keeps everything in memory: for small sets and tests. */
export async function memorySpill(): Promise<Spill> {
  const parts: { offset: number; bytes: Uint8Array }[] = [];
  let sizeBytes = 0;
  return {
    async append(bytes) {
      const offset = sizeBytes;
      parts.push({ offset, bytes: bytes.slice() });
      sizeBytes += bytes.length;
      return offset;
    },
    async read(offset, into) {
      const part = parts.findLast((candidate) => candidate.offset <= offset);
      const start = offset - (part?.offset ?? 0);
      const bytes = part?.bytes.subarray(start, start + into.length);
      if (bytes?.length !== into.length) {
        throw new ProtocolError('length-wrong', 'a spill was read beyond what was written');
      }
      into.set(bytes);
    },
    async close() {
      parts.length = 0;
    },
  };
}
