/* sealing.c - see sealing.h */
#include "workers/keeper/sealing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "queues/topology.h"

enum {
    BLOCKS_PER_TURN = 4, /* then signals and sockets get their turn */
    EXPORTS_PER_TURN = 64,
    PATH_SIZE = 1024,
    NUMBER_SIZE = 24,
};

struct sealing {
    struct sealing_options options;
    struct sealer *sealer;
    struct loop_source *timer;
    int64_t exported; /* blocks up to here have their file; -1: none */
    bool stopped;
};

static void complain(const char *what, const struct err *err)
{
    metric_add("acquit_keeper_errors_total", NULL, 1);
    log_warn("%s: %s", what, err->text);
}

/* --- heads as files --- */

/* Whole or not at all, and on the disk when it says so. */
static int write_file(const char *dir, const char *name, const char *text, struct err *err)
{
    char path[PATH_SIZE], new_path[PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t size = strlen(text);
    bool good = fd >= 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    int failure = errno;
    if (fd >= 0)
        close(fd);
    if (good && rename(new_path, path) == 0)
        return 0;
    return err_set(err, ERR_AGAIN, "%s: %s", path, strerror(good ? errno : failure));
}

static int export_head(const struct sealing *sealing, int64_t height, const char *head, struct err *err)
{
    char name[NUMBER_SIZE + 8];
    snprintf(name, sizeof name, "%012" PRId64 ".head", height);
    if (write_file(sealing->options.heads_dir, name, head, err) != 0)
        return -1;
    return write_file(sealing->options.heads_dir, "latest", head, err);
}

/* -1 for a file that is no block's. */
static int64_t height_of(const char *name)
{
    char again[NUMBER_SIZE + 8];
    int64_t height;
    if (sscanf(name, "%12" SCNd64 ".head", &height) != 1)
        return -1;
    snprintf(again, sizeof again, "%012" PRId64 ".head", height);
    return strcmp(again, name) == 0 ? height : -1;
}

static int is_head(const struct dirent *file)
{
    return height_of(file->d_name) >= 0;
}

/* The highest block that has its file. */
static int64_t find_exported(const char *dir)
{
    struct dirent **files = NULL;
    int count = scandir(dir, &files, is_head, alphasort); /* all names have the same length */
    int64_t highest = count > 0 ? height_of(files[count - 1]->d_name) : -1;
    for (int i = 0; i < count; i++)
        free(files[i]);
    free(files);
    return highest;
}

/* From the ledger, so that a head that another keeper sealed, or whose file failed, gets its file, too. Returns how many. */
static int export_heads(struct sealing *sealing, struct err *err)
{
    char after[NUMBER_SIZE], most[NUMBER_SIZE];
    const char *params[] = {after, most};
    snprintf(after, sizeof after, "%" PRId64, sealing->exported);
    snprintf(most, sizeof most, "%d", EXPORTS_PER_TURN);
    struct db_result *rows = db_query(sealing->options.db,
                                      "select height, head from ledger.seal where height > $1::bigint"
                                      " order by height limit $2::int",
                                      2, params, err);
    if (!rows)
        return -1;
    int r = 0, count = db_rows(rows);
    for (int row = 0; r == 0 && row < count; row++) {
        r = export_head(sealing, db_int(rows, row, 0), db_value(rows, row, 1), err);
        if (r == 0)
            sealing->exported = db_int(rows, row, 0);
    }
    db_result_free(rows);
    return r == 0 ? count : -1;
}

/* --- heads as events --- */

static void heard_or_not(void *arg, enum publish_outcome outcome)
{
    (void)arg;
    (void)outcome;
}

static void announce(const struct sealing *sealing, const char *head, int64_t height)
{
    char id[NOTE_NAME_SIZE + NUMBER_SIZE];
    struct err err = {0};
    snprintf(id, sizeof id, "%s/%" PRId64, sealing->options.origin, height);
    struct message message = {
        .exchange = mem_text(EXCHANGE_EVENTS),
        .routing_key = mem_text("ledger.sealed"),
        .content_type = mem_text("text/plain; charset=utf-8"),
        .message_id = mem_text(id),
        .user_id = mem_text(sealing->options.user),
        .timestamp = clock_wall_ms() / 1000,
        .delivery_mode = 2,
        .optional = true,
        .body = mem_text(head),
        .body_size = strlen(head),
    };
    if (publisher_send(sealing->options.publisher, &message, heard_or_not, NULL, &err) != 0)
        log_warn("head of block %" PRId64 " is not published: %s", height, err.text);
    message_clear(&message);
}

static void on_sealed(void *arg, const char *head, int64_t height)
{
    const struct sealing *sealing = arg;
    char line[256];
    const char *size = strchr(head, '\n'), *root = size ? strchr(size + 1, '\n') : NULL;
    snprintf(line, sizeof line, "%.*s", root ? (int)strcspn(root + 1, "\n") : 0, root ? root + 1 : "");
    log_info("sealed block=%" PRId64 " size=%lld root=%s", height, size ? strtoll(size + 1, NULL, 10) : 0, line);
    metric_add("acquit_seal_blocks_total", NULL, 1);
    metric_set("acquit_seal_height", NULL, height);
    announce(sealing, head, height);
}

/* --- turns --- */

/* True when there is surely more to do. */
static bool seal_some(struct sealing *sealing)
{
    for (int i = 0; i < BLOCKS_PER_TURN; i++) {
        struct err err = {0};
        int count = sealer_run(sealing->sealer, &err);
        if (count < 0)
            complain("sealing", &err);
        else
            metric_add("acquit_sealed_facts_total", NULL, count);
        if (count < SEAL_BLOCK_MAX)
            return false;
    }
    return true;
}

static bool export_some(struct sealing *sealing)
{
    struct err err = {0};
    if (!*sealing->options.heads_dir)
        return false;
    int count = export_heads(sealing, &err);
    if (count < 0)
        complain("heads", &err);
    return count == EXPORTS_PER_TURN;
}

static void on_turn(void *arg)
{
    struct sealing *sealing = arg;
    if (sealing->stopped)
        return;
    bool more = seal_some(sealing);
    more = export_some(sealing) || more;
    loop_timer_set(sealing->timer, more ? 0 : sealing->options.interval_ms);
}

struct sealing *sealing_new(const struct sealing_options *options, struct err *err)
{
    uint8_t key[ED25519_KEY_SIZE];
    size_t size = 0;
    if (base64_decode(options->key, key, sizeof key, &size) != 0 || size != sizeof key) {
        err_set(
            err, ERR_CONFIG,
            *options->key
                ? "seal.key: must be the base64 of an Ed25519 private key; `acquit ledger keygen` makes one"
                : "seal.key: must be given with seal.origin; is the file of seal.key_file there, and ours to read?");
        return NULL;
    }
    struct sealing *sealing = mem_new(1, sizeof *sealing);
    sealing->options = *options;
    const struct sealer_options sealer = {
        .db = options->db, .origin = options->origin, .private_key = key, .sealed = on_sealed, .arg = sealing};
    struct err why = {0};
    sealing->sealer = sealer_new(&sealer, &why);
    explicit_bzero(key, sizeof key);
    if (!sealing->sealer) {
        err_set(err, ERR_CONFIG, "seal.origin: %s", why.text);
        free(sealing);
        return NULL;
    }
    sealing->exported = *options->heads_dir ? find_exported(options->heads_dir) : -1;
    sealing->timer = loop_timer(options->loop, 0, on_turn, sealing);
    return sealing;
}

void sealing_stop(struct sealing *sealing)
{
    sealing->stopped = true;
    loop_timer_set(sealing->timer, -1);
}

void sealing_free(struct sealing *sealing)
{
    if (!sealing)
        return;
    loop_source_free(sealing->timer);
    sealer_free(sealing->sealer);
    free(sealing);
}
