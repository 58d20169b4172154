/* amqp_properties.c - message properties and header tables, to and from librabbitmq's types
 *
 * What comes in was written by strangers: any type at any place, any depth, no UTF-8, keys twice. It all becomes JSON: of a key that stands
 * twice the first counts, tables beyond WIRE_HEADERS_DEPTH_MAX become the text "(nested too deep)", numbers that JSON integers cannot
 * hold and fractions become text. The size is bounded by the frame they came in.
 */
#include "queues/amqp_properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "queues/amqp.h"

enum { NUMBER_TEXT_MAX = 64, POOL_PAGE = 4096, HEADER_CLASS_BASIC = AMQP_BASIC_CLASS };

amqp_bytes_t text_bytes(const char *text)
{
    if (!text || !*text)
        return amqp_empty_bytes;
    return (amqp_bytes_t){.len = strlen(text), .bytes = (void *)(uintptr_t)text};
}

/* In. */

static json_t *text_value(amqp_bytes_t bytes)
{
    bool escaped = false;
    char *text = message_text(bytes.bytes, bytes.len, &escaped);
    json_t *value = json_string(text);
    free(text);
    return value;
}

static json_t *unsigned_value(uint64_t n)
{
    if (n <= INT64_MAX)
        return json_integer((json_int_t)n);
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%" PRIu64, n);
    return json_string(text);
}

static json_t *fraction_value(double n)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%.17g", n);
    return json_string(text);
}

static json_t *decimal_value(amqp_decimal_t n)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%" PRIu32 "e-%u", n.value, (unsigned)n.decimals);
    return json_string(text);
}

static json_t *table_value(const amqp_table_t *table, int depth);
static json_t *array_value(const amqp_array_t *array, int depth);

static json_t *field_value(const amqp_field_value_t *field, int depth)
{
    switch ((amqp_field_value_kind_t)field->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        return json_boolean(field->value.boolean);
    case AMQP_FIELD_KIND_I8:
        return json_integer(field->value.i8);
    case AMQP_FIELD_KIND_U8:
        return json_integer(field->value.u8);
    case AMQP_FIELD_KIND_I16:
        return json_integer(field->value.i16);
    case AMQP_FIELD_KIND_U16:
        return json_integer(field->value.u16);
    case AMQP_FIELD_KIND_I32:
        return json_integer(field->value.i32);
    case AMQP_FIELD_KIND_U32:
        return json_integer(field->value.u32);
    case AMQP_FIELD_KIND_I64:
        return json_integer(field->value.i64);
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        return unsigned_value(field->value.u64);
    case AMQP_FIELD_KIND_F32:
        return fraction_value((double)field->value.f32);
    case AMQP_FIELD_KIND_F64:
        return fraction_value(field->value.f64);
    case AMQP_FIELD_KIND_DECIMAL:
        return decimal_value(field->value.decimal);
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        return text_value(field->value.bytes);
    case AMQP_FIELD_KIND_TABLE:
        return table_value(&field->value.table, depth + 1);
    case AMQP_FIELD_KIND_ARRAY:
        return array_value(&field->value.array, depth + 1);
    case AMQP_FIELD_KIND_VOID:
        return json_null();
    }
    return json_string("(of an unknown type)");
}

static json_t *array_value(const amqp_array_t *array, int depth)
{
    if (depth > WIRE_HEADERS_DEPTH_MAX)
        return json_string("(nested too deep)");
    json_t *value = json_array();
    for (int i = 0; i < array->num_entries; i++)
        json_array_append_new(value, field_value(&array->entries[i], depth));
    return value;
}

static json_t *table_value(const amqp_table_t *table, int depth)
{
    if (depth > WIRE_HEADERS_DEPTH_MAX)
        return json_string("(nested too deep)");
    json_t *value = json_object();
    for (int i = 0; i < table->num_entries; i++) {
        bool escaped = false;
        char *key = message_text(table->entries[i].key.bytes, table->entries[i].key.len, &escaped);
        if (!json_object_get(value, key))
            json_object_set_new(value, key, field_value(&table->entries[i].value, depth));
        free(key);
    }
    return value;
}

