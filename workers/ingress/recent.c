/* recent.c - what this process has accepted and the ledger may not show yet */
#include "workers/ingress/recent.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct recent {
    struct accepted sets[RECENT_SETS][RECENT_WAYS];
};

struct recent *recent_new(void)
{
    return mem_new(1, sizeof(struct recent));
}

void recent_free(struct recent *recent)
{
    free(recent);
}

static size_t set_of(struct uuid id)
{
    uint32_t bits;
    memcpy(&bits, id.bytes, sizeof bits);
    return bits % RECENT_SETS;
}

void recent_add(struct recent *recent, const struct accepted *accepted)
{
    struct accepted *set = recent->sets[set_of(accepted->id)];
    struct accepted *place = &set[0];
    for (int i = 0; i < RECENT_WAYS; i++) {
        if (uuid_equal(set[i].id, accepted->id)) {
            place = &set[i];
            break;
        }
        if (set[i].at_ms < place->at_ms)
            place = &set[i];
    }
    *place = *accepted;
}

const struct accepted *recent_find(const struct recent *recent, struct uuid id,
                                   const struct publisher_config *publisher)
{
    const struct accepted *set = recent->sets[set_of(id)];
    for (int i = 0; i < RECENT_WAYS; i++)
        if (set[i].publisher == publisher && uuid_equal(set[i].id, id))
            return &set[i];
    return NULL;
}
