/* guard.c - see guard.h */
#include "workers/guard.h"

#include <string.h>

#include "common/log.h"

/* True when nobody can say yet: the same question may be answered later. */
static bool is_passing(const struct err *err)
{
    return err->code == ERR_AGAIN || err->code == ERR_UNKNOWN;
}

static void judge(struct guard *guard, const char *server, const struct err *err)
{
    if (err->code == ERR_CONFIG)
        guard->refusal = *err;
    else if (err->code != ERR_NONE) /* no such table, column or right */
        err_set(&guard->refusal, ERR_CONFIG, "the ledger is not this program's: %s; run `acquit migrate`", err->text);
    else if (*guard->server && *server && strcmp(guard->server, server) != 0)
        err_set(&guard->refusal, ERR_AGAIN,
                "the ledger is another one now (%s, it was %s): this program begins anew with what is there", server,
                guard->server);
    else if (*server)
        memcpy(guard->server, server, sizeof guard->server);
}

static void refuse(struct guard *guard)
{
    if (!guard->connected)
        return; /* guard_connect() returns it */
    log_error("%s", guard->refusal.text);
    loop_stop(guard->loop, err_exit_code(&guard->refusal));
}

int guard_opened(void *arg, struct db *db, struct err *err)
{
    struct guard *guard = arg;
    char server[EPOCH_SERVER_SIZE] = "";
    struct err why = {0};
    bool refused_before = guard->refusal.code != ERR_NONE;
    if (!refused_before && epoch_check(db, server, &why) != 0 && is_passing(&why))
        return err_set(err, why.code, "%s", why.text);
    if (!refused_before)
        judge(guard, server, &why);
    if (guard->refusal.code == ERR_NONE)
        return 0;
    if (!refused_before)
        refuse(guard);
    return err_set(err, ERR_AGAIN, "%s", guard->refusal.text);
}

int guard_connect(struct guard *guard, struct db *db, struct err *err)
{
    struct err away = {0};
    int r = db_connect(db, &away);
    guard->connected = true;
    if (guard->refusal.code != ERR_NONE)
        return err_set(err, guard->refusal.code, "%s", guard->refusal.text);
    if (r != 0)
        log_warn("ledger: %s", away.text);
    return 0;
}
