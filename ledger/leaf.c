/* leaf.c - see leaf.h */
#include "ledger/leaf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define X(name) #name,
const char *const fact_columns[FACT_COLUMN_COUNT] = {FACT_COLUMNS(X)};
const char *const transfer_columns[TRANSFER_COLUMN_COUNT] = {TRANSFER_COLUMNS(X)};
#undef X

static const char *const form = "acquit-fact-v1";

/* Bytes that grow. */
struct bytes {
    uint8_t *data;
    size_t size, room;
};

static void add_bytes(struct bytes *bytes, const void *data, size_t size)
{
    while (bytes->room - bytes->size < size) {
        bytes->room = bytes->room ? 2 * bytes->room : 1024;
        bytes->data = mem_grow(bytes->data, bytes->room, 1);
    }
    if (size)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void add_value(struct bytes *bytes, const char *text)
{
    size_t size = text ? strlen(text) : UINT32_MAX;
    uint8_t length[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    add_bytes(bytes, length, sizeof length);
    add_bytes(bytes, text, text ? size : 0);
}

/* A text or null. */
static bool add_json(struct bytes *bytes, const json_t *value)
{
    if (!json_is_string(value) && !json_is_null(value))
        return false;
    add_value(bytes, json_string_value(value));
    return true;
}

static bool add_transfer(struct bytes *bytes, const json_t *transfer)
{
    bool good = json_array_size(transfer) == TRANSFER_COLUMN_COUNT;
    for (size_t i = 0; good && i < TRANSFER_COLUMN_COUNT; i++)
        good = add_json(bytes, json_array_get(transfer, i));
    return good;
}

int leaf_of(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers, struct hash *ret,
            struct err *err)
{
    struct bytes bytes = {0};
    char count[24];
    bool good = json_is_array(transfers);
    add_value(&bytes, form);
    for (size_t i = 0; i < FACT_COLUMN_COUNT; i++)
        add_value(&bytes, values[i]);
    snprintf(count, sizeof count, "%zu", json_array_size(transfers));
    add_value(&bytes, count);
    for (size_t i = 0; good && i < json_array_size(transfers); i++)
        good = add_transfer(&bytes, json_array_get(transfers, i));
    *ret = merkle_leaf(bytes.data, bytes.size);
    free(bytes.data);
    return good ? 0 : err_set(err, ERR_INVALID, "a transfer has %d texts", TRANSFER_COLUMN_COUNT);
}
