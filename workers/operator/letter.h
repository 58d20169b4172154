/* letter.h - one dead letter, for `dlq show`, `dlq replay` and `dlq discard` */
#ifndef ACQUIT_WORKERS_OPERATOR_LETTER_H
#define ACQUIT_WORKERS_OPERATOR_LETTER_H

#include "workers/operator/operator.h"
#include "workers/operator/replay.h"

/* The dead letter with this id, as read_dead_letter(). */
json_t *letter_read(struct op *op, const char *text, struct err *err) MUST_CHECK;
/* What sending or discarding it would do, by the facts of its payment. */
int letter_outlook(struct op *op, const json_t *letter, struct outlook *ret, struct err *err) MUST_CHECK;

#endif
