/* chart.c - see chart.h */
#include "ledger/chart.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

static const struct chart_row rows[] = {
    {.kind = "receivable",
     .of = "provider",
     .meaning = "what the provider owes us",
     .use = CHART_BOOKED,
     .side = CHART_DEBIT,
     .transit = CHART_PENDING,
     .limit = "transit.hold_ms"},
    {.kind = "payable",
     .of = "merchant",
     .meaning = "what we owe the merchant",
     .use = CHART_BOOKED,
     .side = CHART_CREDIT,
     .transit = CHART_PENDING,
     .limit = "transit.hold_ms"},
    {.kind = "commission", .meaning = "what we keep of what was captured", .use = CHART_BOOKED, .side = CHART_CREDIT},
    {.kind = "in_doubt",
     .of = "provider",
     .meaning = "what the provider may or may not have done",
     .use = CHART_BOOKED,
     .side = CHART_NEVER,
     .transit = CHART_PENDING,
     .limit = "transit.in_doubt_ms"},
    {.kind = "refunds",
     .of = "provider",
     .meaning = "refunds that were accepted and have no result yet",
     .use = CHART_DERIVED,
     .side = CHART_NEVER,
     .transit = CHART_PENDING,
     .limit = "transit.refund_ms"},
    {.kind = "fees",
     .of = "provider",
     .meaning = "what the provider charges us; comes with settlement",
     .use = CHART_RESERVED,
     .side = CHART_DEBIT},
    {.kind = "suspense",
     .meaning = "money that came and that no payment explains; comes with settlement",
     .use = CHART_RESERVED,
     .side = CHART_CREDIT,
     .transit = CHART_BALANCE,
     .limit = "transit.suspense_ms"},
    {.kind = "wallet",
     .of = "holder",
     .meaning = "what we keep for its holder; comes with wallets",
     .use = CHART_RESERVED,
     .side = CHART_CREDIT,
     .transit = CHART_PENDING,
     .limit = "transit.hold_ms",
     .may_floor = true},
};

const struct chart_row *chart_row(size_t i)
{
    return i < sizeof rows / sizeof rows[0] ? &rows[i] : NULL;
}

static const struct chart_row *find_kind(const char *kind, size_t length)
{
    for (const struct chart_row *row = rows; row < rows + sizeof rows / sizeof rows[0]; row++)
        if (strlen(row->kind) == length && strncmp(row->kind, kind, length) == 0)
            return row;
    return NULL;
}

const struct chart_row *chart_find(const char *account)
{
    size_t length = strcspn(account, ":");
    const struct chart_row *row = find_kind(account, length);
    bool named = account[length] == ':' && account[length + 1] != '\0';
    bool fits = strlen(account) < ACCOUNT_SIZE && (row && row->of ? named : account[length] == '\0');
    return fits ? row : NULL;
}

int chart_name(const char *kind, const char *of, char ret[static ACCOUNT_SIZE], struct err *err)
{
    const struct chart_row *row = find_kind(kind, strlen(kind));
    if (!row || !row->of != !of)
        log_panic("the chart has no account %s%s", kind, of ? " of somebody" : "");
    if (of && of[0] == '\0')
        return err_set(err, ERR_INTERNAL, "the facts do not say whose %s account to book", kind);
    if (snprintf(ret, ACCOUNT_SIZE, "%s%s%s", kind, of ? ":" : "", of ? of : "") >= ACCOUNT_SIZE)
        return err_set(err, ERR_LIMIT, "the name of account %s:%s is too long", kind, of);
    return 0;
}

const char *chart_form(const struct chart_row *row, char ret[static ACCOUNT_SIZE])
{
    if (row->of)
        snprintf(ret, ACCOUNT_SIZE, "%s:<%s>", row->kind, row->of);
    else
        snprintf(ret, ACCOUNT_SIZE, "%s", row->kind);
    return ret;
}

const char *chart_side_text(enum chart_side side)
{
    static const char *const texts[] = {
        [CHART_DEBIT] = "debit", [CHART_CREDIT] = "credit", [CHART_NEVER] = "pending only"};
    return texts[side];
}

const char *chart_use_text(enum chart_use use)
{
    static const char *const texts[] = {
        [CHART_BOOKED] = "booked", [CHART_RESERVED] = "reserved", [CHART_DERIVED] = "derived"};
    return texts[use];
}
