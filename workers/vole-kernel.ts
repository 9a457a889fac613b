/** The VOLE kernel: what it exports, and an instance of it with a memory of its own. */

/** What the kernel exports. @see workers/kernels/vole.ts */
interface Kernel {
  grow(...pointersAndSizes: readonly number[]): void;
  growPunctured(...pointersAndSizes: readonly number[]): void;
  convolute(...pointersAndSizes: readonly number[]): void;
  expandOne(...pointersAndSizes: readonly number[]): void;
  expandTwo(...pointersAndSizes: readonly number[]): void;
  separate(entries: number, count: number, first: number, second: number): void;
  transpose(columns: number, count: number, columnBytes: number, rows: number): void;
  fillTables(rows: number, tables: number): void;
  addImages(target: number, elements: number, count: number, tables: number): void;
}

const PAGE_BYTES = 65_536;

export interface Instance {
  readonly kernel: Kernel;
  readonly memory: Uint8Array;
}

/** An instance whose memory goes with it. */
export function instantiate(module: WebAssembly.Module, sizeBytes: number): Instance {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { kernel: exports as unknown as Kernel, memory: new Uint8Array(memory.buffer) };
}
