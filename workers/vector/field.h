/*
 * GF(2^255 - 19), eight elements at a time: one in each 64-bit lane of five vectors, 51 bits a limb.
 * Products by AVX-512 IFMA, which multiplies 52-bit lanes and adds the low or the high 52 bits of the
 * product to 64-bit sums. No branch and no address depends on a value.
 *
 * "Carried": every limb below 2^51 + 2^16, what all calls give but those named wide, whose limbs are
 * below 2^61. Products take carried elements: bits from 2^52 on would be cut off without a word. Sums,
 * differences, fe_select and fe_carry take both.
 */
#ifndef WEIR_FIELD_H
#define WEIR_FIELD_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES 8
#define LIMBS 5
#define BYTES 32

typedef __m512i lanes;
typedef struct {
  lanes limb[LIMBS];
} fe;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 9")

INLINE lanes splat(uint64_t value) { return _mm512_set1_epi64((long long)value); }
INLINE lanes plus(lanes a, lanes b) { return _mm512_add_epi64(a, b); }
INLINE lanes and_(lanes a, lanes b) { return _mm512_and_si512(a, b); }
INLINE lanes low51(lanes a) { return and_(a, splat((1ULL << 51) - 1)); }

/* a + 19 * b for b below 2^47. */
INLINE lanes plus_times19(lanes a, lanes b) { return _mm512_madd52lo_epu64(a, b, splat(19)); }

/* Limbs below 2^62 to carried ones: all carries at once, none runs on. */
INLINE fe fe_carry(fe a) {
  fe r;
  lanes top = _mm512_srli_epi64(a.limb[4], 51);
  UNROLL for (int k = 4; k > 0; k--) {
    r.limb[k] = plus(low51(a.limb[k]), _mm512_srli_epi64(a.limb[k - 1], 51));
  }
  r.limb[0] = plus_times19(low51(a.limb[0]), top);
  return r;
}

INLINE fe fe_small(uint64_t value) {
  fe r = {{splat(value), splat(0), splat(0), splat(0), splat(0)}};
  return r;
}

INLINE fe fe_add(fe a, fe b) {
  fe r;
  UNROLL for (int k = 0; k < LIMBS; k++) r.limb[k] = plus(a.limb[k], b.limb[k]);
  return fe_carry(r);
}

/* 2^10 times the modulus on top keeps each limb positive. */
INLINE fe fe_sub(fe a, fe b) {
  fe r;
  UNROLL for (int k = 0; k < LIMBS; k++) {
    lanes bias = splat((1ULL << 61) - ((k == 0 ? 19ULL : 1ULL) << 10));
    r.limb[k] = _mm512_sub_epi64(plus(a.limb[k], bias), b.limb[k]);
  }
  return fe_carry(r);
}

INLINE fe fe_neg(fe a) { return fe_sub(fe_small(0), a); }

/*
 * Columns of a product: the high half of limbs i and j stands at 2^52, twice the weight of column
 * i + j + 1. Each column is below 15 * 2^52, with what comes back nineteenfold below 2^60 + 2^58. Wide.
 */
INLINE fe fe_fold(const lanes low[9], const lanes high[9]) {
  lanes column[10];
  column[0] = low[0];
  UNROLL for (int k = 1; k < 9; k++) column[k] = plus(low[k], plus(high[k - 1], high[k - 1]));
  column[9] = plus(high[8], high[8]);
  fe r;
  UNROLL for (int k = 0; k < LIMBS; k++) {
    r.limb[k] = plus(column[k], _mm512_mullo_epi64(column[k + LIMBS], splat(19)));
  }
  return r;
}

INLINE fe fe_mul_wide(fe a, fe b) {
  lanes low[9], high[9];
  UNROLL for (int k = 0; k < 9; k++) low[k] = high[k] = splat(0);
  UNROLL for (int i = 0; i < LIMBS; i++) {
    UNROLL for (int j = 0; j < LIMBS; j++) {
      low[i + j] = _mm512_madd52lo_epu64(low[i + j], a.limb[i], b.limb[j]);
      high[i + j] = _mm512_madd52hi_epu64(high[i + j], a.limb[i], b.limb[j]);
    }
  }
  return fe_fold(low, high);
}

