/* fuzz_schema.c - foreign JSON through the decoder, the canonical encoder, and every schema */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "queues/envelope.h"
#include "tests/fuzz/input.h"

/* What we read we can write, and what we wrote we read as the same. */
static void check_canonical(const json_t *value)
{
    uint8_t digest[32], again[32];
    char *text = json_encode(value);
    MUST(text);
    json_t *copy = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    MUST(copy && json_equal(copy, value));
    json_sha256(value, digest);
    json_sha256(copy, again);
    MUST(memcmp(digest, again, sizeof digest) == 0);
    json_decref(copy);
    free(text);
}

static void check_schema(const char *schema, const json_t *value)
{
    struct err err = {0}, silent = {0};
    json_t *details = json_array(), *detail;
    size_t i;
    int verdict = schema_check(schema, value, details, &err);
    MUST(verdict == schema_check(schema, value, NULL, &silent)); /* with and without details */
    MUST((verdict == 0) == (json_array_size(details) == 0));
    MUST((verdict == 0) == (err.code == ERR_NONE));
    if (verdict != 0) {
        MUST(err.code == ERR_INVALID && *err.text && strcmp(err.text, silent.text) == 0);
        MUST(!strstr(err.text, "4111111111111111"));
    }
    json_array_foreach(details, i, detail)
    {
        MUST(json_is_string(json_object_get(detail, "field")) && *json_text(detail, "message", ""));
    }
    json_decref(details);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    json_t *value = json_decode((const char *)data, size, &err);
    MUST(value || (err.code == ERR_INVALID && *err.text));
    if (!value)
        return 0;
    check_canonical(value);
    for (size_t i = 0; i < command_type_count(); i++)
        check_schema(command_type_at(i)->schema, value);
    char field[65];
    bool carries = carries_card_number(value, field, sizeof field);
    MUST(!carries || memchr(field, '\0', sizeof field));
    mask_card_numbers_json(value);
    check_canonical(value);
    json_decref(value);
    return 0;
}
