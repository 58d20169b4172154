/* ids.h - payment ids, command ids, and the recipe behind them
 *
 * Every id is a UUID of version 8 (RFC 9562, 5.8, in the manner of its appendix B.2): the first 16 bytes of
 * SHA-256(namespace || name), with version and variant bits set. The namespace is the 16 bytes of
 * 5a0d7f1e-ac90-8174-9c41-616371756974. A name is lines joined by '\n', which no part may contain:
 *
 *     payment        "payment\n" publisher "\n" message_id
 *     root command   "command\n" type "\n" publisher "\n" message_id
 *     follow-up      "follow-up\n" payment_id "\n" type "\n" slot
 *
 * docs/ids.md has the recipe for app developers; tests/unit/vectors hold what C, Python and JavaScript must all
 * reproduce.
 */
#ifndef ACQUIT_COMMON_IDS_H
#define ACQUIT_COMMON_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct uuid {
    uint8_t bytes[16];
};

enum {
    UUID_TEXT_SIZE = 37, /* 36 characters and NUL */
    PUBLIC_ID_SIZE = 36, /* "tx_" + 32 hex digits and NUL */
};

struct uuid uuid_payment(const char *publisher, const char *message_id);
struct uuid uuid_command(const char *type, const char *publisher, const char *message_id);
struct uuid uuid_follow_up(struct uuid payment, const char *type, const char *slot);
/* Random (version 4), for things that nobody must be able to predict or repeat. */
struct uuid uuid_random(void);

bool uuid_equal(struct uuid a, struct uuid b);
int uuid_compare(struct uuid a, struct uuid b); /* memcmp order, which is PostgreSQL's order of uuid */
bool uuid_is_nil(struct uuid u);

void uuid_format(struct uuid u, char ret[static UUID_TEXT_SIZE]);
/* Lower or upper case, with dashes in the usual places only. */
int uuid_parse(const char *text, struct uuid *ret) MUST_CHECK;

void public_id_format(struct uuid u, char ret[static PUBLIC_ID_SIZE]);
/* Accepts `tx_` + 32 hex digits and the plain UUID. */
int public_id_parse(const char *text, struct uuid *ret) MUST_CHECK;

#endif
