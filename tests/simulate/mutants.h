/* mutants.h - the rules that can be taken out */
#ifndef ACQUIT_TESTS_SIMULATE_MUTANTS_H
#define ACQUIT_TESTS_SIMULATE_MUTANTS_H

#include <stdbool.h>
#include <stddef.h>

struct mutant {
    const char *name, *law, *text;
};
size_t mutant_count(void);
const struct mutant *mutant_at(size_t i);
/* Takes this rule out, in what begins from now on; false: there is none of that name. */
bool mutant_activate(const char *name);
/* Only objects made for it ask (common/mutant.h). */
bool mutant_active(const char *name);

#ifdef ACQUIT_MUTANTS
enum { MUTANTS_MADE = 1 };
#else
enum { MUTANTS_MADE = 0 };
#endif

#endif
