/* answer.c - what the facts of a payment answer to a cancel or a refund (pure) */
#include "workers/operator/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/money.h"

static void say(struct answer *answer, enum answer_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void say(struct answer *answer, enum answer_kind kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(answer->text, sizeof answer->text, fmt, args);
    va_end(args);
    answer->kind = kind;
}

static bool other_body(const struct fact *fact, const char *sha256)
{
    const char *noted = json_text(fact->body, "sha256", "");
    return *noted && strcmp(noted, sha256) != 0;
}

static void say_other_body(struct answer *ret)
{
    say(ret, ANSWER_REFUSED,
        "the key was used for another body; repeat it with what was said then, or use another key");
}

static void answer_cancel(const struct payment *payment, struct uuid command, const char *sha256, struct answer *ret)
{
    const char *reason = payment->reason ? payment->reason : "";
    bool own = payment->decision && uuid_equal(payment->decision->cause, command);
    if (payment->decision_kind == UNDECIDED)
        return;
    if (own && other_body(payment->decision, sha256))
        say_other_body(ret);
    else if (own)
        say(ret, ANSWER_DONE, "cancelled; the payment is %s", public_state_text(payment->public));
    else if (payment->decision_kind == ABORT)
        say(ret, ANSWER_REFUSED, "it was ended before: %s, %s", reason, *reason ? reason_text(reason) : "");
    else
        say(ret, ANSWER_REFUSED, "too late: it was decided to capture it, and it is %s; use `acquit payment refund`",
            public_state_text(payment->public));
}

static void say_refused_refund(const struct payment *payment, const struct refund *refund, struct answer *ret)
{
    char left[MONEY_TEXT_MAX], asked[MONEY_TEXT_MAX];
    const char *code = json_text(refund->intent->body, "code", "refused");
    money_format(payment->captured_amount - payment->refund_reserved, payment->currency, left);
    money_format(refund->amount, payment->currency, asked);
    if (strcmp(code, "exceeds_capture") == 0)
        say(ret, ANSWER_REFUSED, "%s: %s cannot be refunded; %s is left now", code, asked, left);
    else if (strcmp(code, "not_completed") == 0)
        say(ret, ANSWER_REFUSED, "%s: it was not completed then, and is %s now; ask again under another key", code,
            public_state_text(payment->public));
    else
        say(ret, ANSWER_REFUSED, "%s", code);
}

static void answer_refund(const struct payment *payment, struct uuid command, const char *sha256, struct answer *ret)
{
    const struct refund *refund = NULL;
    char amount[MONEY_TEXT_MAX];
    for (int n = 1; n <= payment->refund_count && !refund; n++)
        if (payment->refunds[n].intent && uuid_equal(payment->refunds[n].intent->cause, command)) {
            refund = &payment->refunds[n];
            ret->refund = n;
        }
    if (!refund)
        return;
    money_format(refund->amount, payment->currency, amount);
    if (other_body(refund->intent, sha256))
        say_other_body(ret);
    else if (!refund->accepted)
        say_refused_refund(payment, refund, ret);
    else if (!refund->result)
        say(ret, ANSWER_OPEN, "accepted as refund:%d of %s; the provider has not answered clearly yet", ret->refund,
            amount);
    else if (strcmp(refund->result->outcome, "refunded") == 0)
        say(ret, ANSWER_DONE, "refunded %s as refund:%d; the payment is %s", amount, ret->refund,
            public_state_text(payment->public));
    else
        say(ret, ANSWER_REFUSED, "the provider refused refund:%d of %s: %s", ret->refund, amount,
            json_text(refund->result->body, "code", "without a code"));
}

void answer_of(const struct payment *payment, const char *type, struct uuid command, const char *sha256,
               struct answer *ret)
{
    *ret = (struct answer){.kind = ANSWER_NONE};
    if (strcmp(type, "payment.cancel") == 0)
        answer_cancel(payment, command, sha256, ret);
    else
        answer_refund(payment, command, sha256, ret);
}
