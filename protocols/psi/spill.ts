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
 * A spill that is opened when first needed. Closing it also closes one that is being opened just
 * then: a run that breaks off must leave no file behind.
 */
export class LazySpill {
  readonly #openSpill: OpenSpill;
  #spill: Spill | undefined;
  #isClosed = false;

  constructor(openSpill: OpenSpill) {
    this.#openSpill = openSpill;
  }

  /** @throws ProtocolError `message-unexpected` once closed. */
  async opened(): Promise<Spill> {
    if (!this.#isClosed && this.#spill === undefined) {
      const spill = await this.#openSpill();
      if (this.#isClosed) await spill.close();
      else this.#spill = spill;
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
    const spill = this.#spill;
    this.#spill = undefined;
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
