/* verify_internal.h - what the parts of the verification share (verify.h) */
#ifndef ACQUIT_LEDGER_VERIFY_INTERNAL_H
#define ACQUIT_LEDGER_VERIFY_INTERNAL_H

#include <pthread.h>

#include "common/text.h"
#include "ledger/leaf.h"
#include "ledger/map_parts.h"
#include "ledger/project.h"
#include "ledger/saga.h"
#include "ledger/verify.h"

enum {
    VERIFY_NUMBER_SIZE = 24,
    EPOCHS_MAX = 256, /* restores in the life of a ledger */
};

/* The first is in no table. */
struct epochs {
    size_t count;
    struct {
        int number;
        uint64_t end; /* leaves, when the last block of this one or an earlier one was sealed */
    } items[EPOCHS_MAX];
    int64_t offset; /* of the last */
    int sealed;     /* that of the last block; 0 while there is but one */
};

/* Where a fact stands in the order of the tree. */
struct place {
    uint64_t xid;
    int64_t seq;
};
int place_compare(struct place a, struct place b);

/* The ledger's keys, one after the other (verify_keys.c). */
enum { LEDGER_KEYS_MAX = 256 };
struct ledger_keys {
    int statements; /* read */
    size_t count;   /* 0: it never changed, or none of the given keys is among them: then only these count */
    struct ledger_key {
        struct note_key key;
        uint64_t until; /* it signs heads of trees up to this size */
    } items[LEDGER_KEYS_MAX];
};

struct segments;

struct verify {
    const struct verify_options *options;
    struct verify_result *result;
    struct db *holder; /* keeps the snapshot */
    struct db *db;     /* of the parts that run one after the other; sees the snapshot, as all others do */
    char snapshot[DB_SNAPSHOT_SIZE];
    pthread_mutex_t lock;            /* of what follows, and of what the caller hears */
    int64_t told[VERIFY_RULE_COUNT]; /* faults */
    int64_t payments;                /* done */

    uint64_t size;             /* leaves of the last block */
    struct place last, since;  /* its last row, and that of the block up to which all was verified; {0}: none */
    struct segments *segments; /* between the two */
    struct place projected;    /* the keeper has projected all facts up to here */
    struct epochs epochs;
    struct ledger_keys keys;
};

/* SQL: are the facts of this payment in a file? */
#define VERIFY_ARCHIVED(payment)                                                                                       \
    "exists (select from ledger.payment p join ledger.archived a on p.began < a.began_to and (a.began_from is null or" \
    " p.began >= a.began_from) where p.payment_id = " payment ")"

/* Where a fault is. Faults may be told by any thread. */
struct verify_place {
    const char *payment, *slot; /* NULL: nothing tells */
    int64_t block;              /* -1: none */
};
void verify_fault(struct verify *verify, enum verify_rule rule, struct verify_place place, const char *format, ...)
    PRINTF_LIKE(4, 5);
void verify_progress(struct verify *verify, const char *what, int64_t done);
const char *verify_number(char ret[static VERIFY_NUMBER_SIZE], int64_t value);

#define NOWHERE ((struct verify_place){.block = -1})
#define IN_BLOCK(height) ((struct verify_place){.block = (height)})

/* --- verify_schema.c --- */

struct manifest_line {
    const char *kind, *name, *sha256; /* of the definition, its first half */
};
extern const struct manifest_line verify_manifest[]; /* verify_manifest.c; ends with NULLs */
int verify_schema(struct verify *verify, struct err *err) MUST_CHECK;

/* --- verify_epoch.c --- */

int verify_epochs(struct verify *verify, struct err *err) MUST_CHECK;
bool epoch_is_known(const struct verify *verify, int number);
/* A head of this epoch with so many leaves is of a tree that a later epoch did not go on from. */
bool epoch_has_lost(const struct verify *verify, int number, uint64_t size);
/* What the line's definition has to hash to in the ledger's epoch. */
const char *epoch_definition(const struct verify *verify, const struct manifest_line *line,
                             char ret[static SHA256_HEX_SIZE]);

/* --- verify_keys.c --- */

