/* Quotients of a whole batch by one inversion in each lane (Montgomery's trick). */
#ifndef WEIR_FRACTIONS_H
#define WEIR_FRACTIONS_H

#include "field.h"

/* Groups of eight lanes of one call. */
#define GROUPS 32

typedef struct {
  fe x[GROUPS];
  fe z[GROUPS];
  fe before[GROUPS];
} fractions;

/*
 * x / z of `count` numbers to `out`, one behind the other; where z is zero, zero.
 */
static void divide_all(fractions *all, size_t count, uint8_t *out) {
  int groups = (int)((count + LANES - 1) / LANES);
  fe one = fe_small(1), product = one;
  for (int i = 0; i < groups; i++) {
    /* A zero would make all of its lane zero: it counts as one, over zero. */
    __mmask8 zero = fe_is_zero(all->z[i]);
    all->z[i] = fe_select(zero, one, all->z[i]);
    all->x[i] = fe_select(zero, fe_small(0), all->x[i]);
    all->before[i] = product;
    product = fe_mul(product, all->z[i]);
  }
  fe inverse = fe_invert(product);
  for (int i = groups; i-- > 0;) {
    uint8_t points[LANES * BYTES];
    fe_store(points, fe_mul(all->x[i], fe_mul(inverse, all->before[i])));
    inverse = fe_mul(inverse, all->z[i]);
    size_t first = (size_t)i * LANES;
    size_t size = count - first < LANES ? count - first : LANES;
    memcpy(out + first * BYTES, points, size * BYTES);
    wipe(points, sizeof points);
  }
  wipe(all, sizeof *all);
}

#endif
