/* map_keep.h - the sorted map as the sealer keeps it: found as it was left, or built anew beside the sealing, then refreshed for one head after another
 *
 * In memory stands the tree above the parts (some 50 bytes for a hundred payments); what it says is believed of no kept part, but compared. When
 * it is begun, the parts that are kept are those of the map that the last head states, as their root tells; if not, all are thrown away and built
 * from the leaves, some thousand at a time, while blocks go on being sealed. Their heads state the map as it was, or none.
 *
 * While it is built, or follows what was sealed meanwhile, parts are as new as their last look at the leaves; only the last step, which leaves no
 * payment out that has a later leaf, makes one map of them.
 */
#ifndef ACQUIT_LEDGER_MAP_KEEP_H
#define ACQUIT_LEDGER_MAP_KEEP_H

#include "ledger/map_store.h"

enum { MAP_FOLLOW_LEAVES = 32768 /* in one step, or one refresh */ };

struct map_keep;
struct map_keep *map_keep_new(struct db *db); /* borrowed; role acquit_sealer */
void map_keep_free(struct map_keep *keep);    /* accepts NULL */
/* What it knows may be wrong: it begins again, with what is kept if that is what the last head states. Also after any error of the others; if a
 * kept part was not what it should be (ERR_CONFLICT), with nothing. */
void map_keep_reset(struct map_keep *keep);

/* One step towards map_keep_refresh(), of a ledger of `size` sealed leaves whose last head states `stated`. 1: there are more steps; 0: it is
 * ready; -1 with an error, and it begins again. */
int map_keep_step(struct map_keep *keep, const struct map_line *stated, uint64_t size, struct err *err) MUST_CHECK;

/* The map of the first `size` leaves, which are all that are sealed, at most MAP_FOLLOW_LEAVES more than those of the map before. What it changes
 * has to be kept by the transaction that states *ret_line, with map_keep_statements(). */
int map_keep_refresh(struct map_keep *keep, uint64_t size, struct map_line *ret_line, struct err *err) MUST_CHECK;
/* What keeps it: returns how many. They stand until map_keep_written() says that this was done, or map_keep_reset(). */
size_t map_keep_statements(const struct map_keep *keep, struct db_statement ret[static MAP_STATEMENTS]);
void map_keep_written(struct map_keep *keep);
/* Leaves that the map has, once it is ready. */
uint64_t map_keep_size(const struct map_keep *keep);

#endif
