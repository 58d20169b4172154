/* probe.h - what programs share that try the ledger on a real PostgreSQL: one line per check, and connections */
#ifndef ACQUIT_TESTS_SYSTEM_PROBE_H
#define ACQUIT_TESTS_SYSTEM_PROBE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/db.h"

static int failures; /* checks that did not hold: the program exits 1 then */

static inline void check(bool ok, const char *name)
{
    printf("%s - %s\n", ok ? "ok" : "not ok", name);
    fflush(stdout);
    failures += !ok;
}

/* For a step that must work for the rest to mean anything. */
static inline void must(bool ok, const char *what, const struct err *err)
{
    if (ok)
        return;
    printf("not ok - %s: %s\n", what, err ? err->text : "");
    fflush(stdout);
    exit(1);
}

/* Never NULL; not yet connected. */
static inline struct db *probe_db(const struct db_options *options)
{
    struct err err = {0};
    struct db *db = db_new(options, &err);
    must(db, "a connection string", &err);
    return db;
}

#endif
