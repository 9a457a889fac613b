/** What the kernel that digests join keys has in its memory once it is done: what it began with. */
import { randomBytes } from 'node:crypto';
import { expect, it, vi } from 'vitest';

type HashEach = (...places: number[]) => void;

let memory: WebAssembly.Memory | undefined;
let isThere: boolean | undefined;
const message = new Uint8Array(randomBytes(90));
const bytesOf = (): Buffer => Buffer.from(memory?.buffer.slice(0) ?? new ArrayBuffer(0));

// The real kernel, its memory shown to the test when a call of it ends.
const real = WebAssembly.Instance;
vi.spyOn(WebAssembly, 'Instance').mockImplementation(function (kernelModule, imports) {
  const { exports } = new real(kernelModule, imports);
  memory = exports['memory'] as WebAssembly.Memory;
  const hashEach: HashEach = (...places) => {
    (exports['hashEach'] as HashEach)(...places);
    isThere = bytesOf().includes(message);
  };
  return { exports: { ...exports, hashEach } };
});
const { nativeSha256Each } = await import('../../workers/native-sha256.ts');

it('the kernel’s memory holds nothing of messages afterwards', () => {
  const before = bytesOf();
  expect(before.some((byte) => byte !== 0)).toBe(true);
  const messages = Buffer.concat([message, message, randomBytes(200_000)]);
  const ends = Uint32Array.of(90, 180, messages.length);
  expect(nativeSha256Each(new Uint8Array(52).fill(7), messages, ends)).toHaveLength(96);
  // The control: at the end of the call itself it is still there.
  expect(isThere).toBe(true);
  const after = bytesOf();
  expect(after.length).toBeGreaterThan(before.length);
  expect(after.subarray(0, before.length).equals(before)).toBe(true);
  expect(after.subarray(before.length).every((byte) => byte === 0)).toBe(true);
});
