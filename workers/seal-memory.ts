/**
 * Instances of the library over a linear memory that can be wiped: the library frees what held a
 * secret key without overwriting it.
 */
import { readFileSync } from 'node:fs';
import type { InitializeOptions } from 'node-seal';

export interface WipeableMemory {
  /** For the library's loader. */
  readonly options: InitializeOptions;
  /** Overwrites all of it; the instance is of no use afterwards. */
  wipe(): void;
}

/** Compiled once a thread: an instance then costs its memory and little else. */
const compiled = once(() => {
  const url = new URL('./seal_throws.wasm', import.meta.resolve('node-seal'));
  return new WebAssembly.Module(new Uint8Array(readFileSync(url)));
});

export function wipeableMemory(): WipeableMemory {
  let memory: WebAssembly.Memory | undefined;
  const instantiateWasm = (
    imports: WebAssembly.Imports,
    receive: (instance: WebAssembly.Instance) => void,
  ): WebAssembly.Exports => {
    const instance = new WebAssembly.Instance(compiled(), imports);
    const { exports } = instance;
    memory = Object.values(exports).find((each) => each instanceof WebAssembly.Memory);
    if (memory === undefined) throw new Error('the library exports no memory');
    receive(instance);
    return exports;
  };
  return {
    options: { instantiateWasm },
    wipe: () => {
      if (memory !== undefined) new Uint8Array(memory.buffer).fill(0);
    },
  };
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
