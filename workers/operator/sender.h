/* sender.h - what the operator's commands publish with: one publisher, and the patience to hear what became of it */
#ifndef ACQUIT_WORKERS_OPERATOR_SENDER_H
#define ACQUIT_WORKERS_OPERATOR_SENDER_H

#include "common/loop.h"
#include "queues/publisher.h"
#include "workers/program.h"

struct sender {
    struct loop *loop;
    struct publisher *publisher;
    char user[PROGRAM_USER_SIZE]; /* as whom we publish */
    int64_t until_ms;             /* monotonic; set by the caller, who may move it */
};

/* Starts to connect; close in any case. */
int sender_open(struct sender *sender, const struct config *config, struct err *err) MUST_CHECK;
void sender_close(struct sender *sender);
/* Waits for the broker. ERR_AGAIN when until_ms comes first: nothing was sent. */
int sender_ready(struct sender *sender, struct err *err) MUST_CHECK;
/* One short turn of the loop. False: the time is up, or the loop is broken. */
bool sender_turn(struct sender *sender);
/* Turns until everything sent is settled, or the time is up. */
void sender_flush(struct sender *sender);

#endif
