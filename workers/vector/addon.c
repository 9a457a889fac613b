/*
 * What Node calls (Node-API): sizes are checked here, once. Compiled for any x86-64, so that it can
 * say of a processor that it is not supported.
 */
#include <node_api.h>

#include "curve25519.h"

typedef struct {
  uint8_t *data;
  size_t length;
} bytes;

static napi_value refuse(napi_env env, const char *why) {
  napi_throw_range_error(env, NULL, why);
  return NULL;
}

/* The bytes of a Uint8Array; false where the value is none. */
static int bytes_of(napi_env env, napi_value value, bytes *out) {
  bool is_typed = false;
  napi_typedarray_type type;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed) return 0;
  return napi_get_typedarray_info(env, value, &type, &out->length, (void **)&out->data, NULL,
                                  NULL) == napi_ok &&
         type == napi_uint8_array;
}

static int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, values, NULL, NULL) == napi_ok && given == count;
}

static napi_value position(napi_env env, int64_t value) {
  napi_value out = NULL;
  napi_create_int64(env, value, &out);
  return out;
}

/* One string for all of `out`, or one for each of it; false where it is neither. */
static int strings_of(bytes given, bytes out, strings *all) {
  all->first = given.data;
  all->stride = given.length == POINT_BYTES ? 0 : POINT_BYTES;
  return given.length == POINT_BYTES || given.length == out.length;
}

/* multiply(scalars, points, out) */
static napi_value multiply(napi_env env, napi_callback_info info) {
  napi_value values[3];
  bytes given[2], out;
  strings scalars, points;
  if (!arguments(env, info, 3, values) || !bytes_of(env, values[0], &given[0]) ||
      !bytes_of(env, values[1], &given[1]) || !bytes_of(env, values[2], &out) ||
      out.length % POINT_BYTES != 0 || !strings_of(given[0], out, &scalars) ||
      !strings_of(given[1], out, &points)) {
    return refuse(env, "multiply(scalars, points, out) takes one scalar or many, one point or many, "
                       "and room for as many");
  }
  return position(env, curve_multiply(scalars, points, out.length / POINT_BYTES, out.data));
}

/* hashToCurve(tag, messages, messageBytes, out) */
static napi_value hash_to_curve(napi_env env, napi_callback_info info) {
  napi_value values[4];
  bytes tag, messages, out;
  uint32_t size;
  if (!arguments(env, info, 4, values) || !bytes_of(env, values[0], &tag) ||
      !bytes_of(env, values[1], &messages) ||
      napi_get_value_uint32(env, values[2], &size) != napi_ok || !bytes_of(env, values[3], &out) ||
      tag.length < 1 || tag.length > TAG_BYTES_MAX || size > MESSAGE_BYTES_MAX ||
      out.length % POINT_BYTES != 0 || messages.length != out.length / POINT_BYTES * size) {
    return refuse(env, "hashToCurve(tag, messages, messageBytes, out) takes a tag of 1 to 255 bytes, "
                       "messages of at most 1024, and room for a point each");
  }
  return position(env, curve_hash(tag.data, tag.length, messages.data, size,
                                  out.length / POINT_BYTES, out.data));
}

/* firstBadPoint(points) */
static napi_value first_bad_point(napi_env env, napi_callback_info info) {
  napi_value values[1];
  bytes points;
  if (!arguments(env, info, 1, values) || !bytes_of(env, values[0], &points) ||
      points.length % POINT_BYTES != 0) {
    return refuse(env, "firstBadPoint(points) takes points");
  }
  return position(env, curve_first_bad(points.data, points.length / POINT_BYTES));
}

static int is_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512ifma");
}

static void define(napi_env env, napi_value exports, const char *name, napi_callback call) {
  napi_value value;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &value) == napi_ok) {
    napi_set_named_property(env, exports, name, value);
  }
}

/* Empty where the processor lacks the instructions. */
NAPI_MODULE_INIT() {
  if (is_supported()) {
    define(env, exports, "multiply", multiply);
    define(env, exports, "hashToCurve", hash_to_curve);
    define(env, exports, "firstBadPoint", first_bad_point);
  }
  return exports;
}
