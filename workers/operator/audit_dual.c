/* audit_dual.c - acquit audit dual: does the other side say the same? (agreement.h)
 *
 * Goes over the dual payments of the ledger, newest first, a page at a time: folds their facts, asks the token system and the
 * validators what they know (questions.h), and compares. The two sides are not read at one moment, so a difference counts only
 * if the payment's facts are the same after the answer as they were before the question; where they are not, the question is
 * asked again. Writes nothing; with --look it publishes payment.look, which only says what is due anyway.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "workers/operator/audit_report.h"
#include "workers/operator/operator.h"
#include "workers/operator/questions.h"
#include "workers/operator/sender.h"

enum {
    PAGE_ROWS = 64,       /* payments in memory at once */
    ROUNDS_MAX = 3,       /* times that a payment is asked about while its facts go on growing */
    STATEMENT_MS = 60000, /* of one statement */
    GRACE_MS = 60000,     /* a payment is judged as one at rest when nothing was written about it for so long */
    WITHIN_MS = 3600000,  /* the whole audit */
    DAY_MS = 86400000,    /* the most of these two */
    SHOWN = 200,
    SHOWN_MOST = 10000,       /* also the most payments that are looked at */
    CLOCK_SLACK_MS = 3600000, /* facts are not written quite in the order of their times */
    LOOKS_MS = 5000,          /* to say all looks */
    AGE_UNITS = 4,
};

const struct option_row audit_dual_options[] = {
    {.name = "since",
     .kind = OPTION_TEXT,
     .value = "TIME",
     .sentence = "only payments that began, or began a refund, since then: 2026-11-20T10:00:00Z, or 90m, 12h, 7d ago"},
    {.name = "open", .kind = OPTION_FLAG, .sentence = "only payments for which something is still to be done"},
    {.name = "payment", .kind = OPTION_TEXT, .value = "ID", .sentence = "only this one"},
    {.name = "before",
     .kind = OPTION_INT,
     .least = 1,
     .most = INT64_MAX,
     .value = "SEQ",
     .sentence = "go on from here"},
    {.name = "limit",
     .kind = OPTION_INT,
     .least = 1,
     .most = SHOWN_MOST,
     .value = "N",
     .sentence = "differences shown, all are counted (200)"},
    {.name = "grace-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = DAY_MS,
     .value = "MS",
     .sentence = "a payment with a younger fact is held only to what cannot heal (60000)"},
    {.name = "within-ms",
     .kind = OPTION_INT,
     .least = 1,
     .most = DAY_MS,
     .value = "MS",
     .sentence = "deadline of the whole audit (3600000)"},
    {.name = "look",
     .kind = OPTION_FLAG,
     .sentence = "have what is due of differing payments said again: payment.look"},
    {0},
};

struct look {
    struct uuid payment;
    int64_t last_seq; /* of its newest fact */
};

struct audit {
    struct op *op;
    struct db *db;
    struct questions *questions;
    struct agreement_terms terms;
    struct dual_now now;
    int64_t since_ms; /* INT64_MIN: from the beginning */
    int64_t until_ms; /* monotonic */
    bool open_only;
    struct audit_report report;
    struct audit_end end;
    struct look *looks; /* at most SHOWN_MOST */
    size_t look_count;
};

/* One payment of a page. */
struct subject {
    struct dual_case about;
    struct dual_money money;
    struct agreement agreement;
    char why[ERR_TEXT_MAX]; /* it cannot be folded */
    bool moving;            /* its facts go on growing while it is asked about */
};

/* ---- facts ---- */

static void clear_subject(struct subject *subject)
{
    payment_clear(&subject->about.payment);
    facts_clear(&subject->about.facts);
}

static void fold(struct subject *subject)
{
    struct err err = {0};
    subject->about.folded = saga_fold(&subject->about.facts, &subject->about.payment, &err) == 0;
    snprintf(subject->why, sizeof subject->why, "%s", err.text);
}

/* The facts as they stand now, `ret` in the order of ids. */
static int load_facts(struct audit *audit, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    if (read_dual_now(audit->db, &audit->now, err) < 0)
        return -1;
    audit->terms.now_ms = audit->now.wall_ms;
    return read_facts(audit->db, ids, count, ret, err);
}

