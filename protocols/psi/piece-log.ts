/** Pieces kept in the order they came, in little memory: spilled as they come, read back once. */
import type { OpenSpill, Spill } from './spill.ts';

/** Owns a spill: `close` it. */
export class PieceLog {
  readonly #openSpill: OpenSpill;
  readonly #places: { readonly offset: number; readonly lengthBytes: number }[] = [];
  #spill: Spill | undefined;

  constructor(openSpill: OpenSpill) {
    this.#openSpill = openSpill;
  }

  async add(piece: Uint8Array): Promise<void> {
    this.#spill ??= await this.#openSpill();
    this.#places.push({ offset: await this.#spill.append(piece), lengthBytes: piece.length });
  }

  async *read(): AsyncGenerator<Uint8Array> {
    if (this.#spill === undefined) return;
    for (const { offset, lengthBytes } of this.#places) {
      yield await this.#spill.read(offset, lengthBytes);
    }
  }

  async close(): Promise<void> {
    this.#places.length = 0;
    await this.#spill?.close();
    this.#spill = undefined;
  }
}