/* Before heads are read, with a connection of its own. */
int ledger_keys_read(struct verify *verify, struct err *err) MUST_CHECK;
/* ERR_AGAIN: the key was changed between that and the snapshot. */
int ledger_keys_recheck(struct verify *verify, struct err *err) MUST_CHECK;
/* A head that the ledger's key of its size has signed, in the name of the log that it is about. `text` is changed and has to outlive *ret. */
int ledger_keys_open(const struct verify *verify, char *text, struct checkpoint *ret, struct err *err) MUST_CHECK;
/* Are there no leaves from `first` up to `end`, but changes of the key that are trusted? */
bool ledger_keys_fill(const struct verify *verify, uint64_t first, uint64_t end);
/* Changes of the key are what was sealed. */
int verify_keys(struct verify *verify, struct err *err) MUST_CHECK;

/* --- verify_heads.c --- */

/* Heads seen outside, by size. */
struct outside_heads {
    size_t count, next; /* next to be compared */
    struct outside_head {
        uint64_t size;
        struct hash root;
        int epoch; /* INT_MAX: it does not say */
        int64_t height;
        char sha256[SHA256_HEX_SIZE]; /* of its text, without signatures */
        char *name;                   /* of its file */
    } * items;
};
/* Before anything is read of the ledger: it may grow, but not be behind what was seen outside. */
int outside_read(struct verify *verify, struct outside_heads *ret, struct err *err) MUST_CHECK;
void outside_free(struct outside_heads *heads);
/* The tree had this root when it had this many leaves. */
void outside_compare(struct verify *verify, struct outside_heads *heads, uint64_t size, const struct hash *root);
/* Those up to the block that was verified before, by consistency proofs. */
int outside_compare_old(struct verify *verify, struct outside_heads *heads, uint64_t size, const struct hash *root,
                        struct err *err) MUST_CHECK;
/* Their lines are those of the ledger's own heads. */
int outside_compare_lines(struct verify *verify, const struct outside_heads *heads, struct err *err) MUST_CHECK;
/* What is left cannot be part of a tree of `size` leaves. */
void outside_end(struct verify *verify, const struct outside_heads *heads, uint64_t size);

struct block {
    int64_t height;
    int epoch;
    uint64_t size;
    struct place last;
    bool opened; /* `root` is what a given key has signed */
    struct hash root;
    struct map_line map;          /* that it states; size 0: none */
    char sha256[SHA256_HEX_SIZE]; /* of the head's text */
};
/* The blocks in their order, with what one head says about itself and the one before it. */
struct blocks {
    struct block last; /* the one before; height -1: none */
    struct db_result *rows;
    int row;
};
/* 1: there is one more; 0: no more; -1: error. */
int blocks_next(struct verify *verify, struct blocks *blocks, struct block *ret, struct err *err) MUST_CHECK;
/* One block, as the beginning of what follows. */
int blocks_since(struct verify *verify, struct blocks *blocks, int64_t height, struct err *err) MUST_CHECK;
void blocks_free(struct blocks *blocks);

/* --- verify_sum.c: are two sets of sealed facts the same? ---
 *
 * Facts are read by payment, leaves by position. Each side adds up, for every fact, a hash under a key of this run of where it stands, whose it
 * is and what its leaf is. The sums agree only if every fact has its own leaf at its own place (MSet-Add-Hash of Clarke et al., 2003); nothing
 * has to be kept of a ledger of any size. Sums are kept per segment, so that only what differs is looked through row by row. */

enum { SEGMENTS_MAX = 1024 };
/* Some blocks in a row: facts behind the segment before up to `last`, leaves from the size of the one before up to `size`. */
struct segment {
    struct place last;
    uint64_t size;
};
struct segments {
    uint8_t key[SHA256_SIZE / 2];
    struct place first; /* what was verified before ends here */
    uint64_t first_size;
    size_t count; /* 0: nothing is sealed */
    struct segment items[SEGMENTS_MAX];
};
struct sums {
    struct sum {
        uint64_t halves[2], count;
        bool bad; /* known not to agree */
    } items[SEGMENTS_MAX];
};
int segments_read(struct verify *verify, struct segments *ret, struct err *err) MUST_CHECK;
/* Which one; `count` for what is behind all, -1 for what was verified before. */
ptrdiff_t segments_find(const struct segments *segments, struct place place);
struct place segment_first(const struct segments *segments, size_t n); /* it begins behind this */
uint64_t segment_first_size(const struct segments *segments, size_t n);
void sums_add(struct sums *sums, const struct segments *segments, size_t n, struct place place, struct uuid payment,
              struct text slot, const struct hash *leaf);
