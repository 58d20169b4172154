/* stripe_lists.c - PaymentIntents: list and search
 *
 * List: https://docs.stripe.com/api/payment_intents/list. Search:
 * https://docs.stripe.com/search#search-query-language, here with the fields metadata["key"], status, currency,
 * amount and created, the operators : > >= < <=, negation by -, and AND or OR between clauses (not both). What the
 * twin does not know is refused, not ignored. Real search is behind by up to a minute; here only under the fault
 * "lag".
 */
#include "stripe_lists.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "stripe_answers.h"
#include "stripe_wire.h"

/* ---- list ---- */

static const char *const list_parameters[] = {
    "limit", "starting_after", "ending_before", "created", "customer", "expand", NULL};

struct window {
    int64_t limit, from, to; /* `created` within [from, to], Unix seconds */
    const struct intent *after, *before;
    unsigned expand;
};

/* created=, created[gte]= and so on, as an inclusive range */
static bool read_created(struct call *call, struct window *w)
{
    int64_t exactly = -1;
    int64_t more = w->from - 1;
    int64_t less = w->to;
    if (!stripe_integer(call, "created", 0, INT32_MAX, &exactly) ||
        !stripe_integer(call, "created[gt]", 0, INT32_MAX, &more) ||
        !stripe_integer(call, "created[lt]", 0, INT32_MAX, &less) ||
        !stripe_integer(call, "created[gte]", 0, INT32_MAX, &w->from) ||
        !stripe_integer(call, "created[lte]", 0, INT32_MAX, &w->to))
        return false;
    if (more >= w->from)
        w->from = more + 1;
    if (form_get(&call->form, "created[lt]") && less <= w->to)
        w->to = less - 1;
    if (exactly >= 0)
        w->from = w->to = exactly;
    return true;
}

static bool read_cursor(struct call *call, const char *name, const struct intent **ret)
{
    const char *id = form_get(&call->form, name);
    *ret = id ? intent_find(id) : NULL;
    if (!id || *ret)
        return true;
    stripe_refuse_missing(call, 400, "payment_intent", id, name);
    return false;
}

static bool read_window(struct call *call, struct window *w)
{
    *w = (struct window){.from = 0, .to = INT32_MAX};
    return stripe_limit(call, &w->limit) && read_created(call, w) && read_cursor(call, "starting_after", &w->after) &&
           read_cursor(call, "ending_before", &w->before) && stripe_expand(call, "data.", &w->expand);
}

void stripe_open_list(struct call *call)
{
    struct window window;
    if (stripe_enter(call, list_parameters))
        read_window(call, &window);
}

static bool in_window(const struct window *w, const struct intent *intent)
{
    int64_t created = intent->created_ms / 1000;
    return created >= w->from && created <= w->to;
}

static json_t *list_answer(const char *object, const char *url, bool more, json_t *data)
{
    return json_pack("{s:s, s:s, s:b, s:o}", "object", object, "url", url, "has_more", (int)more, "data", data);
}

/* Newest first; before a cursor it is walked upwards and turned round. */
void stripe_effect_list(struct call *call)
{
    struct window w;
    json_t *data = json_array();
    bool more = false;
    if (!read_window(call, &w)) {
        json_decref(data);
        return;
    }
    bool up = w.before != NULL;
    bool customers = form_get(&call->form, "customer") != NULL; /* the twin's intents have none */
    size_t start = up ? w.before->index + 1 : w.after ? w.after->index : intent_count();
    size_t steps = customers || call->fault.kind == FAULT_DECLINE ? 0 : up ? intent_count() - start : start;
    for (size_t i = 0; i < steps && !more; i++) {
        struct intent *intent = intent_at(up ? start + i : start - 1 - i);
        if (!in_window(&w, intent))
            continue;
        more = json_array_size(data) == (size_t)w.limit;
        if (!more && up)
            json_array_insert_new(data, 0, wire_intent(intent, w.expand));
        else if (!more)
            json_array_append_new(data, wire_intent(intent, w.expand));
    }
    answer_json(call, 200, list_answer("list", "/v1/payment_intents", more, data));
}

/* ---- search: the query ---- */

enum { MAX_CLAUSES = 10, FIELD_SIZE = 64, VALUE_SIZE = 512 };

