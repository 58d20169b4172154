/* callbacks.h - votes that a validator sends later, over HTTP */
#ifndef TWINS_CALLBACKS_H
#define TWINS_CALLBACKS_H

#include <stdint.h>

#include <jansson.h>

/* POSTs the vote to `url` after delay_ms, and again every LIMIT_CALLBACK_AGAIN_MS until it is taken, or refused with a 4xx, at
 * most LIMIT_CALLBACK_TRIES times. Takes the vote over. Too many at once: it is never sent. */
void callbacks_send(const char *url, json_t *vote, int64_t delay_ms);

/* Waits for the one under way; the others are never sent. */
void callbacks_stop(void);

#endif
