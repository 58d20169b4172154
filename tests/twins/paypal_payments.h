/* paypal_payments.h - payments of the PayPal twin: capture, void, refund, show */
#ifndef TWINS_PAYPAL_PAYMENTS_H
#define TWINS_PAYPAL_PAYMENTS_H

#include "call.h"

void paypal_open_capture(struct call *call);
void paypal_effect_capture(struct call *call);
void paypal_open_void(struct call *call);
void paypal_effect_void(struct call *call);
void paypal_open_refund(struct call *call);
void paypal_effect_refund(struct call *call);
void paypal_effect_retrieve_entry(struct call *call); /* an authorization, a capture, a refund */

#endif
