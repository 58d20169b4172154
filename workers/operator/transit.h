/* transit.h - are the transit accounts back at zero in time? From what transit_read() says, and the limits of the settings (pure) */
#ifndef ACQUIT_WORKERS_OPERATOR_TRANSIT_H
#define ACQUIT_WORKERS_OPERATOR_TRANSIT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* The value of a setting of the chart, in milliseconds. */
typedef int64_t transit_limit(const void *arg, const char *setting);

/* Puts "limitMs" and "over" to each row of transit_read(): over is an account whose oldest item is older than its limit. Returns how many are
 * over. */
size_t transit_judge(json_t *rows, transit_limit *limit, const void *arg);

void transit_print(const json_t *rows, FILE *out);

enum { AGE_TEXT_MAX = 32 };
/* "3 d 4 h", "12 min 5 s", "850 ms"; "-" for less than none. Returns ret. */
const char *age_text(int64_t ms, char ret[static AGE_TEXT_MAX]);

#endif
