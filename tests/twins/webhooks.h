/* webhooks.h - a merchant who receives webhooks in the form of Standard Webhooks */
#ifndef TWINS_WEBHOOKS_H
#define TWINS_WEBHOOKS_H

#include "call.h"

/* "whsec_" and base64; NULL: signatures are not checked. False: not such a secret. */
bool webhooks_configure(const char *secret);

void webhooks_open(struct call *call);
void webhooks_effect(struct call *call);

/* GET /_twin/books/webhooks; NULL: all payments. */
json_t *webhooks_books(const char *payment);

/* Replay of the state file. */
bool webhooks_apply(const json_t *record);
bool webhooks_apply_attempt(const json_t *record);

#endif
