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
#include "ledger/key_change.h"
#include "queues/topology.h"

enum {
    BLOCKS_PER_TURN = 4, /* then signals and sockets get their turn */
    EXPORTS_PER_TURN = 64,
    PATH_SIZE = 1024,
    NUMBER_SIZE = 24,
    NAME_SIZE = 64, /* of a head's file */
};

struct sealing {
    struct sealing_options options;
    struct sealer *sealer;
    struct loop_source *timer;
    int64_t exported; /* blocks up to here have their file; -1: none */
    bool placed;      /* `exported` is known */
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

/* Which head. A later epoch may have blocks of the same heights again: their heads stand beside the earlier ones. */
struct place {
    int epoch;
    int64_t height;
};

static const char *epoch_suffix(int epoch, char ret[static NUMBER_SIZE])
{
    ret[0] = '\0';
    if (epoch > 1)
        snprintf(ret, NUMBER_SIZE, "-epoch%d", epoch);
    return ret;
}

static void head_name(struct place place, char ret[static NAME_SIZE])
{
    char suffix[NUMBER_SIZE];
    snprintf(ret, NAME_SIZE, "%012" PRId64 "%s.head", place.height, epoch_suffix(place.epoch, suffix));
}

static int export_head(const struct sealing *sealing, struct place place, const char *head, struct err *err)
{
    char name[NAME_SIZE];
    head_name(place, name);
    if (write_file(sealing->options.heads_dir, name, head, err) != 0)
        return -1;
    return write_file(sealing->options.heads_dir, "latest", head, err);
}

/* False for a file that is no head's. */
static bool place_of(const char *name, struct place *ret)
{
    char again[NAME_SIZE];
    ret->epoch = 1;
    if (sscanf(name, "%12" SCNd64 "-epoch%9d", &ret->height, &ret->epoch) < 1)
        return false;
    head_name(*ret, again);
    return strcmp(again, name) == 0;
}

static bool is_before(struct place a, struct place b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.height < b.height;
}

/* The last head that has its file; of epoch 0 if none has. */
static struct place last_exported(const char *dir)
{
    struct place last = {.height = -1}, one;
    DIR *files = opendir(dir);
    if (!files)
        return last; /* the first head's file says why */
    /* readdir_r is deprecated; one thread */
    /* cppcheck-suppress readdirCalled */
    for (const struct dirent *file; (file = readdir(files));)
        if (place_of(file->d_name, &one) && is_before(last, one))
            last = one;
    closedir(files);
    return last;
}

/* The ledger's epoch, its last block, and the last one that stands not behind `upto`. */
static int read_place(struct db *db, struct place upto, struct place *ret_ledger, int64_t *ret_height, struct err *err)
{
    char epoch[NUMBER_SIZE], height[NUMBER_SIZE];
    const char *params[] = {epoch, height};
    snprintf(epoch, sizeof epoch, "%d", upto.epoch);
    snprintf(height, sizeof height, "%" PRId64, upto.height);
    struct db_result *rows =
        db_query(db,
                 "select coalesce((select max(epoch) from ledger.epoch), 1),"
                 " coalesce((select max(height) from ledger.seal), -1),"
                 " coalesce((select height from ledger.seal where (epoch, height) <= ($1::int, $2::bigint)"
                 " order by height desc limit 1), -1)",
                 2, params, err);
    if (!rows)
        return -1;
    *ret_ledger = (struct place){.epoch = (int)db_int(rows, 0, 0), .height = db_int(rows, 0, 1)};
    *ret_height = db_int(rows, 0, 2);
    db_result_free(rows);
    return 0;
}

/* Before anything is sealed. What the folder has must have been sealed here: to go on from less would fork the ledger. */
static int find_place(struct sealing *sealing, struct err *err)
{
    const char *dir = sealing->options.heads_dir;
    char name[NAME_SIZE];
    struct place last = last_exported(dir), ledger;
    if (read_place(sealing->options.db, last, &ledger, &sealing->exported, err) != 0)
        return -1;
    head_name(last, name);
    if (is_before(ledger, last))
        return err_set(err, ERR_CONFIG,
                       "the ledger ends with block %" PRId64 " of epoch %d, and %s has %s: it was set back. If by a "
                       "restore, run `acquit ledger epoch begin --number %d --reason ...` as the schema's owner",
                       ledger.height, ledger.epoch, dir, name, last.epoch + 1);
    sealing->placed = true;
    return 0;
}

/* From the ledger, so that a head that another keeper sealed, or whose file failed, gets its file, too. Returns how many. */
static int export_heads(struct sealing *sealing, struct err *err)
{
    char after[NUMBER_SIZE], most[NUMBER_SIZE];
    const char *params[] = {after, most};
    snprintf(after, sizeof after, "%" PRId64, sealing->exported);
    snprintf(most, sizeof most, "%d", EXPORTS_PER_TURN);
    struct db_result *rows = db_query(sealing->options.db,
                                      "select height, epoch, head from ledger.seal where height > $1::bigint"
                                      " order by height limit $2::int",
                                      2, params, err);
    if (!rows)
        return -1;
    int r = 0, count = db_rows(rows);
    for (int row = 0; r == 0 && row < count; row++) {
        struct place place = {.height = db_int(rows, row, 0), .epoch = (int)db_int(rows, row, 1)};
        r = export_head(sealing, place, db_value(rows, row, 2), err);
        if (r == 0)
            sealing->exported = place.height;
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
    char id[NOTE_NAME_SIZE + NAME_SIZE], suffix[NUMBER_SIZE];
    struct err err = {0};
    int epoch = 1;
    if (sscanf(head, "%*[^\n]\n%*[^\n]\n%*[^\n]\nacquit-seal-v1 epoch=%9d", &epoch) != 1)
        log_panic("a head has no line of the sealer");
    snprintf(id, sizeof id, "%s/%" PRId64 "%s", sealing->options.origin, height, epoch_suffix(epoch, suffix));
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
    metric_set("acquit_seal_map_behind_facts", NULL,
               (int64_t)(sealer_size(sealing->sealer) - sealer_map_size(sealing->sealer)));
    announce(sealing, head, height);
}

/* --- turns --- */

/* True when there is more of it at once. What the map cannot do holds up no block. */
static bool follow(struct sealing *sealing)
{
    struct err err = {0};
    int r = sealer_follow(sealing->sealer, &err);
    if (r < 0)
        complain("the sorted map", &err);
    return r > 0;
}

/* True when there is surely more to do. */
static bool seal_some(struct sealing *sealing)
{
    for (int i = 0; i < BLOCKS_PER_TURN; i++) {
        struct err err = {0};
        bool more = follow(sealing);
        int count = sealer_run(sealing->sealer, &err);
        if (count < 0)
            complain("sealing", &err);
        else
            metric_add("acquit_sealed_facts_total", NULL, count);
        if (count < SEAL_BLOCK_MAX)
            return more && count >= 0;
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

/* A ledger that was away when the keeper started, or that was set back. */
static bool is_placed(struct sealing *sealing)
{
    struct err err = {0};
    if (sealing->placed || !*sealing->options.heads_dir || find_place(sealing, &err) == 0)
        return true;
    complain("sealing", &err);
    if (err.code == ERR_CONFIG)
        loop_stop(sealing->options.loop, err_exit_code(&err));
    loop_timer_set(sealing->timer, sealing->options.interval_ms);
    return false;
}

/* From one turn's beginning to the next one's is the interval, so that a long turn makes no fact wait longer. */
static void on_turn(void *arg)
{
    struct sealing *sealing = arg;
    int64_t next_ms = clock_monotonic_ms() + sealing->options.interval_ms;
    if (sealing->stopped || !is_placed(sealing))
        return;
    bool more = seal_some(sealing);
    more = export_some(sealing) || more;
    int64_t wait_ms = next_ms - clock_monotonic_ms();
    loop_timer_set(sealing->timer, more || wait_ms < 0 ? 0 : wait_ms);
}

struct sealing *sealing_new(const struct sealing_options *options, struct err *err)
{
    struct signing_key key;
    if (signing_key_parse(options->key, &key) != 0) {
        err_set(
            err, ERR_CONFIG,
            *options->key
                ? "seal.key: must be a private key as `acquit ledger keygen` or `acquit ledger rotate-key` makes it"
                : "seal.key: must be given with seal.origin; is the file of seal.key_file there, and ours to read?");
        return NULL;
    }
    struct sealing *sealing = mem_new(1, sizeof *sealing);
    sealing->options = *options;
    const struct sealer_options sealer = {.db = options->db,
                                          .origin = options->origin,
                                          .private_key = key.private_key,
                                          .change = key.change,
                                          .map_interval_ms = options->map_interval_ms,
                                          .sealed = on_sealed,
                                          .arg = sealing};
    struct err why = {0};
    sealing->sealer = sealer_new(&sealer, &why);
    explicit_bzero(&key, sizeof key);
    if (!sealing->sealer) {
        err_set(err, ERR_CONFIG, "seal.origin, seal.key: %s", why.text);
        free(sealing);
        return NULL;
    }
    sealing->timer = loop_timer(options->loop, 0, on_turn, sealing);
    if (!*options->heads_dir || find_place(sealing, &why) == 0 || why.code != ERR_CONFIG)
        return sealing;
    err_set(err, why.code, "%s", why.text);
    sealing_free(sealing);
    return NULL;
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
