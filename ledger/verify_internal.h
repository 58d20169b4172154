/* verify_internal.h - what the parts of the verification share (verify.h) */
#ifndef ACQUIT_LEDGER_VERIFY_INTERNAL_H
#define ACQUIT_LEDGER_VERIFY_INTERNAL_H

#include "ledger/saga.h"
#include "ledger/verify.h"

enum {
    VERIFY_PAGE = 2048,
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

struct verify {
    const struct verify_options *options;
    struct verify_result *result;
    struct db *db;
    int64_t told[VERIFY_RULE_COUNT];
    uint64_t size;                                                   /* leaves of the last block */
    char last_xid[VERIFY_NUMBER_SIZE], last_seq[VERIFY_NUMBER_SIZE]; /* of its last row; "0" without a block */
    char since_xid[VERIFY_NUMBER_SIZE];                              /* facts from here on are looked at; "0": all */
    char horizon[VERIFY_NUMBER_SIZE];                                /* every transaction below has ended */
    struct epochs epochs;
};

/* Where a fault is. */
struct verify_place {
    const char *payment, *slot; /* NULL: nothing tells */
    int64_t block;              /* -1: none */
};
void verify_fault(struct verify *verify, enum verify_rule rule, struct verify_place place, const char *format, ...)
    PRINTF_LIKE(4, 5);
void verify_progress(const struct verify *verify, const char *what, int64_t done);
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

/* --- verify_heads.c --- */

/* Heads seen outside, by size. */
struct outside_heads {
    size_t count, next; /* next to be compared */
    struct outside_head {
        uint64_t size;
        struct hash root;
        int epoch;  /* INT_MAX: it does not say */
        char *name; /* of its file */
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
/* What is left cannot be part of a tree of `size` leaves. */
void outside_end(struct verify *verify, const struct outside_heads *heads, uint64_t size);

struct block {
    int64_t height;
    int epoch;
    uint64_t size;
    char last_xid[VERIFY_NUMBER_SIZE], last_seq[VERIFY_NUMBER_SIZE];
    bool opened; /* `root` is what a given key has signed */
    struct hash root;
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

/* --- verify_tree.c --- */

int verify_tree(struct verify *verify, struct outside_heads *heads, struct err *err) MUST_CHECK;

/* --- verify_books.c: payment by payment --- */

/* One row of ledger.transfer, borrowed from the rows. */
struct transfer {
    const char *slot, *kind, *pending_of, *debit, *credit, *currency; /* pending_of: "" for none */
    int leg;
    int64_t amount;
    uint64_t xid;
};
/* All that the ledger has of one payment. */
struct dossier {
    struct facts facts;
    uint64_t *xids; /* of the facts */
    size_t transfer_count;
    struct transfer *transfers;
    char id[UUID_TEXT_SIZE];
};
/* Rows of one kind, in the order of payments; `row` goes on to `end`. `shift`: before the columns below. */
struct span {
    const struct db_result *rows;
    int row, end, shift;
};
#define DOSSIER_FACTS                                                                                                  \
    "select e.payment_id, e.slot, e.outcome, e.cause, e.actor, e.seq, e.xid,"                                          \
    " floor(extract(epoch from e.at) * 1000)::bigint, e.body from ledger.event e"
#define DOSSIER_TRANSFERS                                                                                              \
    "select t.payment_id, t.slot, t.leg, t.kind, t.pending_of, t.debit, t.credit, t.amount, t.currency, t.xid"         \
    " from ledger.transfer t"
/* 1: the next payment of either; 0: no more. */
int dossier_next(struct span *facts, struct span *transfers, struct dossier *ret, struct err *err) MUST_CHECK;
void dossier_clear(struct dossier *dossier);
const struct fact *dossier_fact(const struct dossier *dossier, const char *slot, uint64_t *ret_xid);

struct balances;
int verify_books(struct verify *verify, struct balances *balances, struct err *err) MUST_CHECK;

/* What is wrong with the transfers of one payment, folded without error. (verify_money.c) */
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

struct balances *balances_new(void);
void balances_free(struct balances *balances);
/* Adds (sign 1) or takes away (-1) what the rows of transactions below `horizon` book. */
void balances_add(struct balances *balances, const struct dossier *dossier, uint64_t horizon, int sign);
int verify_balances(struct verify *verify, struct balances *balances, struct err *err) MUST_CHECK;

#endif