void sums_join(struct sums *sums, const struct sums *more);
bool sum_equal(const struct sum *a, const struct sum *b);

/* --- verify_tree.c: the leaves by position --- */

int verify_tree(struct verify *verify, struct outside_heads *heads, struct sums *sums, struct err *err) MUST_CHECK;

/* --- verify_nodes.c: the roots of subtrees that are kept --- */

/* In the order in which a growing tree has them. */
struct nodes {
    struct verify *verify;
    struct db *db;
    bool more;
    struct {
        int level;
        int64_t position;
        struct text hash;
    } next;
};
/* Those of leaves from `from` on. */
int nodes_begin(struct nodes *nodes, struct verify *verify, uint64_t from, struct err *err) MUST_CHECK;
/* The tree has this one next. */
int nodes_compare(struct nodes *nodes, int level, uint64_t position, const struct hash *root,
                  struct err *err) MUST_CHECK;
/* It has no more; what is kept beyond is too much. */
int nodes_end(struct nodes *nodes, struct err *err) MUST_CHECK;
void nodes_free(struct nodes *nodes);

/* --- verify_rows.c: row by row --- */

/* Names what is wrong with the rows of one segment, whose sums differ. */
int verify_rows(struct verify *verify, size_t segment, struct err *err) MUST_CHECK;

/* --- verify_dossier.c: all that the ledger has of one payment after the other --- */

/* One row of ledger.transfer. */
struct transfer {
    const char *slot, *kind, *pending_of, *debit, *credit, *currency; /* pending_of: "" for none */
    int leg;
    int64_t amount;
    uint64_t xid;
    int32_t began;
};
struct command {
    struct uuid id;
    const char *type, *publisher, *message, *sha256;
};
struct letter {
    struct uuid id;
    const char *slot;
};
/* Its texts live until the next one is read. */
struct dossier {
    struct facts facts;
    struct fact_more {
        struct slot slot;
        uint64_t xid;
        int32_t began;
    } * more; /* of each fact */
    size_t transfer_count, command_count, letter_count;
    struct transfer *transfers; /* by slot and leg */
    struct command *commands;
    struct letter *letters;
    bool unprojected;       /* the keeper has still to come to a fact of it */
    bool has_home;          /* ledger.payment has it */
    int32_t began;          /* and says since when; days from 2000-01-01 */
    const char *unreadable; /* the slot that cannot be read; NULL: none */
    char id[UUID_TEXT_SIZE];
};
const struct fact *dossier_fact(const struct dossier *dossier, const char *slot, uint64_t *ret_xid);

/* A fact's body as far as anybody looks at it: without objects within it, unless they are asked for. NULL: no JSON. (verify_body.c) */
json_t *verify_body(struct text text, bool objects);

/* The payments of one share of all ids, in their order. */
struct dossiers;
/* Share `n` of `count`. Sums up the leaves of all sealed facts it comes by. */
struct dossiers *dossiers_new(const struct verify *verify, int n, int count, struct sums *sums,
                              struct err *err) MUST_CHECK;
/* 1: the next payment, borrowed; 0: no more. */
int dossiers_next(struct dossiers *dossiers, const struct dossier **ret, struct err *err) MUST_CHECK;
int64_t dossiers_unsealed(const struct dossiers *dossiers); /* facts behind the last block, so far */
/* The next row that schema view has of this payment; its id is taken already. 1; 0: no more; -1: an error. */
int dossiers_view(struct dossiers *dossiers, enum view_table table, struct db_row **ret, struct err *err) MUST_CHECK;
/* Why the tables of schema view cannot be read; no code: they can. */
const struct err *dossiers_views_broken(const struct dossiers *dossiers);
void dossiers_free(struct dossiers *dossiers);

/* --- verify_books.c, verify_money.c: what is wrong with one payment --- */

/* `payment` is the fold of its facts, NULL when they contradict each other or cannot be read. */
void verify_payment(struct verify *verify, const struct dossier *dossier, const struct payment *payment);
/* Letters whose fact is not there. */
int verify_letters(struct verify *verify, struct err *err) MUST_CHECK;
/* Of a payment that was folded without error. */
void verify_bookings(struct verify *verify, const struct dossier *dossier, const struct payment *payment);
void verify_transfers(struct verify *verify, const struct dossier *dossier);

