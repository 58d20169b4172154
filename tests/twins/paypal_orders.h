/* paypal_orders.h - orders of the PayPal twin: create, authorize, show */
#ifndef TWINS_PAYPAL_ORDERS_H
#define TWINS_PAYPAL_ORDERS_H

#include "call.h"

void paypal_open_create(struct call *call);
void paypal_effect_create(struct call *call);
void paypal_open_authorize(struct call *call);
void paypal_effect_authorize(struct call *call);
void paypal_open_retrieve(struct call *call); /* anything by its id */
void paypal_effect_retrieve_order(struct call *call);

#endif
