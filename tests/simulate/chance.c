/* chance.c - everything that is left to chance, from one seed */
#include <stdarg.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/simulate/simulate.h"

static uint64_t state;
static int happened;

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t next(void)
{
    return mix(state += 0x9e3779b97f4a7c15u);
}

void chance_start(const struct scenario *what)
{
    scenario = what;
    state = mix(what->seed + 0x9e3779b97f4a7c15u);
    happened = 0;
}

uint64_t chance_below(uint64_t below)
{
    return below < 2 ? 0 : next() % below;
}

int64_t chance_between(int64_t least, int64_t most)
{
    return least + (int64_t)chance_below((uint64_t)(most - least) + 1);
}

bool chance_per_mille(int per_mille)
{
    return chance_below(1000) < (uint64_t)per_mille;
}

uint64_t chance_of_payment(int payment, int what, uint64_t below)
{
    return mix(scenario->seed + mix(((uint64_t)payment << 32) + (uint64_t)what + 1)) % below;
}

enum world_kind world_kind(void)
{
    static const enum world_kind kinds[] = {WORLD_CALM,  WORLD_LOSSLESS, WORLD_LOSSLESS, WORLD_ROUGH,
                                            WORLD_ROUGH, WORLD_ROUGH,    WORLD_ROUGH,    WORLD_ROUGH};
    return kinds[scenario->seed % (sizeof kinds / sizeof *kinds)];
}

bool fault(enum fault_kind kind, int per_mille)
{
    static const char *const texts[] = {
#define X(id, text) text,
        FAULTS(X)
#undef X
    };
    bool loses = kind == CHANCE_WIPED_BROKER || kind == CHANCE_WIPED_QUEUE;
    if (world_kind() == WORLD_CALM || (loses && world_kind() == WORLD_LOSSLESS) || !in_trouble() ||
        !chance_per_mille(per_mille) || !(scenario->faults & 1U << kind) || happened >= scenario->faults_before)
        return false;
    happened++;
    coverage.faults[kind]++;
    story("FAULT %s", texts[kind]);
    return true;
}

int faults_happened(void)
{
    return happened;
}

/* What policy.c makes its jitter of (common/clock.h). */
uint64_t clock_random(uint64_t below)
{
    return chance_below(below);
}

void story(const char *fmt, ...)
{
    if (!scenario->tell)
        return;
    va_list args;
    va_start(args, fmt);
    printf("%11.6f  %-17s ", (double)now_us / 1e6, process_here() ? process_name(process_here()) : "");
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}
