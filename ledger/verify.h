/* verify.h - is the ledger still what was written and sealed? (docs/sealing.md)
 *
 * Reads everything, trusts nothing that it can derive: schema and grants against what this program's migrations make, blocks against the rows
 * and the keys, heads seen outside against the tree, payments against the saga and the books. Needs no more than the role acquit_reader. On a
 * ledger that is written to at the same time it judges what had ended when it began: rows of transactions below its horizon, which cannot
 * become more. Goes by pages; memory grows with accounts and outside heads only.
 */
#ifndef ACQUIT_LEDGER_VERIFY_H
#define ACQUIT_LEDGER_VERIFY_H

#include <stdio.h>

#include "ledger/db.h"
#include "ledger/note.h"

enum {
    VERIFY_KEYS_MAX = 16,
    VERIFY_JOBS_MAX = 8,     /* with nine connections each */
    VERIFY_FAULTS_MAX = 100, /* told of one rule; further ones are counted */
};

/* What can be wrong. */
/* clang-format off */
#define VERIFY_RULES(X)                                                                                                \
    X(MIGRATION, "migration")       /* a migration is missing, changed or not ours */                                  \
    X(SCHEMA, "schema")             /* a table, column, constraint, index, view, rule or policy */                     \
    X(TRIGGER, "trigger")           /* missing, changed or switched off */                                             \
    X(FUNCTION, "function")         /* missing or changed */                                                           \
    X(GRANT, "grant")               /* somebody may do more, or less, than the migrations allow */                     \
    X(BLOCK, "block")               /* a block is missing, or says other things than its head */                       \
    X(SIGNATURE, "signature")       /* a head is not signed by a given key */                                          \
    X(CHAIN, "chain")               /* a head does not name the head before it */                                      \
    X(ROOT, "root")                 /* the leaves are not those that were signed */                                    \
    X(NODE, "node")                 /* a kept root of a subtree is missing, wrong or too many */                       \
    X(LEAF_MISSING, "leaf-missing") /* a sealed row's hash is gone */                                                  \
    X(LEAF_ADDED, "leaf-added")     /* hashes that no head covers */                                                   \
    X(ROW_CHANGED, "row-changed")   /* a fact or its transfers are not what was sealed */                              \
    X(ROW_MISSING, "row-missing")   /* a sealed fact is gone */                                                        \
    X(ROW_ADDED, "row-added")       /* a fact that no block has stands among sealed ones */                            \
    X(ROW_MOVED, "row-moved")       /* a sealed fact stands at another place in the order */                           \
    X(FORK, "fork")                 /* a signed head seen outside is not of this tree */                               \
    X(TRUNCATED, "truncated")       /* a signed head seen outside is larger than the tree */                           \
    X(LOST, "lost")                 /* a signed head seen outside is of what a restore gave up: the heads say so */       \
    X(EPOCH, "epoch")               /* an epoch that the ledger does not have, or one that went back */                \
    X(KEY, "key")                   /* a change of the key is not what was sealed, or not by the key before */             \
    X(MAP, "map")                   /* the sorted map that a head states is not that of the leaves */                      \
    X(HEAD, "head")                 /* a head seen outside cannot be read, or no given key signed it */                \
    X(SAGA, "saga")                 /* the facts of a payment contradict the protocol */                               \
    X(FENCE, "fence")               /* another provider was tried without its evidence (L6) */                         \
    X(COMMAND, "command")           /* a fact lacks the command that asked for it (L10) */                             \
    X(DEAD_LETTER, "dead-letter")   /* a death without its archived letter, or a letter without its fact (L9) */       \
    X(HOME, "home")                 /* a row does not stand where its payment lives (L2) */                            \
    X(TRANSFER, "transfer")         /* a transfer does not belong to a fact of its transaction (L8) */                 \
    X(HOLD, "hold")                 /* a hold is resolved twice, or by other accounts (L8) */                          \
    X(BOOKING, "booking")           /* the transfers of a fact are not what it books (L8) */                           \
    X(SHARE, "share")               /* a refund's share of the commission is another one */                            \
    X(CHART, "chart")               /* an account that is not in the chart */                                         \
    X(FLOOR, "floor")               /* an account is below its floor, or its kept balance is not what was booked */   \
    X(BALANCE, "balance")           /* a balance is not the sum of its transfers */                                    \
    X(ARCHIVE, "archive")           /* an archive is not what it says, or says other than its sealed leaves */         \
    X(PROJECTION, "projection")     /* a row of schema view is not what the facts give */                              \
    X(UNREADABLE, "unreadable")     /* what stands there cannot be read at all */
/* clang-format on */
enum verify_rule {
#define X(id, text) VERIFY_##id,
    VERIFY_RULES(X)
#undef X
};
enum {
#define X(id, text) +1
    VERIFY_RULE_COUNT = 0 VERIFY_RULES(X)
#undef X
};
const char *verify_rule_text(enum verify_rule rule);

struct verify_fault {
    enum verify_rule rule;
    const char *payment, *slot; /* "" where nothing tells */
    int64_t block;              /* -1: none */
    const char *text;
};

struct verify_options {
    const struct db_options *database; /* several connections are made to it */
    int jobs;                          /* payments are read in so many shares at once; 1 to VERIFY_JOBS_MAX */
    const struct note_key *keys;       /* whose signature counts */
    size_t key_count;
    const char *heads_dir;    /* of heads seen outside, *.head; NULL: none */
    const char *archives_dir; /* with the files of what is archived; NULL: only what the ledger says of them */
    int64_t since;            /* blocks up to this one were verified before; -1: none was */
    int epoch; /* what was lost when it or an earlier one began is known, and no fault; 1: nothing is known */
    void (*fault)(void *arg, const struct verify_fault *fault);
    void (*note)(void *arg, const char *text);                   /* what is no fault, but has to be seen; may be NULL */
    void (*progress)(void *arg, const char *what, int64_t done); /* now and then */
    void *arg;
};

struct verify_result {
    int64_t blocks, rows; /* verified now */
    int64_t height;       /* of the last block; -1: none */
    int64_t unsealed;     /* facts behind the last block: sealed by and by, no fault */
    int64_t archived;     /* facts that are in files: their leaves were verified */
    int64_t heads;        /* seen outside and compared */
    int64_t maps;         /* of heads, computed and compared */
    int64_t lost;         /* of these: given up by a restore, as far as that is known */
    int epoch;
    int64_t payments, transfers;
    bool balances;       /* were compared: not with `since`, nor when very much is written at the same time */
    int64_t unprojected; /* payments that the keeper has still to project: no fault */
    int64_t faults;
};

/* 0: done, and the faults say what it found. -1: it could not be done; ERR_AGAIN: the ledger is away. ERR_CONFIG: there are heads, and no key. */
int verify_ledger(const struct verify_options *options, struct verify_result *ret, struct err *err) MUST_CHECK;

/* What of this database's schema is compared, as lines of ledger/verify_manifest.c. */
int verify_print_manifest(struct db *db, FILE *out, struct err *err) MUST_CHECK;

#endif
