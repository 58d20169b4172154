/* evidence.h - what a person shows for a word on a payment: a text, or a file */
#ifndef ACQUIT_WORKERS_OPERATOR_EVIDENCE_H
#define ACQUIT_WORKERS_OPERATOR_EVIDENCE_H

#include <jansson.h>

#include "common/err.h"

enum {
    EVIDENCE_TEXT_MAX = 4000,             /* bytes of it that the ledger keeps */
    EVIDENCE_FILE_MAX = 16 * 1024 * 1024, /* bytes of a file */
    EVIDENCE_NAME_MAX = 200,
};

/* Sets "evidenceSha256" (of all of it), "evidence" (its text, or the first EVIDENCE_TEXT_MAX bytes; none when it is no
 * UTF-8 text) and, of a file, "evidenceName" in `body`. `given` is a text, or @ and a file's name. ERR_INVALID when it is
 * empty, too large, cannot be read, or holds what looks like a card number anywhere (L11). */
int evidence_read(const char *given, json_t *body, struct err *err) MUST_CHECK;

#endif
