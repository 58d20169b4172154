/* prove_parts.c - what receipts of both kinds are made with (prove.h) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "workers/operator/prove.h"

enum { PATH_SIZE = 4096 };

/* --- the tree --- */

static int cached_subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    struct proof_cache *cache = arg;
    for (size_t i = cache->count; i-- > 0;)
        if (cache->nodes[i].level == level && cache->nodes[i].position == position) {
            *ret = cache->nodes[i].hash;
            return 0;
        }
    if (cache->source.subtree(cache->source.arg, level, position, ret, err) != 0)
        return -1;
    if ((cache->count & (cache->count - 1)) == 0)
        cache->nodes = mem_grow(cache->nodes, cache->count ? 2 * cache->count : 1, sizeof *cache->nodes);
    cache->nodes[cache->count++] = (struct proof_node){level, position, *ret};
    return 0;
}

struct merkle_source proof_cached(struct proof_cache *cache, struct db *db)
{
    *cache = (struct proof_cache){.source = seal_source(db)};
    return (struct merkle_source){cached_subtree, cache};
}

void proof_cache_free(struct proof_cache *cache)
{
    free(cache->nodes);
}

void prove_pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* --- the head, and the keys that lead to it --- */

int prove_read_head(struct db *db, struct sealed_head *ret, struct err *err)
{
    struct db_result *rows = db_query(db, "select head from ledger.seal order by height desc limit 1", 0, NULL, err);
    if (!rows)
        return -1;
    bool good = db_rows(rows) == 1 && db_size(rows, 0, 0) < sizeof ret->text &&
                proof_read_head(db_value(rows, 0, 0), &ret->read) == 0;
    if (good)
        snprintf(ret->text, sizeof ret->text, "%s", db_value(rows, 0, 0));
    db_result_free(rows);
    return good ? 0 : err_set(err, ERR_CONFLICT, "the last head of the ledger cannot be read");
}

static int add_key(json_t *keys, const struct merkle_source *source, const struct db_result *rows, int row,
                   const struct proof_head *head, struct err *err)
{
    uint64_t position = (uint64_t)db_int(rows, row, 0);
    struct merkle_proof proof;
    if (merkle_inclusion(source, position, head->size, &proof, err) != 0)
        return -1;
    json_t *key = proof_key(db_value(rows, row, 1), position, &proof, head->size, &head->root, err);
    return key && json_array_append_new(keys, key) == 0 ? 0 : -1;
}

int prove_keys(struct db *db, const struct merkle_source *source, const struct proof_head *head, json_t **ret,
               struct err *err)
{
    char size[24];
    const char *params[] = {size};
    snprintf(size, sizeof size, "%llu", (unsigned long long)head->size);
    struct db_result *rows =
        db_query(db, "select position, statement from ledger.seal_key where position < $1::bigint order by position", 1,
                 params, err);
    if (!rows)
        return -1;
    int r = 0, first = db_rows(rows) > RECEIPT_KEYS_MAX ? db_rows(rows) - RECEIPT_KEYS_MAX : 0;
    *ret = db_rows(rows) > 0 ? json_array() : NULL;
    for (int row = first; r == 0 && row < db_rows(rows); row++)
        r = add_key(*ret, source, rows, row, head, err);
    db_result_free(rows);
    if (r != 0) {
        json_decref(*ret);
        *ret = NULL;
    }
    return r;
}

/* --- writing --- */

static int write_text(const char *path, const char *text, struct err *err)
{
    char new_path[PATH_SIZE];
    if (snprintf(new_path, sizeof new_path, "%s.new", path) >= PATH_SIZE)
        return err_set(err, ERR_INVALID, "--output: the path is too long");
    FILE *file = fopen(new_path, "we");
    bool good = file && fputs(text, file) >= 0 && fputc('\n', file) != EOF;
    if (file)
        good = fclose(file) == 0 && good;
    if (good && rename(new_path, path) == 0)
        return 0;
    return err_set(err, ERR_DENIED, "%s: %s", path, strerror(errno));
}

int prove_write(const struct op *op, const json_t *receipt, struct err *err)
{
    const char *path = args_text(&op->args, "output", NULL);
    char *text = proof_text(receipt);
    int r = 0;
    if (path)
        r = write_text(path, text, err);
    else if (puts(text) == EOF || fflush(stdout) != 0)
        r = err_set(err, ERR_DENIED, "standard output: %s", strerror(errno));
    free(text);
    return r;
}
