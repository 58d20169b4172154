/* json.h - jansson with our limits, and short ways to read an object
 *
 * jansson's own types are used everywhere (`json_t`, `json_auto_t`); this file adds the one decoder for foreign bytes
 * and the canonical encoder. Integers are int64; a real is never money.
 */
#ifndef ACQUIT_COMMON_JSON_H
#define ACQUIT_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { JSON_DEPTH_MAX = 16, JSON_BODY_MAX = 256 * 1024 };

/* One JSON value from foreign bytes: at most JSON_BODY_MAX bytes and JSON_DEPTH_MAX deep, UTF-8, no duplicate keys, no
 * NUL, nothing after it. NULL with ERR_INVALID (the text says where) otherwise. The caller owns the result. */
json_t *json_decode(const char *bytes, size_t size, struct err *err) MUST_CHECK;

/* Canonical text: sorted keys, no blanks. The caller frees it with free(). Never NULL for a value that json_decode
 * could give. */
char *json_encode(const json_t *value);

/* SHA-256 over the canonical text. */
void json_sha256(const json_t *value, uint8_t ret[static 32]);

/* The member as text / integer / boolean, or the fallback when it is absent, null or of another type. Borrowed. */
const char *json_text(const json_t *object, const char *key, const char *fallback);
int64_t json_int(const json_t *object, const char *key, int64_t fallback);
bool json_bool(const json_t *object, const char *key, bool fallback);

#endif
