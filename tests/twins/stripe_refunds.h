/* stripe_refunds.h - Refunds: create, retrieve, list */
#ifndef TWINS_STRIPE_REFUNDS_H
#define TWINS_STRIPE_REFUNDS_H

#include "call.h"

void stripe_open_refund(struct call *call);
void stripe_effect_refund(struct call *call);
void stripe_open_refund_retrieve(struct call *call);
void stripe_effect_refund_retrieve(struct call *call);
void stripe_open_refund_list(struct call *call);
void stripe_effect_refund_list(struct call *call);

#endif
