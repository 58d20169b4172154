/* verify_views.c - are the projections of schema view what the facts give? (ledger/projection.h) */
#include <inttypes.h>
#include <stdio.h>

#include "ledger/projection.h"
#include "ledger/verify_internal.h"

static void on_fault(void *arg, const struct projection_fault *fault)
{
    struct verify *verify = arg;
    const struct verify_place place = {.payment = fault->payment, .block = -1};
    const char *space = *fault->row ? " " : "";
    if (!*fault->column)
        verify_fault(verify, VERIFY_PROJECTION, place, "view.%s%s%s %s", fault->table, space, fault->row,
                     fault->stored ? "has a row that the facts do not give" : "lacks its row");
    else
        verify_fault(verify, VERIFY_PROJECTION, place, "view.%s%s%s has %s %s, but the facts give %s", fault->table,
                     space, fault->row, fault->column, fault->stored ? fault->stored : "null",
                     fault->given ? fault->given : "null");
}

static void on_progress(void *arg, int64_t payments)
{
    verify_progress(arg, "projections", payments);
}

int verify_views(struct verify *verify, struct err *err)
{
    struct projection_result result;
    char since_xid[VERIFY_NUMBER_SIZE];
    snprintf(since_xid, sizeof since_xid, "%" PRIu64, verify->since.xid);
    const struct projection_check check = {.db = verify->db,
                                           .since_xid = verify->options->since < 0 ? NULL : since_xid,
                                           .fault = on_fault,
                                           .progress = on_progress,
                                           .arg = verify};
    verify_progress(verify, "projections", 0);
    int r = projection_check(&check, &result, err);
    verify->result->unprojected = r == 0 ? result.behind : 0;
    return r;
}
