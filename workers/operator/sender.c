/* sender.c - what the operator's commands publish with */
#include "workers/operator/sender.h"

#include "common/clock.h"

enum { LOOK_MS = 100 };

int sender_open(struct sender *sender, const struct config *config, struct err *err)
{
    struct broker_options options = program_broker(config, "acquit");
    if (program_user(config, sender->user, err) < 0)
        return -1;
    sender->loop = loop_new(err);
    sender->publisher = sender->loop ? publisher_new(sender->loop, &options, err) : NULL;
    return sender->publisher ? 0 : -1;
}

void sender_close(struct sender *sender)
{
    publisher_free(sender->publisher);
    loop_free(sender->loop);
    sender->publisher = NULL;
    sender->loop = NULL;
}

bool sender_turn(struct sender *sender)
{
    int64_t left_ms = sender->until_ms - clock_monotonic_ms();
    if (left_ms <= 0)
        return false;
    return loop_turn(sender->loop, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) == 0;
}

int sender_ready(struct sender *sender, struct err *err)
{
    while (!publisher_ready(sender->publisher))
        if (!sender_turn(sender))
            return err_set(err, ERR_AGAIN, "the broker does not answer; nothing was sent");
    return 0;
}

void sender_flush(struct sender *sender)
{
    while (publisher_waiting(sender->publisher) && sender_turn(sender))
        continue;
}
