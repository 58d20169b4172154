/* map_cli.c - the sorted map as a filter, for check_map.py
 *
 * One line of JSON in: {"payments": {"<uuid>": ["slot", ...], ...}, "rounds": [["<uuid>", ...], ...], "ask": ["<uuid>", ...]}, where `rounds` says which
 * payments come when. One line out: {"root": hex, "built": hex, "proofs": [{"end": null or ["<uuid>", hex of the slots], "way": [hex, ...]}, ...]}:
 * the root by refreshing round after round, and by building at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/map_refresh.h"

/* What was said so far: payments with their slots, and the parts that were kept. */
static json_t *known;
static struct map_changes kept;

static struct uuid id_of(const char *text)
{
    struct uuid id;
    if (uuid_parse(text, &id) != 0)
        abort();
    return id;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Member names, or texts of a list, in the order of their bytes. */
static const char **sorted(const json_t *value, size_t *ret_count)
{
    const char **texts = mem_new(json_object_size(value) + json_array_size(value), sizeof *texts), *name;
    json_t *member;
    *ret_count = 0;
    json_object_foreach((json_t *)value, name, member) texts[(*ret_count)++] = name;
    for (size_t i = 0; i < json_array_size(value); i++)
        texts[(*ret_count)++] = json_string_value(json_array_get(value, i));
    qsort(texts, *ret_count, sizeof *texts, by_text);
    return texts;
}

static int tell_payment(size_t n, const char *name, map_slot_function *tell, void *told, struct err *err)
{
    size_t count;
    const char **slots = sorted(json_object_get(known, name), &count);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = tell(told, n, id_of(name), slots[i], strlen(slots[i]), err);
    free(slots);
    return r;
}

static int read_slots(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                      struct err *err)
{
    (void)arg;
    size_t payments;
    const char **names = sorted(known, &payments);
    int r = 0;
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; r == 0 && i < payments; i++) {
            struct uuid id = id_of(names[i]);
            if (uuid_compare(id, ranges[n].first) >= 0 && uuid_compare(id, ranges[n].last) <= 0)
                r = tell_payment(n, names[i], tell, told, err);
        }
    free(names);
    return r;
}

static int read_parts(void *arg, struct map_part *parts, size_t count, struct err *err)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        size_t k = kept.count; /* the newest */
        while (k > 0 &&
               !(uuid_equal(kept.items[k - 1].first, parts[i].first) && kept.items[k - 1].depth == parts[i].depth))
            k--;
        if (k == 0)
            return err_set(err, ERR_NOT_FOUND, "no such part");
        parts[i] = kept.items[k - 1];
    }
    return 0;
}

static const struct map_source SOURCE = {read_parts, read_slots, NULL};

static int by_id(const void *a, const void *b)
{
    return uuid_compare(*(const struct uuid *)a, *(const struct uuid *)b);
}

static int add_round(struct map_parts *parts, const json_t *payments, const json_t *round, struct err *err)
{
    size_t count = json_array_size(round);
    struct uuid *ids = mem_new(count, sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(round, i));
        ids[i] = id_of(name);
        json_object_set(known, name, json_object_get(payments, name));
    }
    qsort(ids, count, sizeof *ids, by_id);
    int r = map_refresh(parts, &SOURCE, ids, count, &kept, err);
    free(ids);
    return r;
}

static void hex_of(const struct hash *hash, char ret[static SHA256_HEX_SIZE])
{
    hex_encode(hash->bytes, SHA256_SIZE, ret);
}

static json_t *write_proof(struct map_parts *parts, const char *name, struct err *err)
{
    static struct map_proof proof;
    char hex[SHA256_HEX_SIZE], id[UUID_TEXT_SIZE];
    if (map_prove(parts, &SOURCE, id_of(name), &proof, err) != 0)
        return NULL;
    json_t *way = json_array();
    for (int i = 0; i < proof.count; i++) {
        hex_of(&proof.siblings[i], hex);
        json_array_append_new(way, json_string(hex));
    }
    uuid_format(proof.id, id);
    hex_of(&proof.slots, hex);
    return json_pack("{s:o, s:o}", "end", proof.end.kind == MAP_EMPTY ? json_null() : json_pack("[s, s]", id, hex),
                     "way", way);
}

static struct hash built_root(void)
{
    struct map_build *build = map_build_new(json_object_size(known));
    struct map_changes changes = {0};
    size_t payments, count;
    const char **names = sorted(known, &payments);
    for (size_t i = 0; i < payments; i++) {
        const char **slots = sorted(json_object_get(known, names[i]), &count);
        for (size_t k = 0; k < count; k++)
            if (map_build_add(build, id_of(names[i]), slots[k], strlen(slots[k]), &changes) != 0)
                abort();
        free(slots);
    }
    free(names);
    struct map_parts *parts = map_build_end(build, &changes);
    struct hash root = map_parts_root(parts).hash;
    map_parts_free(parts);
    map_build_free(build);
    map_changes_clear(&changes);
    return root;
}

static struct map_parts *fresh_parts(void)
{
    struct map_build *build = map_build_new(0);
    struct map_parts *parts = map_build_end(build, &kept);
    map_build_free(build);
    return parts;
}

static json_t *answer(const json_t *question)
{
    const json_t *rounds = json_object_get(question, "rounds"), *ask = json_object_get(question, "ask");
    struct err err = {0};
    char root[SHA256_HEX_SIZE], built[SHA256_HEX_SIZE];
    int r = 0;
    known = json_object();
    struct map_parts *parts = fresh_parts();
    for (size_t i = 0; r == 0 && i < json_array_size(rounds); i++)
        r = add_round(parts, json_object_get(question, "payments"), json_array_get(rounds, i), &err);
    json_t *proofs = json_array();
    for (size_t i = 0; r == 0 && i < json_array_size(ask); i++)
        r = json_array_append_new(proofs, write_proof(parts, json_string_value(json_array_get(ask, i)), &err));
    struct hash hash = map_parts_root(parts).hash, other = built_root();
    hex_of(&hash, root);
    hex_of(&other, built);
    map_parts_free(parts);
    map_changes_clear(&kept);
    json_decref(known);
    if (r == 0)
        return json_pack("{s:s, s:s, s:o}", "root", root, "built", built, "proofs", proofs);
    json_decref(proofs);
    return json_pack("{s:s}", "error", err.text);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_auto_t *question = json_loads(line, 0, NULL);
        json_auto_t *said = answer(question);
        json_dumpf(said, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    free(line);
    return 0;
}
