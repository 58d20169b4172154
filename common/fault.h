/* fault.h - named points at which a test can make a process die or wait
 *
 * Armed by the environment only: ACQUIT_FAULT="name=kill[:N][;name=...]": at the N-th pass (default 1) of the point the
 * process sends itself SIGKILL. In a production unit the variable is not set and a point costs one load. Points are
 * placed where L1, L4 and L5 could break.
 */
#ifndef ACQUIT_COMMON_FAULT_H
#define ACQUIT_COMMON_FAULT_H

#define FAULT_POINTS(X)                                                                                                \
    X(AFTER_DELIVERY, "after-delivery") /* taken, nothing committed */                                                 \
    X(AFTER_INTENTS, "after-intents")   /* intents committed, nothing published */                                     \
    X(BEFORE_CALL, "before-call")       /* published, provider not yet called */                                       \
    X(AFTER_ANSWER, "after-answer")     /* provider answered, nothing committed */                                     \
    X(AFTER_RESULTS, "after-results")   /* results committed, nothing published */                                     \
    X(AFTER_PUBLISH, "after-publish")   /* follow-ups sent, not confirmed */                                           \
    X(BEFORE_ACK, "before-ack")         /* confirmed, not acknowledged */

enum fault_point {
#define X(id, text) FAULT_##id,
    FAULT_POINTS(X)
#undef X
};

void fault_arm_from_environment(void);
void fault_pass(enum fault_point point);

#endif
