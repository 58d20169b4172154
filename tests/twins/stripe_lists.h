/* stripe_lists.h - PaymentIntents: list and search */
#ifndef TWINS_STRIPE_LISTS_H
#define TWINS_STRIPE_LISTS_H

#include "call.h"

void stripe_open_list(struct call *call);
void stripe_effect_list(struct call *call);
void stripe_open_search(struct call *call);
void stripe_effect_search(struct call *call);

#endif
