/* routes.h - which operation a request is for */
#ifndef TWINS_ROUTES_H
#define TWINS_ROUTES_H

#include <stdbool.h>

#include "call.h"

/* Sets call->route and call->args from its method and path; false if there is no such operation. */
bool routes_find(struct call *call);

#endif