INLINE fe fe_mul(fe a, fe b) { return fe_carry(fe_mul_wide(a, b)); }

/* Each product of two different limbs once, doubled as a sum: doubled limbs would not fit 52 bits. */
INLINE fe fe_square_wide(fe a) {
  lanes low[9], high[9];
  UNROLL for (int k = 0; k < 9; k++) low[k] = high[k] = splat(0);
  UNROLL for (int i = 0; i < LIMBS; i++) {
    UNROLL for (int j = i + 1; j < LIMBS; j++) {
      low[i + j] = _mm512_madd52lo_epu64(low[i + j], a.limb[i], a.limb[j]);
      high[i + j] = _mm512_madd52hi_epu64(high[i + j], a.limb[i], a.limb[j]);
    }
  }
  UNROLL for (int k = 1; k < 8; k++) {
    low[k] = plus(low[k], low[k]);
    high[k] = plus(high[k], high[k]);
  }
  UNROLL for (int i = 0; i < LIMBS; i++) {
    low[2 * i] = _mm512_madd52lo_epu64(low[2 * i], a.limb[i], a.limb[i]);
    high[2 * i] = _mm512_madd52hi_epu64(high[2 * i], a.limb[i], a.limb[i]);
  }
  return fe_fold(low, high);
}

INLINE fe fe_square(fe a) { return fe_carry(fe_square_wide(a)); }

/* base + factor * a, of carried ones, for a factor below 2^20. */
INLINE fe fe_add_times(fe base, fe a, uint64_t factor) {
  fe r = base;
  lanes by = splat(factor), zero = splat(0);
  UNROLL for (int k = 0; k < LIMBS; k++) {
    lanes high = _mm512_madd52hi_epu64(zero, a.limb[k], by);
    high = plus(high, high);
    r.limb[k] = _mm512_madd52lo_epu64(r.limb[k], a.limb[k], by);
    if (k < 4) r.limb[k + 1] = plus(r.limb[k + 1], high);
    else r.limb[0] = plus_times19(r.limb[0], high);
  }
  return fe_carry(r);
}

/* Lane by lane: `yes` where the mask is set, else `no`. */
INLINE fe fe_select(__mmask8 mask, fe yes, fe no) {
  fe r;
  UNROLL for (int k = 0; k < LIMBS; k++) {
    r.limb[k] = _mm512_mask_blend_epi64(mask, no.limb[k], yes.limb[k]);
  }
  return r;
}

/* The one representation below the modulus, of a carried element. */
INLINE fe fe_canonical(fe a) {
  /* Below twice the modulus now. It is the modulus or more exactly where adding 19 reaches 2^255. */
  lanes carry = splat(19);
  UNROLL for (int k = 0; k < LIMBS; k++) carry = _mm512_srli_epi64(plus(a.limb[k], carry), 51);
  carry = plus_times19(splat(0), carry);
  UNROLL for (int k = 0; k < LIMBS; k++) {
    lanes sum = plus(a.limb[k], carry);
    a.limb[k] = low51(sum);
    carry = _mm512_srli_epi64(sum, 51);
  }
  return a;
}

/* Which lanes hold zero, of a carried element. */
INLINE __mmask8 fe_is_zero(fe a) {
  a = fe_canonical(a);
  lanes any = a.limb[0];
  UNROLL for (int k = 1; k < LIMBS; k++) any = _mm512_or_si512(any, a.limb[k]);
  return _mm512_testn_epi64_mask(any, any);
}

INLINE __mmask8 fe_equal(fe a, fe b) { return fe_is_zero(fe_sub(a, b)); }

