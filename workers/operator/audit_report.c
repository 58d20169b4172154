/* audit_report.c - what an audit of dual payments found, for people as it comes, for programs at the end */
#include "workers/operator/audit_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "workers/operator/operator.h"

void audit_report_begin(struct audit_report *report, bool json, int64_t limit)
{
    *report = (struct audit_report){
        .json = json, .limit = limit, .difference_rows = json_array(), .unanswered_rows = json_array()};
}

void audit_report_clear(struct audit_report *report)
{
    json_decref(report->difference_rows);
    json_decref(report->unanswered_rows);
}

/* ---- progress ---- */

static void end_progress(struct audit_report *report)
{
    if (report->counting)
        fputs("\r\033[K", stderr);
    report->counting = false;
}

void audit_report_progress(struct audit_report *report)
{
    if (!isatty(STDERR_FILENO))
        return;
    end_progress(report);
    fprintf(stderr, "dual payments: %" PRId64, report->payments);
    report->counting = true;
}

/* ---- one payment ---- */

static json_t *time_json(int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    return wall_ms ? json_string(clock_format(wall_ms, text)) : json_null();
}

static void print_words(const char *whose, const char *words, int64_t since_ms)
{
    char at[CLOCK_TEXT_SIZE];
    if (*words)
        printf("    %s: %s%s%s\n", whose, words, since_ms ? ", since " : "",
               since_ms ? clock_format(since_ms, at) : "");
}

static void say_difference(struct audit_report *report, const char *id, const struct payment *payment,
                           const struct difference *d)
{
    const char *state = payment ? public_state_text(payment->public) : "unknown";
    if (++report->differences > report->limit)
        return;
    if (report->json) {
        json_array_append_new(report->difference_rows,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "difference",
                                        difference_name(d->kind), "transactionId", id, "status", state, "who", d->who,
                                        "ours", d->ours, "theirs", d->theirs, "since", time_json(d->since_ms),
                                        "theirSince", time_json(d->their_since_ms), "remedy",
                                        difference_remedy(d->kind)));
        return;
    }
    end_progress(report);
    printf("%s  %s  %s  (%s)\n", difference_name(d->kind), id, d->who, state);
    print_words("ours", d->ours, d->since_ms);
    print_words("theirs", d->theirs, d->their_since_ms);
    printf("    %s\n", difference_remedy(d->kind));
}

static void say_unanswered(struct audit_report *report, const char *id, const char *who, const char *why)
{
    if (++report->unanswered > report->limit)
        return;
    if (report->json) {
        json_array_append_new(report->unanswered_rows,
                              json_pack("{s:s, s:s, s:s}", "transactionId", id, "who", who, "why", why));
        return;
    }
    end_progress(report);
    printf("UNKNOWN  %s  %s  %s\n", id, who, why);
}

void audit_report_payment(struct audit_report *report, struct uuid id, const struct payment *payment,
                          const struct agreement *agreement, const struct dual_told *told)
{
    char public[PUBLIC_ID_SIZE];
    public_id_format(id, public);
    report->payments++;
    report->open += !payment || !payment->ended;
    report->in_flight += agreement->in_flight;
    for (size_t i = 0; i < agreement->count; i++)
        say_difference(report, public, payment, &agreement->items[i]);
    if (told && !told->tokens_known)
        say_unanswered(report, public, "tokens", told->tokens_why);
    for (size_t i = 0; told && i < told->validator_count; i++)
        if (!told->validators[i].state.known)
            say_unanswered(report, public, told->validators[i].name, told->validators[i].state.why);
}

/* ---- the end ---- */

static void print_end(const struct audit_report *report, const struct audit_end *end)
{
    printf("%" PRId64 " dual payments, %" PRId64 " of them open, %" PRId64
           " in flight: those were held only to what cannot heal; %" PRId64 " questions\n",
           report->payments, report->open, report->in_flight, end->asked);
    if (report->differences > report->limit || report->unanswered > report->limit)
        printf("only the first %" PRId64 " of a kind are shown; --limit shows more\n", report->limit);
    if (end->looks_meant)
        printf("payment.look was said for %" PRId64 " payments%s\n", end->looks,
               end->unsaid ? "; of others the broker did not confirm it: ask again" : "");
    if (!end->complete)
        printf("the time was up: go on with --before %" PRId64 "\n", end->next);
    printf("%" PRId64 " differences, %" PRId64 " questions without an answer%s\n", report->differences,
           report->unanswered,
           report->differences               ? ""
           : !audit_report_code(report, end) ? ": both sides agree"
                                             : ": nobody knows yet whether both sides agree");
}

static json_t *end_json(const struct audit_report *report, const struct audit_end *end)
{
    return json_pack("{s:b, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O}", "agree",
                     audit_report_code(report, end) == 0, "complete", (int)end->complete, "next",
                     end->complete ? json_null() : json_integer(end->next), "payments", (json_int_t)report->payments,
                     "open", (json_int_t)report->open, "inFlight", (json_int_t)report->in_flight, "questions",
                     (json_int_t)end->asked, "looks", (json_int_t)end->looks, "looksUnsaid", (json_int_t)end->unsaid,
                     "differenceCount", (json_int_t)report->differences, "unansweredCount",
                     (json_int_t)report->unanswered, "differences", report->difference_rows, "unanswered",
                     report->unanswered_rows);
}

void audit_report_end(struct audit_report *report, const struct audit_end *end)
{
    end_progress(report);
    if (report->json)
        operator_print(end_json(report, end));
    else
        print_end(report, end);
}

int audit_report_code(const struct audit_report *report, const struct audit_end *end)
{
    if (report->differences)
        return EXIT_NO;
    return report->unanswered || !end->complete ? EXIT_AGAIN : 0;
}
