/*
 * curve25519_XMD:SHA-512_ELL2_RO_ (RFC 9380 section 8.5) of eight messages of one length: its
 * u-coordinate, as a fraction.
 */
#ifndef WEIR_HASH_H
#define WEIR_HASH_H

#include "curve25519.h"
#include "sha512.h"

#define CURVE_A 486662
/* Message, three bytes, the tag and its length, padding. */
#define STRING_BYTES (11 * SHA512_BLOCK)
/* A number, the tag and its length, padding. */
#define SUFFIX_BYTES (3 * SHA512_BLOCK)

typedef struct {
  /* The tag, and its length as a byte. */
  uint8_t tag[TAG_BYTES_MAX + 1];
  size_t tag_bytes;
  sha512_state after_zeros;
} hash_tag;

typedef struct {
  uint64_t words[LANES * STRING_BYTES / 8];
  fe fields[2];
} hash_work;

static void hash_use_tag(hash_tag *tag, const uint8_t *bytes, size_t size) {
  lanes zeros[16];
  for (int i = 0; i < 16; i++) zeros[i] = splat(0);
  memcpy(tag->tag, bytes, size);
  tag->tag[size] = (uint8_t)size;
  tag->tag_bytes = size + 1;
  tag->after_zeros = sha512_start();
  sha512_absorb(&tag->after_zeros, zeros);
}

/* The tag and SHA-512's padding behind `filled` bytes; `before` bytes were absorbed. Returns blocks. */
static size_t finish_string(uint8_t *string, size_t filled, const hash_tag *tag, size_t before) {
  memcpy(string + filled, tag->tag, tag->tag_bytes);
  size_t end = filled + tag->tag_bytes;
  size_t padded = (end + 17 + SHA512_BLOCK - 1) / SHA512_BLOCK * SHA512_BLOCK;
  memset(string + end, 0, padded - end);
  string[end] = 0x80;
  uint64_t bits = __builtin_bswap64((uint64_t)(end + before) << 3);
  memcpy(string + padded - 8, &bits, 8);
  return padded / SHA512_BLOCK;
}

INLINE lanes swap_bytes(lanes word) {
  lanes order = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
  return _mm512_shuffle_epi8(word, order);
}

/* b_i of expand_message_xmd: SHA-512 of `head` and a string that starts behind 64 free bytes. */
static sha512_state expand_round(const sha512_state *head, uint8_t number, const hash_tag *tag) {
  uint8_t string[SUFFIX_BYTES] = {0};
  string[64] = number;
  size_t blocks = finish_string(string, 65, tag, 0);
  sha512_state state = sha512_start();
  for (size_t b = 0; b < blocks; b++) {
    lanes block[16];
    for (int i = 0; i < 16; i++) {
      uint64_t word;
      memcpy(&word, string + b * SHA512_BLOCK + i * 8, 8);
      block[i] = b == 0 && i < 8 ? head->word[i] : splat(__builtin_bswap64(word));
    }
    sha512_absorb(&state, block);
  }
  return state;
}

/* A 384-bit number, its most significant word first. */
static fe fe_of_wide(const lanes word[6]) {
  lanes low[4] = {word[5], word[4], word[3], word[2]};
  lanes high[4] = {
      _mm512_or_si512(_mm512_srli_epi64(word[2], 63), _mm512_slli_epi64(word[1], 1)),
      _mm512_or_si512(_mm512_srli_epi64(word[1], 63), _mm512_slli_epi64(word[0], 1)),
      _mm512_srli_epi64(word[0], 63), splat(0)};
  return fe_add_times(fe_of_words(low), fe_of_words(high), 19);
}

/* hash_to_field with two elements (RFC 9380 section 5.2). */
static void hash_to_fields(hash_work *work, const hash_tag *tag, const uint8_t *messages, size_t size,
                           size_t count) {
  size_t blocks = 0;
  for (size_t lane = 0; lane < LANES; lane++) {
    uint8_t *string = (uint8_t *)work->words + lane * STRING_BYTES;
    memcpy(string, messages + (lane < count ? lane : count - 1) * size, size);
    memcpy(string + size, "\0\x60", 3); /* I2OSP(96, 2) || I2OSP(0, 1) */
    blocks = finish_string(string, size + 3, tag, SHA512_BLOCK);
  }
  sha512_state head = tag->after_zeros;
  for (size_t b = 0; b < blocks; b++) {
    lanes block[16];
    for (int i = 0; i < 16; i++) {
      block[i] = swap_bytes(gather(work->words, STRING_BYTES / 8, (int)(b * 16) + i));
    }
    sha512_absorb(&head, block);
  }
  sha512_state first = expand_round(&head, 1, tag);
  for (int i = 0; i < 8; i++) head.word[i] = _mm512_xor_si512(head.word[i], first.word[i]);
  sha512_state second = expand_round(&head, 2, tag);
  lanes last[6] = {first.word[6],  first.word[7],  second.word[0],
                   second.word[1], second.word[2], second.word[3]};
  work->fields[0] = fe_of_wide(first.word);
  work->fields[1] = fe_of_wide(last);
}

