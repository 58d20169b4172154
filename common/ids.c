/* ids.c - payment ids, command ids, and the recipe behind them */
#include "common/ids.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/log.h"
#include "common/mem.h"

static const uint8_t namespace[16] = {0x5a, 0x0d, 0x7f, 0x1e, 0xac, 0x90, 0x81, 0x74,
                                      0x9c, 0x41, 0x61, 0x63, 0x71, 0x75, 0x69, 0x74};

#define PUBLIC_PREFIX "tx_"

enum { PARTS_MAX = 4, UUID_BYTES = 16 };

static struct uuid with_version(const uint8_t *bytes, int version)
{
    struct uuid u;
    memcpy(u.bytes, bytes, sizeof u.bytes);
    u.bytes[6] = (uint8_t)((u.bytes[6] & 0x0f) | version << 4);
    u.bytes[8] = (uint8_t)((u.bytes[8] & 0x3f) | 0x80);
    return u;
}

/* The id of the name that the parts, joined by '\n', make; NULL ends them. A '\n' inside a part would let two things
 * share a name: whoever takes parts from outside refuses control characters long before, so one here is our bug. */
static struct uuid derive(const char *const *parts)
{
    size_t size = 0;
    for (int i = 0; parts[i]; i++) {
        if (strchr(parts[i], '\n'))
            log_panic("a part of an id's name contains a line break");
        size += strlen(parts[i]) + 1;
    }
    char *name = mem_new(size + 1, 1), *end = name;
    for (int i = 0; parts[i]; i++) {
        if (i)
            *end++ = '\n';
        end = stpcpy(end, parts[i]);
    }
    uint8_t digest[SHA256_SIZE];
    sha256_two(namespace, sizeof namespace, name, (size_t)(end - name), digest);
    free(name);
    return with_version(digest, 8);
}

struct uuid uuid_payment(const char *publisher, const char *message_id)
{
    return derive((const char *const[PARTS_MAX + 1]){"payment", publisher, message_id});
}

struct uuid uuid_command(const char *type, const char *publisher, const char *message_id)
{
    return derive((const char *const[PARTS_MAX + 1]){"command", type, publisher, message_id});
}

struct uuid uuid_follow_up(struct uuid payment, const char *type, const char *slot)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment, id);
    return derive((const char *const[PARTS_MAX + 1]){"follow-up", id, type, slot});
}

struct uuid uuid_random(void)
{
    uint8_t bytes[UUID_BYTES];
    crypto_random(bytes, sizeof bytes);
    return with_version(bytes, 4);
}

bool uuid_equal(struct uuid a, struct uuid b)
{
    return uuid_compare(a, b) == 0;
}

int uuid_compare(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes);
}

bool uuid_is_nil(struct uuid u)
{
    return uuid_equal(u, (struct uuid){0});
}

void uuid_format(struct uuid u, char ret[static UUID_TEXT_SIZE])
{
    static const size_t groups[] = {4, 2, 2, 2, 6}; /* bytes */
    const uint8_t *from = u.bytes;
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        if (g)
            *ret++ = '-';
        hex_encode(from, groups[g], ret);
        from += groups[g];
        ret += 2 * groups[g];
    }
}

int uuid_parse(const char *text, struct uuid *ret)
{
    if (strlen(text) != UUID_TEXT_SIZE - 1)
        return -1;
    char digits[2 * UUID_BYTES + 1];
    size_t n = 0;
    for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-'))
            return -1;
        if (!dash)
            digits[n++] = text[i];
    }
    digits[n] = '\0';
    return hex_decode(digits, ret->bytes, sizeof ret->bytes);
}

void public_id_format(struct uuid u, char ret[static PUBLIC_ID_SIZE])
{
    char *digits = stpcpy(ret, PUBLIC_PREFIX);
    hex_encode(u.bytes, sizeof u.bytes, digits);
}

int public_id_parse(const char *text, struct uuid *ret)
{
    if (strncmp(text, PUBLIC_PREFIX, sizeof PUBLIC_PREFIX - 1) == 0)
        return hex_decode(text + sizeof PUBLIC_PREFIX - 1, ret->bytes, sizeof ret->bytes);
    return uuid_parse(text, ret);
}