enum field { FIELD_METADATA, FIELD_STATUS, FIELD_CURRENCY, FIELD_AMOUNT, FIELD_CREATED };
enum comparison { IS, MORE, MORE_OR_IS, LESS, LESS_OR_IS };

struct clause {
    enum field field;
    enum comparison comparison;
    bool negated;
    char key[FIELD_SIZE]; /* of metadata */
    char value[VALUE_SIZE];
    int64_t number; /* of amount and created */
};

struct query {
    struct clause clauses[MAX_CLAUSES];
    size_t count;
    bool any; /* OR */
};

static void skip_spaces(const char **at)
{
    while (**at == ' ')
        (*at)++;
}

static bool take(const char **at, const char *text)
{
    if (!text_starts(*at, text))
        return false;
    *at += strlen(text);
    return true;
}

/* 'text' or "text", with \ before a quote inside. */
static bool take_quoted(const char **at, char *to, size_t size)
{
    char quote = **at;
    size_t length = 0;
    if (quote != '\'' && quote != '"')
        return false;
    for ((*at)++; **at && **at != quote; (*at)++) {
        if (**at == '\\' && (*at)[1])
            (*at)++;
        if (length + 1 >= size)
            return false;
        to[length++] = **at;
    }
    to[length] = '\0';
    return *(*at) == quote && (*at)++;
}

/* A value that is not quoted: up to a space. */
static bool take_word(const char **at, char *to, size_t size)
{
    size_t length = strcspn(*at, " ");
    if (!length || length >= size)
        return false;
    memcpy(to, *at, length);
    to[length] = '\0';
    *at += length;
    return true;
}

static bool take_field(const char **at, struct clause *c)
{
    static const struct {
        const char *name;
        enum field field;
    } plain[] = {
        {"status", FIELD_STATUS}, {"currency", FIELD_CURRENCY}, {"amount", FIELD_AMOUNT}, {"created", FIELD_CREATED}};
    if (take(at, "metadata[")) {
        c->field = FIELD_METADATA;
        return take_quoted(at, c->key, sizeof c->key) && take(at, "]");
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (take(at, plain[i].name)) {
            c->field = plain[i].field;
            return true;
        }
    }
    return false;
}

static bool take_comparison(const char **at, enum comparison *ret)
{
    static const struct {
        const char *sign;
        enum comparison comparison;
    } signs[] = {{":", IS}, {">=", MORE_OR_IS}, {">", MORE}, {"<=", LESS_OR_IS}, {"<", LESS}};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (take(at, signs[i].sign)) {
            *ret = signs[i].comparison;
            return true;
        }
    }
    return false;
}

static bool take_clause(const char **at, struct clause *c)
{
    *c = (struct clause){.negated = take(at, "-")};
    if (!take_field(at, c) || !take_comparison(at, &c->comparison))
        return false;
    if (!take_quoted(at, c->value, sizeof c->value) && !take_word(at, c->value, sizeof c->value))
        return false;
    bool numeric = c->field == FIELD_AMOUNT || c->field == FIELD_CREATED;
    if (numeric)
        return text_integer(c->value, INT64_MIN, INT64_MAX, &c->number);
    return c->comparison == IS;
}

static bool parse_query(const char *text, struct query *q)
{
    *q = (struct query){0};
    const char *at = text;
    for (skip_spaces(&at); *at; skip_spaces(&at)) {
        if (q->count == MAX_CLAUSES)
            return false;
        if (q->count) {
            bool any = take(&at, "OR ");
            if ((!any && !take(&at, "AND ")) || (q->count > 1 && any != q->any))
                return false;
            q->any = any;
            skip_spaces(&at);
        }
        if (!take_clause(&at, &q->clauses[q->count++]))
            return false;
    }
    return q->count > 0;
}

/* ---- search: the answer ---- */

static bool compare(enum comparison how, int64_t a, int64_t b)
{
    switch (how) {
    case IS:
        return a == b;
    case MORE:
        return a > b;
    case MORE_OR_IS:
        return a >= b;
    case LESS:
        return a < b;
    case LESS_OR_IS:
        return a <= b;
    }
    return false;
}

