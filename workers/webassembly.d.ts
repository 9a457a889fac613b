/** The part of WebAssembly in use: the DOM library that declares it would bring a browser's globals. */
export {};

declare global {
  namespace WebAssembly {
    type Exports = Readonly<Record<string, unknown>>;
    type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    class Memory {
      constructor(descriptor: { readonly initial: number; readonly maximum?: number });
      readonly buffer: ArrayBuffer;
      grow(pages: number): number;
    }
    class Module {
      constructor(bytes: Uint8Array);
    }
    class Instance {
      constructor(module: Module, imports: Imports);
      readonly exports: Exports;
    }
    function validate(bytes: Uint8Array): boolean;
  }
}
