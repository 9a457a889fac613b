/** The linear memory of an instance of the library: watched, kept from growing, used up. */
import { readFileSync } from 'node:fs';
import initializeSeal from 'node-seal';
import { SealInstance } from '../../workers/seal-instance.ts';

export interface MemoryWatch {
  readonly instantiate: (imports: unknown, receive: (instance: unknown) => void) => object;
  sizeBytes(): number;
  /** Where these bytes lie in it, if anywhere. */
  holds(bytes: Uint8Array): boolean;
  forbidGrowth(): void;
  wipe(): void;
}

/** The instance's linear memory, seen through the loader's hook. */
export function memoryWatch(): MemoryWatch {
  let memory: { readonly buffer: ArrayBuffer; grow(pages: number): number } | undefined;
  return {
    instantiate: (imports, receive) => {
      const url = new URL('./seal_throws.wasm', import.meta.resolve('node-seal'));
      const module = new WebAssembly.Module(new Uint8Array(readFileSync(url)));
      const instance = new WebAssembly.Instance(module, imports as never);
      const exported = Object.values(instance.exports);
      memory = exported.find((item) => item instanceof WebAssembly.Memory) as typeof memory;
      receive(instance);
      return instance.exports;
    },
    sizeBytes: () => memory?.buffer.byteLength ?? Number.NaN,
    holds: (bytes) => memory !== undefined && Buffer.from(memory.buffer).includes(bytes),
    wipe: () => {
      if (memory !== undefined) new Uint8Array(memory.buffer).fill(0);
    },
    forbidGrowth: () => {
      if (memory === undefined) throw new Error('no memory to watch');
      memory.grow = () => {
        throw new RangeError('memory may not grow');
      };
    },
  };
}

/** Elements of the blocks that use memory up, larger ones first. */
const BLOCKS = [1_000_000, 30_000, 1000, 30];

/** An instance whose memory is used up and may not grow: the library's next allocation fails. */
export async function starvedSeal(): Promise<SealInstance> {
  const watch = memoryWatch();
  const options = { instantiateWasm: watch.instantiate, printErr: () => undefined };
  const seal = await initializeSeal(options);
  watch.forbidGrowth();
  const prime = new seal.Modulus(65_537n);
  const held: unknown[] = [];
  for (const elements of BLOCKS) {
    try {
      for (;;) {
        const block = new seal.VectorModulus();
        held.push(block);
        block.resize(elements, prime);
      }
    } catch {
      // No block of this size fits any more.
    }
  }
  return new SealInstance(seal, () => held.splice(0));
}
