/* serve.h - what becomes of one call: its fault, its effect, and how its connection ends */
#ifndef TWINS_SERVE_H
#define TWINS_SERVE_H

#include <stdint.h>

#include "call.h"

enum ending_how {
    END_ANSWER, /* give the answer */
    END_SLOW,   /* give it drop by drop, over delay_ms */
    END_PART,   /* give its headers and half of its body, then cut the connection */
    END_TWICE,  /* give it, and once more unasked on the same connection */
    END_TURN,   /* give it after that to another request at this point, or after delay_ms */
    END_CUT,    /* cut the connection */
    END_SILENT, /* say nothing until the client leaves, at most delay_ms */
};

struct ending {
    enum ending_how how;
    int64_t delay_ms; /* wait this long first; END_SLOW, END_TURN and END_SILENT: see there */
};

/* Decides and does everything but the connection. A late effect takes the call: then *call is NULL after it, and the
 * ending a cut. */
struct ending serve(struct call **call);

/* To be called exactly once per served call that was not taken, when its connection has ended. `status` 0: cut. */
void serve_done(struct call *call, unsigned status);

/* The one lock around all books. */
void books_lock(void);
void books_unlock(void);

#endif
