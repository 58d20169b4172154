/* http.h - the HTTP server of the twins, on 127.0.0.1 */
#ifndef TWINS_HTTP_H
#define TWINS_HTTP_H

#include <stdbool.h>
#include <stdint.h>

/* Listens; port 0 takes a free one. Returns the port, or 0 (reported on stderr). */
uint16_t http_start(uint16_t port);

/* Cuts what is under way and stops. */
void http_stop(void);

#endif
