/* saga_cli.c - the saga as a filter, for check_saga_model.py
 *
 * One line of JSON in: {"facts":[{"slot","outcome","body"}],"ask":[[type, n], ...]}. One line out:
 * {"state","public","next":[{"type","slot","rests":[slot]}],"wants":[bool]}, or {"error"}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/saga.h"

static void read_facts(const json_t *list, struct facts *ret)
{
    *ret = (struct facts){.count = json_array_size(list), .items = mem_new(json_array_size(list), sizeof(struct fact))};
    for (size_t i = 0; i < ret->count; i++) {
        const json_t *from = json_array_get(list, i);
        struct fact *fact = &ret->items[i];
        snprintf(fact->slot, sizeof fact->slot, "%s", json_text(from, "slot", ""));
        snprintf(fact->outcome, sizeof fact->outcome, "%s", json_text(from, "outcome", ""));
        fact->body = json_incref(json_object_get(from, "body"));
    }
}

static json_t *write_next(const struct payment *p)
{
    static struct next next;
    saga_next(p, &next);
    json_t *list = json_array();
    for (size_t i = 0; i < next.count; i++) {
        const struct follow_up *f = &next.items[i];
        json_t *rests = json_array();
        for (size_t r = 0; r < f->rest_count; r++)
            json_array_append_new(rests, json_string(f->rests[r]->slot));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "type", f->type, "slot", f->slot, "rests", rests));
    }
    return list;
}

static json_t *write_wants(const struct payment *p, const json_t *ask)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(ask); i++) {
        const json_t *question = json_array_get(ask, i);
        const char *type = json_string_value(json_array_get(question, 0));
        int n = (int)json_integer_value(json_array_get(question, 1));
        json_array_append_new(list, json_boolean(saga_wants(p, type ? type : "", n)));
    }
    return list;
}

static json_t *answer(const json_t *question)
{
    struct facts facts;
    struct payment p;
    struct err err = {0};
    json_t *ret;
    read_facts(json_object_get(question, "facts"), &facts);
    if (saga_fold(&facts, &p, &err))
        ret = json_pack("{s:s}", "error", err.text);
    else
        ret =
            json_pack("{s:s, s:s, s:o, s:o}", "state", saga_state_text(p.state), "public", public_state_text(p.public),
                      "next", write_next(&p), "wants", write_wants(&p, json_object_get(question, "ask")));
    payment_clear(&p);
    facts_clear(&facts);
    return ret;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, stdin)) > 0) {
        struct err err = {0};
        json_t *question = json_decode(line, (size_t)length, &err);
        if (!question) {
            fprintf(stderr, "saga_cli: %s\n", err.text);
            return EXIT_FAILURE;
        }
        json_t *said = answer(question);
        char *text = json_encode(said);
        puts(text);
        free(text);
        json_decref(said);
        json_decref(question);
    }
    free(line);
    return EXIT_SUCCESS;
}