/* 2^((p + 3) / 8) and sqrt(-1) = 2^((p - 1) / 4), in words. */
static const uint64_t ROOT_OF_TWO[4] = {0xc4ee1b274a0ea0b1, 0x2f431806ad2fe478,
                                        0x2b4d00993dfbd7a7, 0x2b8324804fc1df0b};
static const uint64_t ROOT_OF_MINUS_ONE[4] = {0xc4ee1b274a0ea0b0, 0x2f431806ad2fe478,
                                              0x2b4d00993dfbd7a7, 0x2b8324804fc1df0b};

static fe fe_constant(const uint64_t words[4]) {
  lanes word[4] = {splat(words[0]), splat(words[1]), splat(words[2]), splat(words[3])};
  return fe_of_words(word);
}

/* A point of the curve: u = n / d, and v. */
typedef struct {
  fe n, d, v;
} map_point;

/* map_to_curve_elligator2_curve25519, in the steps of RFC 9380 appendix G.2.1. */
static map_point map_to_curve(fe u) {
  fe zero = fe_small(0), minus_one = fe_constant(ROOT_OF_MINUS_ONE);
  fe tv1 = fe_square(u);
  tv1 = fe_add(tv1, tv1);
  fe xd = fe_add(tv1, fe_small(1));
  fe x1n = fe_neg(fe_small(CURVE_A));
  fe tv2 = fe_square(xd);
  fe gxd = fe_mul(tv2, xd);
  fe gx1 = fe_add(fe_mul(fe_add_times(zero, tv1, CURVE_A), x1n), tv2);
  gx1 = fe_mul(gx1, x1n);
  fe tv3 = fe_square(gxd);
  tv2 = fe_square(tv3);
  tv3 = fe_mul(fe_mul(tv3, gxd), gx1);
  fe y11 = fe_mul(fe_power58(fe_mul(tv2, tv3)), tv3);
  fe y12 = fe_mul(y11, minus_one);
  __mmask8 e1 = fe_equal(fe_mul(fe_square(y11), gxd), gx1);
  fe y1 = fe_select(e1, y11, y12);
  fe x2n = fe_mul(x1n, tv1);
  fe y21 = fe_mul(fe_mul(y11, u), fe_constant(ROOT_OF_TWO));
  fe y22 = fe_mul(y21, minus_one);
  fe gx2 = fe_mul(gx1, tv1);
  __mmask8 e2 = fe_equal(fe_mul(fe_square(y21), gxd), gx2);
  fe y2 = fe_select(e2, y21, y22);
  __mmask8 e3 = fe_equal(fe_mul(fe_square(y1), gxd), gx1);
  map_point point = {fe_select(e3, x1n, x2n), xd, fe_select(e3, y1, y2)};
  __mmask8 e4 = fe_is_odd(point.v);
  point.v = fe_select(e3 ^ e4, fe_neg(point.v), point.v);
  return point;
}

/*
 * u = x / z of the sum of two points with different u; z is zero in the lanes where they agree.
 * With d = d0 * d1, e = n1 * d0 - n0 * d1, s = n1 * d0 + n0 * d1 the slope is (v1 - v0) * d / e, and
 * u = slope^2 - A - s / d.
 */
static void add_points(const map_point *p, const map_point *q, fe *x, fe *z) {
  fe d = fe_mul(p->d, q->d);
  fe left = fe_mul(q->n, p->d), right = fe_mul(p->n, q->d);
  fe e2 = fe_square(fe_sub(left, right));
  fe rise2 = fe_square(fe_sub(q->v, p->v));
  fe s = fe_add_times(fe_add(left, right), d, CURVE_A);
  *x = fe_sub(fe_mul(fe_mul(rise2, d), fe_square(d)), fe_mul(s, e2));
  *z = fe_mul(d, e2);
}

/* (x : z) doubled. @see RFC 7748 section 5 */
static void double_point(fe *x, fe *z) {
  fe sum = fe_square(fe_add(*x, *z)), difference = fe_square(fe_sub(*x, *z));
  fe cross = fe_sub(sum, difference);
  *x = fe_mul(sum, difference);
  *z = fe_mul(cross, fe_add_times(sum, cross, (CURVE_A - 2) / 4));
}

#endif
