/* validators.h - the proof-of-purchase validators (docs/provider-interfaces.md), N of them in one program */
#ifndef TWINS_VALIDATORS_H
#define TWINS_VALIDATORS_H

#include "call.h"

/* A NULL key lets everybody in. */
void validators_configure(const char *key);

void validators_open_validate(struct call *call);
void validators_effect_validate(struct call *call);
void validators_open_commit(struct call *call);
void validators_effect_commit(struct call *call);
void validators_open_revoke(struct call *call);
void validators_effect_revoke(struct call *call);
void validators_open_retrieve(struct call *call);
void validators_effect_retrieve(struct call *call);

/* GET /_twin/books/validators; NULL: all payments. */
json_t *validators_books(const char *payment);
/* POST /_twin/books/validators: the books of one of them say something else from now on. */
void validators_rewrite(struct call *call);

/* Replay of the state file. */
bool validators_apply(const json_t *record);

#endif
