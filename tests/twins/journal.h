/* journal.h - the state file: what survives a restart of the twins
 *
 * One line of JSON per effect: an array of records {"t":type, ...}. All records of one effect are in one line written
 * by one write(2), so that a killed twin has an effect wholly (with the idempotency key it was made under) or not at
 * all. All functions are called under the books' lock, except journal_open.
 */
#ifndef TWINS_JOURNAL_H
#define TWINS_JOURNAL_H

#include <stdbool.h>

#include <jansson.h>

/* One record type: how a record read back changes the books. False: the record makes no sense. */
struct journal_type {
    const char *name;
    bool (*apply)(const json_t *record);
};

/* Replays the file if it is there, then appends to it. The types end with a NULL name. False: reported on stderr. */
bool journal_open(const char *path, const struct journal_type *types);

/* Is there a state file? If not, records need not be made. */
bool journal_on(void);

/* Adds a record (taken) to the effect under way; journal_flush writes them. Ends the program if the file cannot be
 * written. */
void journal_note(json_t *record);
void journal_flush(void);

#endif
