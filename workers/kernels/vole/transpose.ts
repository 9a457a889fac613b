// Turning a bit matrix, sixteen columns by eight rows at a time.

/** `count` columns (a multiple of 16) of `columnBytes` each become rows of count / 8 bytes. */
export function transpose(columns: usize, count: usize, columnBytes: usize, rows: usize): void {
  const rowBytes = count >> 3;
  for (let column: usize = 0; column < count; column += 16) {
    const base = columns + column * columnBytes;
    let to = rows + (column >> 3);
    for (let at: usize = 0; at < columnBytes; at++) {
      let bytes = v128.splat<i64>(0);
      let from = base + at;
      bytes = v128.load_lane<u8>(from, bytes, 0);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 1);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 2);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 3);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 4);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 5);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 6);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 7);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 8);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 9);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 10);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 11);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 12);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 13);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 14);
      bytes = v128.load_lane<u8>((from += columnBytes), bytes, 15);
      // The top bits of all bytes are row 7; each doubling brings the row before up.
      for (let row: usize = 8; row-- > 0; ) {
        store<u16>(to + row * rowBytes, <u16>i8x16.bitmask(bytes));
        bytes = i8x16.add(bytes, bytes);
      }
      to += rowBytes << 3;
    }
  }
}
