/* auth.c - which publisher an API key belongs to */
#include "workers/ingress/auth.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/mem.h"
#include "workers/ingress/params.h"

struct key {
    const struct publisher_config *publisher;
    uint8_t sha256[SHA256_SIZE];
};

struct auth {
    size_t count;
    struct key keys[CONFIG_PUBLISHERS_MAX];
};

struct auth *auth_new(const struct config *config, struct err *err)
{
    struct auth *auth = mem_new(1, sizeof *auth);
    for (size_t i = 0; i < config_publisher_count(config); i++) {
        const struct publisher_config *publisher = config_publisher(config, i);
        if (!*publisher->api_key_sha256)
            continue; /* no HTTP access */
        struct key *key = &auth->keys[auth->count++];
        key->publisher = publisher;
        if (hex_decode(publisher->api_key_sha256, key->sha256, SHA256_SIZE) < 0) {
            err_set(err, ERR_CONFIG, "publisher %s: api_key_sha256 must be 64 hex digits, as `sha256sum` prints them",
                    publisher->name);
            auth_free(auth);
            return NULL;
        }
    }
    return auth;
}

void auth_free(struct auth *auth)
{
    free(auth);
}

const struct publisher_config *auth_publisher(const struct auth *auth, const char *authorization)
{
    const char *given = params_bearer(authorization);
    if (!given)
        return NULL;
    uint8_t hash[SHA256_SIZE];
    sha256(given, strlen(given), hash);
    const struct publisher_config *found = NULL;
    for (size_t i = 0; i < auth->count; i++)
        if (crypto_equal(auth->keys[i].sha256, hash, SHA256_SIZE))
            found = auth->keys[i].publisher;
    return found;
}
