/* fuzz_body.c - the scan of a fact's body: of JSON it finds what jansson finds, but for what nobody looks at; of anything else it only does no harm */
#include <stdlib.h>
#include <string.h>

#include "ledger/verify_internal.h"
#include "tests/fuzz/input.h"

static bool is_left_out(const json_t *value, bool objects)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_is_object(json_array_get(value, i)) || json_is_array(json_array_get(value, i)))
            return true;
    return json_is_object(value) && !objects;
}

static void compare(const char *bytes, size_t size, bool objects)
{
    const char *key;
    void *next;
    json_t *value, *found = verify_body((struct text){bytes, size}, objects);
    json_t *whole = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(whole)) {
        MUST(json_is_object(found));
        if (!json_equal(found, whole)) {
            json_object_foreach_safe(whole, next, key, value)
            {
                if (is_left_out(value, objects))
                    json_object_del(whole, key);
            }
            MUST(json_equal(found, whole));
        }
    }
    json_decref(found);
    json_decref(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size ? size : 1); /* not a byte to spare */
    if (size)
        memcpy(bytes, data, size);
    compare(bytes, size, false);
    compare(bytes, size, true);
    free(bytes);
    return 0;
}
