/* published.h - a publisher's own list of what the broker confirmed to it, line by line
 *
 * A line is a JSON object {"id","type","day","publisher"}, or the same as comma-separated values, id,type,day,publisher;
 * the publisher may be left out where the caller names one. `id` is the message id, `day` the UTC day of the publish. A
 * first line that begins with "id," is a heading. Foreign bytes: this is their only decoder.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_PUBLISHED_H
#define ACQUIT_WORKERS_OPERATOR_PUBLISHED_H

#include <stdio.h>

#include "common/err.h"
#include "common/ids.h"
#include "queues/envelope.h"

enum { PUBLISHED_LINE_MAX = 4096 /* bytes */, DAY_SIZE = 11 };

struct published {
    char id[MESSAGE_ID_MAX + 1], publisher[PUBLISHER_MAX + 1], day[DAY_SIZE];
    const struct command_type *type; /* a public one */
    struct uuid command;             /* what the id becomes (L10) */
};

/* The next line that says something; blank ones and the heading are skipped. `publisher`: for lines that name none; may
 * be NULL. *line counts lines. 1: *ret holds it, 0: the end, -1: ERR_INVALID with the number of the line and what is
 * wrong in it. */
int published_next(FILE *file, const char *publisher, size_t *line, struct published *ret, struct err *err) MUST_CHECK;

#endif