static int load(struct audit *audit, const struct uuid *ids, size_t count, struct subject *ret, struct err *err)
{
    struct facts facts[PAGE_ROWS] = {0};
    struct dual_money money[PAGE_ROWS];
    if (load_facts(audit, ids, count, facts, err) < 0)
        return -1;
    int r = read_dual_money(audit->db, ids, count, money, err);
    for (size_t i = 0; i < count; i++) {
        ret[i].about.facts = facts[i];
        if (r == 0) {
            ret[i].money = money[i];
            fold(&ret[i]);
        }
    }
    return r;
}

/* Reads the facts again. What has grown since is folded anew and `moving`: it is to be asked about again. */
static int follow(struct audit *audit, struct subject **subjects, size_t count, struct err *err)
{
    struct uuid ids[PAGE_ROWS];
    struct facts facts[PAGE_ROWS] = {0};
    for (size_t i = 0; i < count; i++)
        ids[i] = subjects[i]->about.facts.payment_id;
    if (load_facts(audit, ids, count, facts, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct subject *subject = subjects[i];
        subject->moving = facts[i].count > subject->about.facts.count; /* fewer: archived since */
        if (!subject->moving) {
            facts_clear(&facts[i]);
            continue;
        }
        clear_subject(subject);
        subject->about.facts = facts[i];
        fold(subject);
    }
    return 0;
}

/* ---- judging ---- */

static void judge(const struct audit *audit, struct subject *subject)
{
    const struct dual_case *about = &subject->about;
    const struct payment *payment = about->folded ? &about->payment : NULL;
    subject->agreement = (struct agreement){0};
    agreement_judge_ledger(&about->facts, payment, subject->why, &subject->money, &audit->terms, &subject->agreement);
    if (payment)
        agreement_judge_told(&about->facts, payment, &about->told, &audit->terms, &subject->agreement);
}

/* Asks about them and judges; those that differ are left in `subjects`, *count of them. */
static int ask_and_judge(struct audit *audit, struct subject **subjects, size_t *count, struct err *err)
{
    struct dual_case *cases[PAGE_ROWS];
    size_t differing = 0;
    for (size_t i = 0; i < *count; i++)
        cases[i] = &subjects[i]->about;
    if (questions_ask(audit->questions, cases, *count, audit->until_ms, err) < 0)
        return -1;
    for (size_t i = 0; i < *count; i++) {
        judge(audit, subjects[i]);
        if (subjects[i]->agreement.count)
            subjects[differing++] = subjects[i];
    }
    *count = differing;
    return 0;
}

/* A difference between facts and answers of two moments may be none: where the facts have grown, once more. */
static int confirm(struct audit *audit, struct subject **subjects, size_t count, struct err *err)
{
    for (int round = 0; round < ROUNDS_MAX && count; round++) {
        if (ask_and_judge(audit, subjects, &count, err) < 0 || (count && follow(audit, subjects, count, err) < 0))
            return -1;
        size_t moving = 0;
        for (size_t i = 0; i < count; i++)
            if (subjects[i]->moving)
                subjects[moving++] = subjects[i];
        count = moving;
    }
    for (size_t i = 0; i < count; i++) /* it never stood still: nothing can be said of it now */
        subjects[i]->agreement = (struct agreement){.in_flight = true};
    return 0;
}

/* ---- one page ---- */

/* Its notices are of no concern here. */
static bool is_open(const struct subject *subject)
{
    struct next next;
    if (!subject->about.folded || !subject->about.payment.ended)
        return true;
    saga_next(&subject->about.payment, &next);
    for (size_t i = 0; i < next.count; i++)
        if (strcmp(next.items[i].type, "notify.send") != 0)
            return true;
    return false;
}

static int64_t newest_seq(const struct facts *facts)
{
    int64_t newest = 0;
    for (size_t i = 0; i < facts->count; i++)
        if (facts->items[i].seq > newest)
            newest = facts->items[i].seq;
    return newest;
}

static void mean_look(struct audit *audit, const struct subject *subject)
{
    struct next next;
    if (!audit->end.looks_meant || !subject->agreement.count || !subject->about.folded ||
        audit->look_count == SHOWN_MOST)
        return;
    saga_next(&subject->about.payment, &next);
    if (next.count)
        audit->looks[audit->look_count++] =
            (struct look){.payment = subject->about.payment.id, .last_seq = newest_seq(&subject->about.facts)};
}

static void report(struct audit *audit, const struct subject *subject)
{
    const struct dual_case *about = &subject->about;
    audit_report_payment(&audit->report, about->facts.payment_id, about->folded ? &about->payment : NULL,
                         &subject->agreement, about->folded ? &about->told : NULL);
    mean_look(audit, subject);
}

static int examine_loaded(struct audit *audit, struct subject *subjects, size_t count, struct err *err)
{
    struct subject *wanted[PAGE_ROWS], *asked[PAGE_ROWS];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (subjects[i].about.facts.count && (!audit->open_only || is_open(&subjects[i])))
            wanted[n++] = &subjects[i];
    memcpy(asked, wanted, n * sizeof *asked);
    if (confirm(audit, asked, n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        report(audit, wanted[i]);
    audit_report_progress(&audit->report);
    return 0;
}

static int examine(struct audit *audit, const struct uuid *ids, size_t count, struct err *err)
{
    struct subject *subjects = mem_new(count, sizeof *subjects);
    int r = load(audit, ids, count, subjects, err);
    if (r == 0)
        r = examine_loaded(audit, subjects, count, err);
    for (size_t i = 0; i < count; i++)
        clear_subject(&subjects[i]);
    free(subjects);
    return r;
}

/* ---- all pages ---- */

/* 1: there may be more below *before, 0: that was the last one, -1: error. */
static int examine_page(struct audit *audit, int64_t upto_seq, int64_t *before, struct err *err)
{
    struct dual_row rows[PAGE_ROWS];
    struct uuid ids[PAGE_ROWS];
    size_t wanted = 0;
    int count = read_dual_page(audit->db, *before, upto_seq, PAGE_ROWS, rows, err);
    if (count <= 0)
        return count;
    for (int i = 0; i < count; i++)
        if (rows[i].wanted && rows[i].at_ms >= audit->since_ms)
            ids[wanted++] = rows[i].payment;
    if (wanted && examine(audit, ids, wanted, err) < 0)
        return -1;
    *before = rows[count - 1].seq;
    return audit->since_ms == INT64_MIN || rows[0].at_ms >= audit->since_ms - CLOCK_SLACK_MS;
}

static int examine_all(struct audit *audit, struct err *err)
{
    if (read_dual_now(audit->db, &audit->now, err) < 0)
        return -1;
    int64_t upto_seq = audit->now.newest_seq, before = args_int(&audit->op->args, "before", upto_seq + 1);
    int r = 1;
    while (r > 0 && clock_monotonic_ms() < audit->until_ms)
        r = examine_page(audit, upto_seq, &before, err);
    audit->end.complete = r == 0;
    audit->end.next = before;
    return r < 0 ? -1 : 0;
}

static int check_dual(const struct subject *subject, const char *text, struct err *err)
{
    const struct payment *payment = &subject->about.payment;
    if (subject->about.facts.archived)
        return err_set(err, ERR_NOT_FOUND, "payment %s is archived: `acquit ledger restore` brings its facts back",
                       text);
    if (!facts_find(&subject->about.facts, "received"))
        return err_set(err, ERR_NOT_FOUND, "there is no payment %s", text);
    if (subject->about.folded && payment->flow != FLOW_DUAL)
        return err_set(err, ERR_NOT_FOUND, "payment %s is not dual: it has neither a proof nor tokens to compare",
                       text);
    return 0;
}

static int examine_one(struct audit *audit, const char *text, struct err *err)
{
    struct subject *subject = mem_new(1, sizeof *subject);
    struct uuid id;
    int r = operator_payment_id(text, &id, err);
    if (r == 0)
        r = load(audit, &id, 1, subject, err);
    if (r == 0)
        r = check_dual(subject, text, err);
    if (r == 0)
        r = examine_loaded(audit, subject, 1, err);
    clear_subject(subject);
    free(subject);
    audit->end.complete = true;
    return r;
}

/* ---- looks ---- */

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct audit *audit = arg;
    audit->end.looks += outcome == PUBLISH_CONFIRMED;
}

/* As the keeper says it: the slot only makes the id. */
static int say_look(struct audit *audit, struct sender *sender, const struct look *look, struct err *err)
{
    struct message message = {0};
    char slot[24];
    snprintf(slot, sizeof slot, "%" PRId64, look->last_seq);
    command_message("payment.look", uuid_follow_up(look->payment, "payment.look", slot), look->payment, NULL, NULL,
                    sender->user, &message);
    int r = publisher_send(sender->publisher, &message, on_settled, audit, err);
    message_clear(&message);
    return r;
}

static int send_looks(struct audit *audit, struct sender *sender, struct err *err)
{
    if (sender_open(sender, audit->op->config, err) < 0 || sender_ready(sender, err) < 0)
        return -1;
    int r = 0;
    for (size_t i = 0; r == 0 && i < audit->look_count; i++)
        r = say_look(audit, sender, &audit->looks[i], err);
    sender_flush(sender);
    return r;
}

/* What was found is reported in any case. */
static void say_looks(struct audit *audit)
{
    struct sender sender = {.until_ms = clock_monotonic_ms() + LOOKS_MS};
    struct err err = {0};
    if (audit->look_count && send_looks(audit, &sender, &err) < 0)
        fprintf(stderr, "acquit: payment.look: %s\n", err.text);
    sender_close(&sender);
    audit->end.unsaid = (int64_t)audit->look_count - audit->end.looks;
}

/* ---- the command ---- */

/* "90m": so many milliseconds. */
static bool read_age(const char *text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[AGE_UNITS] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end = NULL;
    long long n = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || n > INT32_MAX || !end || !*end || end[1])
        return false;
    for (int i = 0; i < AGE_UNITS; i++) {
        if (units[i].unit != *end)
            continue;
        *ret_ms = n * units[i].ms;
        return true;
    }
    return false;
}

static int read_since(struct audit *audit, struct err *err)
{
    const char *text = args_text(&audit->op->args, "since", NULL);
    int64_t age_ms;
    audit->since_ms = INT64_MIN;
    if (args_text(&audit->op->args, "payment", NULL) && (text || args_int(&audit->op->args, "before", 0)))
        return err_set(err, ERR_INVALID, "--payment is one payment, whenever it began: leave out --since and --before");
    if (!text)
        return 0;
    if (read_age(text, &age_ms))
        audit->since_ms = clock_wall_ms() - age_ms;
    else if (clock_parse(text, &audit->since_ms) < 0)
        return err_set(err, ERR_INVALID,
                       "--since %s: give a time such as 2026-11-20T10:00:00Z, or how long ago: 30s, 90m, 12h, 7d",
                       text);
    return 0;
}

static int read_options(struct audit *audit, struct err *err)
{
    const struct args *args = &audit->op->args;
    audit->terms.grace_ms = args_int(args, "grace-ms", GRACE_MS);
    audit->terms.stand_still_ms = config_int(audit->op->config, "keeper.stand_still_ms");
    audit->until_ms = clock_monotonic_ms() + args_int(args, "within-ms", WITHIN_MS);
    audit->open_only = args_flag(args, "open");
    audit->end.looks_meant = args_flag(args, "look");
    audit->looks = mem_new(audit->end.looks_meant ? SHOWN_MOST : 0, sizeof *audit->looks);
    audit_report_begin(&audit->report, audit->op->json, args_int(args, "limit", SHOWN));
    return read_since(audit, err);
}

/* The primary: a replica that lags would make differences. */
static int open_ledger(struct audit *audit, struct err *err)
{
    const struct db_options options = {.url = config_text(audit->op->config, "ledger.url"),
                                       .application = "acquit audit dual",
                                       .timeout_ms = STATEMENT_MS};
    audit->db = db_new(&options, err);
    return audit->db ? 0 : -1;
}

static int run(struct audit *audit, struct err *err)
{
    const char *payment = args_text(&audit->op->args, "payment", NULL);
    int r = payment ? examine_one(audit, payment, err) : examine_all(audit, err);
    audit->end.asked = questions_asked(audit->questions);
    if (r == 0)
        say_looks(audit);
    return r;
}

int cmd_audit_dual(struct op *op, struct err *err)
{
    struct audit *audit = mem_new(1, sizeof *audit);
    audit->op = op;
    int r = read_options(audit, err);
    if (r == 0)
        r = open_ledger(audit, err);
    if (r == 0) {
        audit->questions = questions_new(op->config, err);
        r = audit->questions ? run(audit, err) : -1;
    }
    if (r == 0) {
        audit_report_end(&audit->report, &audit->end);
        r = audit_report_code(&audit->report, &audit->end);
    }
    audit_report_clear(&audit->report);
    questions_free(audit->questions);
    db_free(audit->db);
    free(audit->looks);
    free(audit);
    return r;
}
