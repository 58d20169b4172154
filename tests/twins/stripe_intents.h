/* stripe_intents.h - PaymentIntents: create, confirm, capture, cancel, retrieve */
#ifndef TWINS_STRIPE_INTENTS_H
#define TWINS_STRIPE_INTENTS_H

#include "call.h"

void stripe_open_create(struct call *call);
void stripe_effect_create(struct call *call);
void stripe_open_confirm(struct call *call);
void stripe_effect_confirm(struct call *call);
void stripe_open_capture(struct call *call);
void stripe_effect_capture(struct call *call);
void stripe_open_cancel(struct call *call);
void stripe_effect_cancel(struct call *call);
void stripe_open_retrieve(struct call *call);
void stripe_effect_retrieve(struct call *call);
void stripe_open_balance(struct call *call);
void stripe_effect_balance(struct call *call);

/* Control: the customer answers the challenge of an intent that requires action, POST {"outcome":"succeed"|"fail"}.
 * */
void control_authenticate(struct call *call);

#endif