/* Lanes whose canonical number is odd: RFC 9380's sgn0. */
INLINE __mmask8 fe_is_odd(fe a) {
  return _mm512_test_epi64_mask(fe_canonical(a).limb[0], splat(1));
}

/* Limbs of the lower 255 bits of 256-bit numbers given as little-endian words. */
INLINE fe fe_of_words(const lanes word[4]) {
  fe r;
  r.limb[0] = low51(word[0]);
  r.limb[1] = low51(_mm512_or_si512(_mm512_srli_epi64(word[0], 51), _mm512_slli_epi64(word[1], 13)));
  r.limb[2] = low51(_mm512_or_si512(_mm512_srli_epi64(word[1], 38), _mm512_slli_epi64(word[2], 26)));
  r.limb[3] = low51(_mm512_or_si512(_mm512_srli_epi64(word[2], 25), _mm512_slli_epi64(word[3], 39)));
  r.limb[4] = low51(_mm512_srli_epi64(word[3], 12));
  return r;
}

/* Word `index` of each of eight strings of `stride` 64-bit words. */
INLINE lanes gather(const void *strings, int stride, int index) {
  lanes at = _mm512_mullo_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), splat((uint64_t)stride));
  return _mm512_i64gather_epi64(plus(at, splat((uint64_t)index)), strings, 8);
}

/* Eight elements as canonical little-endian strings, one behind the other. */
INLINE void fe_store(uint8_t out[LANES * BYTES], fe a) {
  a = fe_canonical(a);
  lanes word[4];
  word[0] = _mm512_or_si512(a.limb[0], _mm512_slli_epi64(a.limb[1], 51));
  word[1] = _mm512_or_si512(_mm512_srli_epi64(a.limb[1], 13), _mm512_slli_epi64(a.limb[2], 38));
  word[2] = _mm512_or_si512(_mm512_srli_epi64(a.limb[2], 26), _mm512_slli_epi64(a.limb[3], 25));
  word[3] = _mm512_or_si512(_mm512_srli_epi64(a.limb[3], 39), _mm512_slli_epi64(a.limb[4], 12));
  for (int i = 0; i < 4; i++) {
    lanes at = _mm512_set_epi64(28, 24, 20, 16, 12, 8, 4, 0);
    _mm512_i64scatter_epi64(out, plus(at, splat((uint64_t)i)), word[i], 8);
  }
}

INLINE fe fe_square_times(fe a, int count) {
  for (int i = 0; i < count; i++) a = fe_square(a);
  return a;
}

/* a^(2^252 - 3), the exponent (p - 5) / 8: 252 squarings, 11 products. */
static fe fe_power58(fe a) {
  fe a2 = fe_square(a);
  fe a9 = fe_mul(a, fe_square_times(a2, 2));
  fe a11 = fe_mul(a2, a9);
  fe ones5 = fe_mul(fe_square(a11), a9);
  fe ones10 = fe_mul(fe_square_times(ones5, 5), ones5);
  fe ones20 = fe_mul(fe_square_times(ones10, 10), ones10);
  fe ones40 = fe_mul(fe_square_times(ones20, 20), ones20);
  fe ones50 = fe_mul(fe_square_times(ones40, 10), ones10);
  fe ones100 = fe_mul(fe_square_times(ones50, 50), ones50);
  fe ones200 = fe_mul(fe_square_times(ones100, 100), ones100);
  fe ones250 = fe_mul(fe_square_times(ones200, 50), ones50);
  return fe_mul(fe_square_times(ones250, 2), a);
}

/* 1 / a; zero of zero. p - 2 = 8 * (2^252 - 3) + 3. */
static fe fe_invert(fe a) {
  return fe_mul(fe_square_times(fe_power58(a), 3), fe_mul(fe_square(a), a));
}

/* Overwrites what a compiler would find dead. */
static void wipe(void *bytes, size_t size) {
  memset(bytes, 0, size);
  __asm__ __volatile__("" : : "r"(bytes) : "memory");
}

#endif
