/* schema_probe.c - bodies against a schema, one JSON text a line; driven by test_schema_agreement.py
 *
 *     schema_probe payment.create.json < BODIES
 *
 * Answers each line with "valid", or "invalid" and why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "queues/envelope.h"

static void answer(const char *schema, const char *text, size_t size)
{
    struct err err = {0};
    json_t *body = json_decode(text, size, &err);
    if (body && schema_check(schema, body, NULL, &err) == 0)
        puts("valid");
    else
        printf("invalid %s\n", err.text);
    json_decref(body);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t capacity = 0;
    log_open("schema_probe", LOG_INFO_LEVEL);
    if (argc != 2) {
        fprintf(stderr, "usage: schema_probe SCHEMA < BODIES\n");
        return 2;
    }
    for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;)
        answer(argv[1], line, line[size - 1] == '\n' ? (size_t)size - 1 : (size_t)size);
    free(line);
    return 0;
}
