/* verify_nodes.c - the roots of subtrees that are kept, against those that the leaves have
 *
 * Both come in the order in which a growing tree has them: by the leaf that completes the subtree, then by level. So each is compared with one
 * look, and what is missing or too many is told where it is.
 */
#include <inttypes.h>
#include <string.h>

#include "ledger/verify_internal.h"

enum { NODE_STEP = 4 };

static int next(struct nodes *nodes, struct err *err)
{
    struct db_row row;
    int r = db_stream_next(nodes->db, &row, err);
    nodes->more = r == 1;
    if (r != 1)
        return r;
    nodes->next.level = (int)db_take_int(&row, 2);
    nodes->next.position = db_take_int(&row, 8);
    nodes->next.hash = db_take_text(&row);
    return db_row_good(&row) ? 0 : err_set(err, ERR_INTERNAL, "a node cannot be read");
}

int nodes_begin(struct nodes *nodes, struct verify *verify, uint64_t from, struct err *err)
{
    char sql[256];
    *nodes = (struct nodes){.verify = verify, .db = verify_connect(verify, err)};
    snprintf(sql, sizeof sql,
             "select level, position, hash from ledger.seal_node where level >= 48 or position >= %" PRIu64
             "::bigint >> level order by (position + 1) << level, level",
             from);
    return nodes->db && db_stream(nodes->db, sql, err) == 0 ? next(nodes, err) : -1;
}

void nodes_free(struct nodes *nodes)
{
    db_free(nodes->db);
    nodes->db = NULL;
}

/* As the server says it. */
static int64_t completed_by(int level, int64_t position)
{
    return (int64_t)(((uint64_t)position + 1) << (level & 63));
}

static bool stands_before(const struct nodes *nodes, int level, int64_t position)
{
    int64_t a = completed_by(nodes->next.level, nodes->next.position), b = completed_by(level, position);
    return a < b || (a == b && nodes->next.level < level);
}

static int tell_added(struct nodes *nodes, struct err *err)
{
    verify_fault(nodes->verify, VERIFY_NODE, NOWHERE, "node %" PRId64 " of level %d is of no leaves that are there",
                 nodes->next.position, nodes->next.level);
    return next(nodes, err);
}

int nodes_compare(struct nodes *nodes, int level, uint64_t position, const struct hash *root, struct err *err)
{
    if (level == 0 || level % NODE_STEP != 0)
        return 0;
    while (nodes->more && stands_before(nodes, level, (int64_t)position))
        if (tell_added(nodes, err) != 0)
            return -1;
    bool there = nodes->more && nodes->next.level == level && nodes->next.position == (int64_t)position;
    bool same = there && nodes->next.hash.size == sizeof root->bytes &&
                memcmp(nodes->next.hash.data, root->bytes, sizeof root->bytes) == 0;
    if (!same)
        verify_fault(nodes->verify, VERIFY_NODE, NOWHERE, "node %" PRIu64 " of level %d %s", position, level,
                     there ? "is not that of its leaves" : "is not there");
    return there ? next(nodes, err) : 0;
}

int nodes_end(struct nodes *nodes, struct err *err)
{
    while (nodes->more)
        if (tell_added(nodes, err) != 0)
            return -1;
    return 0;
}