#define TEXT_PROPERTIES(X)                                                                                             \
    X(CONTENT_TYPE, content_type, true)                                                                                \
    X(CONTENT_ENCODING, content_encoding, false)                                                                       \
    X(CORRELATION_ID, correlation_id, true)                                                                            \
    X(REPLY_TO, reply_to, true)                                                                                        \
    X(EXPIRATION, expiration, false)                                                                                   \
    X(MESSAGE_ID, message_id, true)                                                                                    \
    X(TYPE, type, true)                                                                                                \
    X(USER_ID, user_id, true)                                                                                          \
    X(APP_ID, app_id, true)

void properties_read(const amqp_basic_properties_t *properties, struct message *ret)
{
    amqp_flags_t flags = properties->_flags;
#define X(flag, member, sent)                                                                                          \
    if (flags & AMQP_BASIC_##flag##_FLAG)                                                                              \
        ret->member = message_text(properties->member.bytes, properties->member.len, &ret->escaped);
    TEXT_PROPERTIES(X)
#undef X
    if (flags & AMQP_BASIC_TIMESTAMP_FLAG)
        ret->timestamp = properties->timestamp <= INT64_MAX ? (int64_t)properties->timestamp : INT64_MAX;
    if (flags & AMQP_BASIC_DELIVERY_MODE_FLAG)
        ret->delivery_mode = properties->delivery_mode;
    if (flags & AMQP_BASIC_PRIORITY_FLAG)
        ret->priority = properties->priority;
    if (flags & AMQP_BASIC_HEADERS_FLAG)
        ret->headers = table_value(&properties->headers, 1);
}

/* Out. */

static void *pool_new(amqp_pool_t *pool, size_t count, size_t size)
{
    void *memory = amqp_pool_alloc(pool, (count ? count : 1) * size);
    return memory ? memset(memory, 0, (count ? count : 1) * size) : mem_new(SIZE_MAX, size); /* the latter panics */
}

static int table_put(const json_t *object, amqp_pool_t *pool, amqp_table_t *ret, int depth, struct err *err);
static int array_put(const json_t *array, amqp_pool_t *pool, amqp_array_t *ret, int depth, struct err *err);

static int field_put(const json_t *value, amqp_pool_t *pool, amqp_field_value_t *ret, int depth, struct err *err)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        ret->kind = AMQP_FIELD_KIND_TABLE;
        return table_put(value, pool, &ret->value.table, depth + 1, err);
    case JSON_ARRAY:
        ret->kind = AMQP_FIELD_KIND_ARRAY;
        return array_put(value, pool, &ret->value.array, depth + 1, err);
    case JSON_STRING:
        ret->kind = AMQP_FIELD_KIND_UTF8;
        ret->value.bytes = (amqp_bytes_t){json_string_length(value), (void *)(uintptr_t)json_string_value(value)};
        return 0;
    case JSON_INTEGER:
        ret->kind = AMQP_FIELD_KIND_I64;
        ret->value.i64 = json_integer_value(value);
        return 0;
    case JSON_REAL:
        ret->kind = AMQP_FIELD_KIND_F64;
        ret->value.f64 = json_real_value(value);
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        ret->kind = AMQP_FIELD_KIND_BOOLEAN;
        ret->value.boolean = json_is_true(value);
        return 0;
    case JSON_NULL:
        ret->kind = AMQP_FIELD_KIND_VOID;
        return 0;
    }
    return err_set(err, ERR_INTERNAL, "a header of an unknown JSON type");
}

static int array_put(const json_t *array, amqp_pool_t *pool, amqp_array_t *ret, int depth, struct err *err)
{
    if (depth > WIRE_HEADERS_DEPTH_OUT)
        return err_set(err, ERR_INVALID, "headers nested deeper than %d", (int)WIRE_HEADERS_DEPTH_OUT);
    size_t count = json_array_size(array);
    ret->entries = pool_new(pool, count, sizeof *ret->entries);
    ret->num_entries = (int)count;
    for (size_t i = 0; i < count; i++)
        if (field_put(json_array_get(array, i), pool, &ret->entries[i], depth, err) != 0)
            return -1;
    return 0;
}

