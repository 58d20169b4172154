/* loop.h - the event loop of a process: sockets, timers, signals, watchdog
 *
 * A thin layer over sd-event (libsystemd), so that the simulation can drive the same code with a loop of its own.
 * Single-threaded: callbacks run one at a time from loop_run() and must not block longer than LOOP_TURN_MAX_MS.
 */
#ifndef ACQUIT_COMMON_LOOP_H
#define ACQUIT_COMMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { LOOP_TURN_MAX_MS = 5000 };
enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop;
struct loop_source; /* one registered interest */

struct loop *loop_new(struct err *err) MUST_CHECK;
void loop_free(struct loop *loop); /* frees sources that are left; accepts NULL */

/* Runs until loop_stop(); returns its code. */
int loop_run(struct loop *loop);
/* One turn: waits at most timeout_ms for something to happen and runs what is due. */
int loop_turn(struct loop *loop, int timeout_ms) MUST_CHECK;
void loop_stop(struct loop *loop, int code);

/* Calls fn when the descriptor is ready. The descriptor stays the caller's. */
struct loop_source *loop_io(struct loop *loop, int fd, int events, void (*fn)(void *arg, int events), void *arg);
void loop_io_events(struct loop_source *source, int events);

/* Calls fn once, in `delay_ms` from now (0: in the next turn). Setting it again re-arms it; a fired timer stays
 * allocated. */
struct loop_source *loop_timer(struct loop *loop, int64_t delay_ms, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_source *source, int64_t delay_ms); /* negative: disarm */

/* Blocks the signal and calls fn from the loop when it comes. */
int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg) MUST_CHECK;

/* Unregisters and frees; accepts NULL. Allowed from inside its own callback. */
void loop_source_free(struct loop_source *source);

/* Tells systemd "READY=1" etc. A no-op outside systemd. The watchdog is served by the loop itself while `healthy`
 * answers true. */
void loop_notify(const char *state);
int loop_watchdog(struct loop *loop, bool (*healthy)(void *arg), void *arg) MUST_CHECK;

#endif
