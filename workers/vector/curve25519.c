/* Batches of points of curve25519 in the lanes of AVX-512 vectors. See curve25519.h. */
#include "curve25519.h"

#include "field.h"
#include "fractions.h"
#include "hash.h"

/* Points of one turn. */
#define BATCH ((size_t)GROUPS * LANES)

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Eight strings from `at` on as words; what is missing of `count` is filled up with the last. */
static void load_words(lanes word[4], strings from, size_t at, size_t count) {
  uint64_t padded[LANES * 4];
  for (size_t i = 0; i < LANES; i++) {
    memcpy(padded + 4 * i, from.first + smaller(at + i, count - 1) * from.stride, BYTES);
  }
  for (int i = 0; i < 4; i++) word[i] = gather(padded, 4, i);
  wipe(padded, sizeof padded);
}

INLINE void swap(__mmask8 mask, fe *a, fe *b) {
  fe left = fe_select(mask, *b, *a);
  *b = fe_select(mask, *a, *b);
  *a = left;
}

/*
 * The Montgomery ladder, the names of RFC 7748 section 5. What is only added and subtracted next stays
 * wide: a carry of the sum does for both.
 */
static void ladder(const lanes scalar[4], fe x1, fe *x, fe *z) {
  fe x2 = fe_small(1), z2 = fe_small(0), x3 = x1, z3 = fe_small(1);
  __mmask8 swapped = 0;
  for (int t = 254; t >= 0; t--) {
    __mmask8 bit = _mm512_test_epi64_mask(scalar[t >> 6], splat(1ULL << (t & 63)));
    __mmask8 mask = swapped ^ bit;
    swapped = bit;
    swap(mask, &x2, &x3);
    swap(mask, &z2, &z3);
    fe a = fe_add(x2, z2), b = fe_sub(x2, z2);
    fe aa = fe_square(a), bb = fe_square(b);
    fe da = fe_mul_wide(fe_sub(x3, z3), a), cb = fe_mul_wide(fe_add(x3, z3), b);
    fe e = fe_sub(aa, bb);
    x3 = fe_square_wide(fe_add(da, cb));
    z3 = fe_mul_wide(x1, fe_square(fe_sub(da, cb)));
    x2 = fe_mul_wide(aa, bb);
    z2 = fe_mul_wide(e, fe_add_times(aa, e, (CURVE_A - 2) / 4));
  }
  *x = fe_carry(fe_select(swapped, x3, x2));
  *z = fe_carry(fe_select(swapped, z3, z2));
}

/* The position of the first of `count` strings that is all zero, or -1. */
static int64_t first_zero(const uint8_t *points, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint8_t any = 0;
    for (size_t k = 0; k < BYTES; k++) any |= points[i * BYTES + k];
    if (any == 0) return (int64_t)i;
  }
  return -1;
}

int64_t curve_multiply(strings scalars, strings points, size_t count, uint8_t *out) {
  fractions all;
  lanes scalar[4], point[4];
  for (size_t first = 0; first < count; first += BATCH) {
    size_t size = smaller(count - first, BATCH);
    for (size_t i = 0; i < size; i += LANES) {
      load_words(scalar, scalars, first + i, count);
      scalar[0] = and_(scalar[0], splat(~7ULL));
      scalar[3] = _mm512_or_si512(and_(scalar[3], splat(~0ULL >> 1)), splat(1ULL << 62));
      load_words(point, points, first + i, count);
      ladder(scalar, fe_of_words(point), &all.x[i / LANES], &all.z[i / LANES]);
    }
    divide_all(&all, size, out + first * BYTES);
  }
  wipe(scalar, sizeof scalar);
  return first_zero(out, count);
}

int64_t curve_hash(const uint8_t *tag, size_t tag_bytes, const uint8_t *messages, size_t size,
                   size_t count, uint8_t *out) {
  fractions all;
  hash_work work;
  hash_tag use;
  hash_use_tag(&use, tag, tag_bytes);
  for (size_t first = 0; first < count; first += BATCH) {
    size_t part = smaller(count - first, BATCH);
    for (size_t i = 0; i < part; i += LANES) {
      fe *x = &all.x[i / LANES], *z = &all.z[i / LANES];
      hash_to_fields(&work, &use, messages + (first + i) * size, size, smaller(part - i, LANES));
      map_point p = map_to_curve(work.fields[0]), q = map_to_curve(work.fields[1]);
      add_points(&p, &q, x, z);
      for (int doublings = 0; doublings < 3; doublings++) double_point(x, z);
    }
    divide_all(&all, part, out + first * BYTES);
  }
  wipe(&work, sizeof work);
  return first_zero(out, count);
}

/* u of the points of order 1, 2, 4 and 8, of the curve and of its twist. @see RFC 7748 section 7 */
static const uint64_t LOW_ORDER[5][4] = {
    {0, 0, 0, 0},
    {1, 0, 0, 0},
    {0xffffffffffffffec, 0xffffffffffffffff, 0xffffffffffffffff, 0x7fffffffffffffff},
    {0xaeb8413b7c7aebe0, 0x6ac49ff1fae35616, 0xfdb1329ceb8d09da, 0x00b8495f16056286},
    {0x248c50a3bc959c5f, 0x5bef839c55b1d0b1, 0x868e1c58c45c4404, 0x57119fd0dd4e22d8}};

/* Lanes whose 256-bit number is the one below the modulus. */
static __mmask8 is_canonical(const lanes word[4]) {
  fe plain = fe_of_words(word), reduced = fe_canonical(plain);
  __mmask8 same = _mm512_testn_epi64_mask(word[3], splat(1ULL << 63));
  for (int k = 0; k < LIMBS; k++) {
    same &= _mm512_cmpeq_epi64_mask(plain.limb[k], reduced.limb[k]);
  }
  return same;
}

static __mmask8 is_low_order(const lanes word[4]) {
  __mmask8 found = 0;
  for (int i = 0; i < 5; i++) {
    __mmask8 same = 0xff;
    for (int k = 0; k < 4; k++) same &= _mm512_cmpeq_epi64_mask(word[k], splat(LOW_ORDER[i][k]));
    found |= same;
  }
  return found;
}

/* v^2 = ((u + A) * u + 1) * u is a square: its power (p - 1) / 2 is one. */
static __mmask8 is_on_curve(fe u) {
  fe one = fe_small(1);
  fe square = fe_mul(fe_add(fe_mul(fe_add(u, fe_small(CURVE_A)), u), one), u);
  fe quarter = fe_mul(fe_square(fe_power58(square)), square);
  return fe_equal(fe_square(quarter), one);
}

int64_t curve_first_bad(const uint8_t *points, size_t count) {
  for (size_t i = 0; i < count; i += LANES) {
    lanes word[4];
    load_words(word, (strings){points, BYTES}, i, count);
    __mmask8 good = is_canonical(word) & ~is_low_order(word) & is_on_curve(fe_of_words(word));
    unsigned bad = (unsigned)(__mmask8)~good;
    if (bad != 0) return (int64_t)(i + (size_t)__builtin_ctz(bad));
  }
  return -1;
}
