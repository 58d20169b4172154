/* world.h - one scenario from its beginning to its judgement */
#ifndef ACQUIT_TESTS_SIMULATE_WORLD_H
#define ACQUIT_TESTS_SIMULATE_WORLD_H

#include "tests/simulate/simulate.h"

enum { WRONG_SIZE = 1024 };

/* True when all was as it must be; else *ret_wrong says what was not. What it reached is added to `coverage`. */
bool world_run(const struct scenario *what, char ret_wrong[static WRONG_SIZE]);

#endif
