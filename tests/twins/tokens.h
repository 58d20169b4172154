/* tokens.h - the token system (docs/provider-interfaces.md) */
#ifndef TWINS_TOKENS_H
#define TWINS_TOKENS_H

#include "call.h"

/* A NULL key lets everybody in. */
void tokens_configure(const char *key);

void tokens_open_reserve(struct call *call);
void tokens_effect_reserve(struct call *call);
void tokens_open_change(struct call *call); /* activate, release, retrieve */
void tokens_effect_activate(struct call *call);
void tokens_effect_release(struct call *call);
void tokens_effect_deactivate(struct call *call);
void tokens_effect_retrieve(struct call *call);

/* GET /_twin/books/tokens; NULL: all payments. */
json_t *tokens_books(const char *payment);
/* POST /_twin/books/tokens: the books say something else from now on. */
void tokens_rewrite(struct call *call);

/* Replay of the state file. */
bool tokens_apply(const json_t *record);

#endif
