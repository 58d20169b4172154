/* mutant.h - rules that the simulation takes out, one at a time, to see that it would notice (docs/simulation.md)
 *
 * MUTANT(NAME) stands where a rule is kept and is true only while the rule NAME is taken out. That is in objects made with -DACQUIT_MUTANTS alone, which only
 * the simulation links; everywhere else it is the constant false, and nothing of it is left in a program.
 */
#ifndef ACQUIT_COMMON_MUTANT_H
#define ACQUIT_COMMON_MUTANT_H

#include <stdbool.h>

#ifdef ACQUIT_MUTANTS
bool mutant_active(const char *name);
#define MUTANT(name) mutant_active(#name)
#else
#define MUTANT(name) false
#endif

#endif