static int table_put(const json_t *object, amqp_pool_t *pool, amqp_table_t *ret, int depth, struct err *err)
{
    if (depth > WIRE_HEADERS_DEPTH_OUT)
        return err_set(err, ERR_INVALID, "headers nested deeper than %d", (int)WIRE_HEADERS_DEPTH_OUT);
    ret->entries = pool_new(pool, json_object_size(object), sizeof *ret->entries);
    ret->num_entries = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (strlen(key) > WIRE_SHORT_MAX)
            return err_set(err, ERR_INVALID, "a header's name is longer than %d bytes", (int)WIRE_SHORT_MAX);
        amqp_table_entry_t *entry = &ret->entries[ret->num_entries++];
        entry->key = text_bytes(key);
        if (field_put(value, pool, &entry->value, depth, err) != 0)
            return -1;
    }
    return 0;
}

int table_write(const json_t *object, amqp_pool_t *pool, amqp_table_t *ret, struct err *err)
{
    return table_put(object, pool, ret, 1, err);
}

static int short_put(const char *name, const char *text, amqp_bytes_t *ret, struct err *err)
{
    if (strlen(text) > WIRE_SHORT_MAX)
        return err_set(err, ERR_INVALID, "%s is longer than %d bytes", name, (int)WIRE_SHORT_MAX);
    *ret = text_bytes(text);
    return 0;
}

int properties_write(const struct message *message, amqp_pool_t *pool, amqp_basic_properties_t *ret, struct err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->_flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    ret->delivery_mode = AMQP_DELIVERY_PERSISTENT;
#define X(flag, member, sent)                                                                                          \
    if (sent && message->member) {                                                                                     \
        ret->_flags |= AMQP_BASIC_##flag##_FLAG;                                                                       \
        if (short_put(#member, message->member, &ret->member, err) != 0)                                               \
            return -1;                                                                                                 \
    }
    TEXT_PROPERTIES(X)
#undef X
    if (message->timestamp > 0) {
        ret->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
        ret->timestamp = (uint64_t)message->timestamp;
    }
    if (message->headers) {
        ret->_flags |= AMQP_BASIC_HEADERS_FLAG;
        return table_write(message->headers, pool, &ret->headers, err);
    }
    return 0;
}

/* From and to bytes. */

int wire_properties_decode(const void *bytes, size_t size, struct message *ret, struct err *err)
{
    memset(ret, 0, sizeof *ret);
    amqp_pool_t pool;
    init_amqp_pool(&pool, POOL_PAGE);
    void *decoded = NULL;
    amqp_bytes_t encoded = {.len = size, .bytes = (void *)(uintptr_t)bytes};
    int status = amqp_decode_properties(HEADER_CLASS_BASIC, &pool, encoded, &decoded);
    if (status >= 0)
        properties_read(decoded, ret);
    empty_amqp_pool(&pool);
    return status >= 0 ? 0 : err_set(err, ERR_INVALID, "message properties: %s", amqp_error_string2(status));
}

int wire_properties_encode(const struct message *message, void *ret, size_t *size, struct err *err)
{
    amqp_pool_t pool;
    init_amqp_pool(&pool, POOL_PAGE);
    amqp_basic_properties_t properties;
    int result = properties_write(message, &pool, &properties, err);
    if (result == 0) {
        int n = amqp_encode_properties(HEADER_CLASS_BASIC, &properties, (amqp_bytes_t){.len = *size, .bytes = ret});
        if (n < 0)
            result = err_set(err, ERR_INVALID, "properties and headers take more than %zu bytes", *size);
        else
            *size = (size_t)n;
    }
    empty_amqp_pool(&pool);
    return result;
}

int wire_check(const struct message *message, size_t *ret_size, struct err *err)
{
    static char scratch[WIRE_PROPERTIES_MAX];
    if (strlen(message->exchange ? message->exchange : "") > WIRE_SHORT_MAX)
        return err_set(err, ERR_INVALID, "exchange is longer than %d bytes", (int)WIRE_SHORT_MAX);
    if (strlen(message->routing_key ? message->routing_key : "") > WIRE_SHORT_MAX)
        return err_set(err, ERR_INVALID, "routing_key is longer than %d bytes", (int)WIRE_SHORT_MAX);
    *ret_size = sizeof scratch;
    return wire_properties_encode(message, scratch, ret_size, err);
}
