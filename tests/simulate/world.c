/* world.c - one scenario from its beginning to its judgement */
#include <stdio.h>
#include <string.h>

#include "tests/simulate/world.h"

enum { REST_LOOKED_FOR_S = 15, OVER_AFTER_H = 30, EVENTS_MOST = 1000000 };

enum { LETTERS_MOST = 400 }; /* more than anybody could deal with: something sends them in a circle */

static bool at_rest;

/* Nothing is under way, nothing waits, everything has ended. */
static void look_for_rest(void *arg)
{
    (void)arg;
    at_rest = world_idle() && broker_empty() && oracle_all_ended() && actors_desk_clear();
    later((int64_t)REST_LOOKED_FOR_S * 1000000, false, look_for_rest, NULL);
}

static bool is_at_rest(void)
{
    return at_rest || database_letter_count() > LETTERS_MOST;
}

static void begin(const struct scenario *what)
{
    at_rest = false;
    chance_start(what);
    schedule_start();
    database_start();
    broker_start();
    gateway_start();
    purchase_start();
    oracle_start();
    actors_start();
    farm_start();
    later((int64_t)REST_LOOKED_FOR_S * 1000000, false, look_for_rest, NULL);
}

static void end(void)
{
    schedule_end();
    broker_end();
    gateway_end();
    purchase_end();
    database_end();
}

bool world_run(const struct scenario *what, char ret_wrong[static WRONG_SIZE])
{
    begin(what);
    bool rested = schedule_run(is_at_rest, (int64_t)OVER_AFTER_H * 3600 * 1000000, EVENTS_MOST);
    const char *wrong = oracle_judge();
    snprintf(ret_wrong, WRONG_SIZE, "%s", wrong ? wrong : rested ? "" : "the world does not come to rest");
    coverage.worlds++;
    end();
    return !*ret_wrong;
}