static bool clause_holds(const struct clause *c, const struct intent *intent)
{
    const char *member = json_string_value(json_object_get(intent->metadata, c->key));
    switch (c->field) {
    case FIELD_METADATA:
        return member && strcmp(member, c->value) == 0;
    case FIELD_STATUS:
        return strcmp(intent_status_name(intent->status), c->value) == 0;
    case FIELD_CURRENCY:
        return strcmp(intent->currency, c->value) == 0;
    case FIELD_AMOUNT:
        return compare(c->comparison, intent->amount, c->number);
    case FIELD_CREATED:
        return compare(c->comparison, intent->created_ms / 1000, c->number);
    }
    return false;
}

static bool query_holds(const struct query *q, const struct intent *intent)
{
    for (size_t i = 0; i < q->count; i++) {
        bool holds = clause_holds(&q->clauses[i], intent) != q->clauses[i].negated;
        if (holds == q->any)
            return holds;
    }
    return !q->any;
}

/* The payment that an AND query is confined to, "" if none. */
static void payment_of_query(const struct query *q, char payment[PAYMENT_SIZE])
{
    payment[0] = '\0';
    for (size_t i = 0; i < q->count && !(q->any && q->count > 1); i++) {
        const struct clause *c = &q->clauses[i];
        if (c->field == FIELD_METADATA && !c->negated && strcmp(c->key, stripe_payment_key()) == 0 &&
            text_payment(payment, c->value))
            return;
    }
}

struct search {
    struct query query;
    int64_t limit;
    int64_t skip; /* from `page` */
    unsigned expand;
};

static const char *const search_parameters[] = {"query", "limit", "page", "expand", NULL};

static bool read_search(struct call *call, struct search *s)
{
    *s = (struct search){0};
    const char *text = form_get(&call->form, "query");
    if (!text) {
        stripe_refuse(call, &(struct stripe_error){.code = "parameter_missing",
                                                   .message = "Missing required param: query.",
                                                   .param = "query"});
        return false;
    }
    if (!parse_query(text, &s->query)) {
        stripe_refuse(
            call, &(struct stripe_error){.message = "We were unable to parse your search query.", .param = "query"});
        return false;
    }
    return stripe_limit(call, &s->limit) && stripe_integer(call, "page", 0, LIMIT_RECORDS, &s->skip) &&
           stripe_expand(call, "data.", &s->expand);
}

void stripe_open_search(struct call *call)
{
    struct search search;
    if (stripe_enter(call, search_parameters) && read_search(call, &search))
        payment_of_query(&search.query, call->payment);
}

/* One more match: skipped, taken, or the sign that there is another page. */
struct results {
    struct search *search;
    json_t *data;
    int64_t skipped;
    bool more;
    int64_t newest; /* twin's ms: what is younger is not in the index yet */
};

static void consider(struct results *r, struct intent *intent)
{
    if (r->more || intent->created_ms > r->newest || !query_holds(&r->search->query, intent))
        return;
    if (r->skipped < r->search->skip)
        r->skipped++;
    else if (json_array_size(r->data) == (size_t)r->search->limit)
        r->more = true;
    else
        json_array_append_new(r->data, wire_intent(intent, r->search->expand));
}

void stripe_effect_search(struct call *call)
{
    char page[24];
    struct search search;
    if (!read_search(call, &search))
        return;
    struct results results = {.search = &search, .data = json_array(), .newest = clock_ms(CLOCK_STRIPE)};
    if (call->fault.kind == FAULT_LAG)
        results.newest -= call->fault.delay_ms;
    if (call->fault.kind == FAULT_DECLINE)
        results.newest = INT64_MIN;
    struct intent *first = call->payment[0] ? intent_first_of(call->payment) : NULL;
    for (struct intent *intent = first; intent; intent = intent->next)
        consider(&results, intent);
    for (size_t i = call->payment[0] ? 0 : intent_count(); i > 0 && !results.more; i--)
        consider(&results, intent_at(i - 1));
    json_t *answer = list_answer("search_result", "/v1/payment_intents/search", results.more, results.data);
    text_print(page, sizeof page, "%lld", (long long)(search.skip + search.limit));
    json_object_set_new(answer, "next_page", results.more ? json_string(page) : json_null());
    answer_json(call, 200, answer);
}
