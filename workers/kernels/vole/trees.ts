// Levels of trees whose nodes have the children π(x) ⊕ x under two keys; π comes from outside.

/**
 * The children of `count` parents, given π of them under either key: child i to out + i · stride, and
 * from child `gapAt` on `gapBytes` further. The sums of all left and of all right children go to
 * `sums`.
 */
export function grow(
  parents: usize,
  left: usize,
  right: usize,
  out: usize,
  count: usize,
  stride: usize,
  gapAt: usize,
  gapBytes: usize,
  sums: usize,
): void {
  let lefts = v128.splat<i64>(0);
  let rights = v128.splat<i64>(0);
  for (let i: usize = 0; i < count; i++) {
    const at = i << 4;
    const parent = v128.load(parents + at);
    const l = v128.xor(parent, v128.load(left + at));
    const r = v128.xor(parent, v128.load(right + at));
    lefts = v128.xor(lefts, l);
    rights = v128.xor(rights, r);
    const first = i << 1;
    v128.store(out + select<usize>(gapBytes, 0, first >= gapAt), l);
    out += stride;
    v128.store(out + select<usize>(gapBytes, 0, first + 1 >= gapAt), r);
    out += stride;
  }
  v128.store(sums, lefts);
  v128.store(sums, rights, 16);
}

/**
 * As `grow`, where child `missing` is unknown: it becomes zero, and its sibling what is missing to
 * the sum of its side, which `known` points to.
 */
export function growPunctured(
  parents: usize,
  left: usize,
  right: usize,
  out: usize,
  count: usize,
  stride: usize,
  gapAt: usize,
  gapBytes: usize,
  sums: usize,
  missing: usize,
  known: usize,
): void {
  grow(parents, left, right, out, count, stride, gapAt, gapBytes, sums);
  const sibling = missing ^ 1;
  const hole = out + missing * stride + select<usize>(gapBytes, 0, missing >= gapAt);
  const near = out + sibling * stride + select<usize>(gapBytes, 0, sibling >= gapAt);
  const holeSum = sums + ((missing & 1) << 4);
  const nearSum = sums + ((sibling & 1) << 4);
  // What was grown of the unknown parent does not count.
  v128.store(holeSum, v128.xor(v128.load(holeSum), v128.load(hole)));
  const others = v128.xor(v128.load(nearSum), v128.load(near));
  v128.store(hole, v128.splat<i64>(0));
  v128.store(near, v128.xor(others, v128.load(known)));
  v128.store(nearSum, v128.load(known));
}
