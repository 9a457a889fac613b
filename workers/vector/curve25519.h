/*
 * The calls of `CurvePrimitive` (protocols/common/primitives.ts) whose time counts, eight points at a
 * time. Callers check sizes, and the processor: `is_supported` in addon.c. Neither time nor memory touched
 * depends on scalars, points or messages; only which position is returned tells of them.
 */
#ifndef WEIR_CURVE25519_H
#define WEIR_CURVE25519_H

#include <stddef.h>
#include <stdint.h>

#define POINT_BYTES 32
#define MESSAGE_BYTES_MAX 1024
#define TAG_BYTES_MAX 255

/* Strings of 32 bytes: as many as are asked for, `stride` bytes apart; 0 where all are the same one. */
typedef struct {
  const uint8_t *first;
  size_t stride;
} strings;

/*
 * X25519 (RFC 7748 section 5) of `count` scalars and points, to `out`.
 * Returns the position of the first whose product is zero, of low order, or -1.
 */
int64_t curve_multiply(strings scalars, strings points, size_t count, uint8_t *out);

/*
 * curve25519_XMD:SHA-512_ELL2_RO_ (RFC 9380 section 8.5) of `count` messages of `size` bytes, one
 * behind the other: u-coordinates to `out`. Returns the position of the first that has none this way
 * (both of its maps agree in u, or it hashes to the identity: never in practice), or -1.
 */
int64_t curve_hash(const uint8_t *tag, size_t tag_bytes, const uint8_t *messages, size_t size,
                   size_t count, uint8_t *out);

/*
 * The position of the first of `count` points that is not canonical, not on the curve, or of low
 * order; -1 where all are good.
 */
int64_t curve_first_bad(const uint8_t *points, size_t count);

#endif