/* --- verify_archive.c --- */

int verify_archives(struct verify *verify, struct err *err) MUST_CHECK;

/* --- verify_floor.c --- */

/* Accounts that are open: in the chart, floors kept. */
int verify_accounts(struct verify *verify, struct err *err) MUST_CHECK;
/* Accounts that one payment's transfers name. */
void verify_chart(struct verify *verify, const struct dossier *dossier);

/* --- verify_balance.c --- */

struct balances;
struct balances *balances_new(void);
void balances_free(struct balances *balances);
void balances_add(struct balances *balances, const struct dossier *dossier);
/* What archives say that they moved, which verify_archive.c looks into. */
int balances_add_archived(const struct verify *verify, struct balances *balances, struct err *err) MUST_CHECK;
void balances_join(struct balances *balances, const struct balances *more);
/* The trial balance that people read. */
struct db_result *balances_trial(struct db *db, struct err *err) MUST_CHECK;
int balances_compare(struct verify *verify, struct balances *balances, const struct db_result *trial,
                     struct err *err) MUST_CHECK;

/* --- verify_run.c --- */

/* Leaves, payments and balances, side by side. */
int verify_all_rows(struct verify *verify, struct outside_heads *heads, struct err *err) MUST_CHECK;
/* One more connection that sees the snapshot. */
struct db *verify_connect(const struct verify *verify, struct err *err) MUST_CHECK;
/* What a part could not do: a fault when the ledger itself makes it impossible, so that the others go on; else an error. */
int verify_note(struct verify *verify, const char *what, int r, const struct err *why, struct err *err) MUST_CHECK;

/* --- verify_map.c --- */

/* What a head says of the map, after the one before it. */
void verify_map_line(struct verify *verify, const struct block *last, const struct block *block);
/* The newest map, or all since `since`, against the leaves. */
int verify_map(struct verify *verify, struct err *err) MUST_CHECK;

/* Maps that heads state, each another one, by size. */
struct map_lines {
    struct map_stated {
        int64_t height;
        struct map_line map;
    } * items;
    size_t count;
};
/* From the last one, of which these are all parts, back to the first. (verify_map_back.c) */
int verify_map_back(struct verify *verify, const struct map_lines *lines, struct map_parts *parts,
                    struct err *err) MUST_CHECK;

/* --- verify_views.c: the projections --- */

/* The columns that are compared, behind the payment's id, in the order in which project.c gives them. */
/* clang-format off */
#define VIEW_PAYMENT_COLUMNS(X)                                                                                        \
    X(facts) X(seq) X(publisher) X(merchant) X(flow) X(currency) X(exponent) X(amount) X(payment_method)               \
    X(customer_id) X(reference_type) X(reference_id) X(description) X(metadata) X(expires_at) X(created_at) X(status)  \
    X(reason) X(error_code) X(error_message) X(decided_by) X(decided_at) X(captured_amount) X(refunded_amount)         \
    X(provider) X(provider_reference) X(contradiction) X(updated_at)
#define VIEW_ATTEMPT_COLUMNS(X)                                                                                        \
    X(attempt_number) X(attempt_id) X(provider) X(status) X(provider_reference) X(error_code) X(error_message)         \
    X(gateway_response) X(doubts) X(created_at) X(updated_at)
#define VIEW_REFUND_COLUMNS(X)                                                                                         \
    X(refund_number) X(refund_id) X(actor) X(status) X(amount) X(commission_amount) X(reason) X(provider_reference)    \
    X(error_code) X(error_message) X(gateway_response) X(doubts) X(created_at) X(updated_at)
#define VIEW_COMMISSION_COLUMNS(X)                                                                                     \
    X(capture_number) X(commission_id) X(rate_ppm) X(amount) X(reversed_amount) X(type) X(status) X(created_at)        \
    X(updated_at)
/* clang-format on */

struct views;
struct views *views_new(struct verify *verify, struct dossiers *dossiers);
void views_free(struct views *views);
/* Of the payment that was read last. */
int views_compare(struct views *views, const struct dossier *dossier, const struct payment *payment,
                  struct err *err) MUST_CHECK;
int64_t views_unprojected(const struct views *views); /* payments that the keeper has still to project, so far */
/* How far the keeper is. */
int views_progress(struct verify *verify, struct err *err) MUST_CHECK;

#endif
