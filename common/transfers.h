/* transfers.h - libcurl's multi interface in our loop: its sockets, its timer, and who has ended
 *
 * For the two files that speak to libcurl (http.c, and mail.c of the providers).
 */
#ifndef ACQUIT_COMMON_TRANSFERS_H
#define ACQUIT_COMMON_TRANSFERS_H

#include <stdbool.h>

#include <curl/curl.h>

#include "common/loop.h"

struct transfers;

/* `ended` hears of each transfer that is over, which is still in the multi handle. It answers false when it has freed the transfers, or when no other can be
 * over: then nothing more is read. NULL when libcurl cannot start. */
struct transfers *transfers_new(struct loop *loop, bool (*ended)(void *arg, CURL *easy, CURLcode code), void *arg);
/* Closes what is still open. What is in the multi handle has to be taken out before. Accepts NULL. */
void transfers_free(struct transfers *transfers);

CURLM *transfers_multi(const struct transfers *transfers); /* for options, and to take transfers out */
/* A transfer that libcurl does not take is our bug and panics. */
void transfers_add(struct transfers *transfers, CURL *easy);

#endif
