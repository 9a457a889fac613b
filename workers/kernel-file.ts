/** Where the WASM kernels lie, and that they are those of the code that calls them. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';

/** Each is `kernels/NAME.ts`, the folder `kernels/NAME`, or both. */
export type KernelName = 'curve25519' | 'lanes' | 'okvs' | 'sha256' | 'vole';

/**
 * A kernel's module: beside this file in the build; from source, in the build's folder.
 * @throws Error where it is not built, or from source where its sources changed since
 */
export function kernelBytes(name: KernelName): Uint8Array<ArrayBuffer> {
  const isSource = import.meta.url.endsWith('.ts');
  const built = new URL(isSource ? '../dist/workers/kernels/' : './kernels/', import.meta.url);
  return readKernel(name, built, isSource ? new URL('./kernels/', import.meta.url) : undefined);
}

/**
 * As `kernelBytes`, from given folders.
 *
 * A kernel of other sources takes a call's numbers for other things: it traps with "memory access out
 * of bounds" in the midst of a run, or computes something else. So it is refused before its first call.
 * @param sources - with a slash at the end, as `built`; none where only the build is there.
 */
export function readKernel(
  name: KernelName,
  built: URL,
  sources: URL | undefined,
): Uint8Array<ArrayBuffer> {
  const file = new URL(`${name}.wasm`, built);
  if (!existsSync(file)) throw new Error(`The kernel ${name}.wasm is not built: npm run build.`);
  if (sources !== undefined && newestOf(name, sources) > statSync(file).mtimeMs) {
    throw new Error(`The kernel ${name}.wasm is older than its sources: npm run build.`);
  }
  return new Uint8Array(readFileSync(file));
}

function newestOf(name: KernelName, sources: URL): number {
  const folder = new URL(`${name}/`, sources);
  const entry = new URL(`${name}.ts`, sources);
  return Math.max(
    existsSync(folder) ? newestMs(folder) : 0,
    existsSync(entry) ? statSync(entry).mtimeMs : 0,
  );
}

/** When the newest file of a folder changed. @param folder - with a slash at the end. */
export function newestMs(folder: URL): number {
  return Math.max(...readdirSync(folder).map((part) => statSync(new URL(part, folder)).mtimeMs));
}
