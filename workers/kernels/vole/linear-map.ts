// A GF(2)-linear map from 128 to 512 bits by tables: what each value of each byte adds.

const IMAGE_BYTES: usize = 64;

/** Fills 16 tables of 256 images from the 128 images of single bits. */
export function fillTables(rows: usize, tables: usize): void {
  for (let byte: usize = 0; byte < 16; byte++) {
    const table = tables + byte * 256 * IMAGE_BYTES;
    memory.fill(table, 0, IMAGE_BYTES);
    for (let value: usize = 1; value < 256; value++) {
      const low = <usize>ctz(<u32>value);
      const to = table + value * IMAGE_BYTES;
      const rest = table + (value & (value - 1)) * IMAGE_BYTES;
      const row = rows + ((byte << 3) + low) * IMAGE_BYTES;
      for (let at: usize = 0; at < IMAGE_BYTES; at += 16) {
        v128.store(to + at, v128.xor(v128.load(rest + at), v128.load(row + at)));
      }
    }
  }
}

/** Adds the image of each of `count` elements to its 64 bytes of target. */
export function addImages(target: usize, elements: usize, count: usize, tables: usize): void {
  for (let i: usize = 0; i < count; i++) {
    let a = v128.load(target);
    let b = v128.load(target, 16);
    let c = v128.load(target, 32);
    let d = v128.load(target, 48);
    for (let byte: usize = 0; byte < 16; byte++) {
      const value = <usize>load<u8>(elements + byte);
      const image = tables + ((byte << 8) + value) * IMAGE_BYTES;
      a = v128.xor(a, v128.load(image));
      b = v128.xor(b, v128.load(image, 16));
      c = v128.xor(c, v128.load(image, 32));
      d = v128.xor(d, v128.load(image, 48));
    }
    v128.store(target, a);
    v128.store(target, b, 16);
    v128.store(target, c, 32);
    v128.store(target, d, 48);
    target += IMAGE_BYTES;
    elements += 16;
  }
}
