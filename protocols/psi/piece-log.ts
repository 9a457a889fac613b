/** Pieces kept in the order they came, in little memory: spilled as they come, read back once. */
import { LazySpill, type OpenSpill } from './spill.ts';

/** Owns a spill: `close` it. */
export class PieceLog {
  readonly #spill: LazySpill;
  readonly #places: { readonly offset: number; readonly lengthBytes: number }[] = [];

  constructor(openSpill: OpenSpill) {
    this.#spill = new LazySpill(openSpill);
  }

  async add(piece: Uint8Array): Promise<void> {
    const spill = await this.#spill.opened();
    this.#places.push({ offset: await spill.append(piece), lengthBytes: piece.length });
  }

  async *read(): AsyncGenerator<Uint8Array> {
    if (this.#places.length === 0) return;
    const spill = await this.#spill.opened();
    for (const { offset, lengthBytes } of this.#places) {
      const piece = new Uint8Array(lengthBytes);
      await spill.read(offset, piece);
      yield piece;
    }
  }

  async close(): Promise<void> {
    this.#places.length = 0;
    await this.#spill.close();
  }
}
