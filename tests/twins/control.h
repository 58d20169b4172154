/* control.h - what a test tells the twins and asks them: everything below /_twin */
#ifndef TWINS_CONTROL_H
#define TWINS_CONTROL_H

#include "call.h"

void control_add_fault(struct call *call);
void control_list_faults(struct call *call);
void control_clear_faults(struct call *call);
void control_remove_fault(struct call *call);
void control_books(struct call *call);
void control_rewrite_books(struct call *call);
void control_requests(struct call *call);
void control_clock(struct call *call);
void control_health(struct call *call);

/* Replay of the state file: a clock that was moved stays moved. */
bool control_apply_clock(const json_t *record);

/* The customer acts on an order of the PayPal twin (paypal_orders.c). */
void control_approve(struct call *call);

#endif
