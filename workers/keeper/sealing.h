/* sealing.h - the keeper seals the ledger and carries its heads out of the database (ledger/seal.h, docs/sealing.md)
 *
 * Each head goes to a folder (one file per block, and `latest`), to acquit.evt (routing key `ledger.sealed`) and to the log: three places that
 * whoever can change the database cannot change with it. A file that could not be written is written later, from the ledger. Between blocks the
 * sorted map follows them (ledger/map_keep.h).
 */
#ifndef ACQUIT_WORKERS_KEEPER_SEALING_H
#define ACQUIT_WORKERS_KEEPER_SEALING_H

#include "common/loop.h"
#include "ledger/seal.h"
#include "queues/publisher.h"

struct sealing_options {
    struct loop *loop;
    struct db *db;
    struct publisher *publisher;
    const char *user;      /* ours at the broker */
    const char *origin;    /* the log's name */
    const char *key;       /* content of the private key's file (struct signing_key) */
    const char *heads_dir; /* "": none */
    int64_t interval_ms, map_interval_ms;
};

struct sealing;

/* The options' members are borrowed. ERR_CONFIG names the setting that is wrong. */
struct sealing *sealing_new(const struct sealing_options *options, struct err *err) MUST_CHECK;
void sealing_free(struct sealing *sealing); /* accepts NULL */
/* Seals no further blocks. */
void sealing_stop(struct sealing *sealing);

#endif
