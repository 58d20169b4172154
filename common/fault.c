/* fault.c - named points at which a test can make a process die or wait */
#include "common/fault.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

static const char *const names[] = {
#define X(id, text) text,
    FAULT_POINTS(X)
#undef X
};
enum { POINT_COUNT = sizeof names / sizeof names[0], SPEC_MAX = 512, PASS_MAX = 1000000, EXIT_CONFIG = 78 };

static bool armed;
static struct {
    int signo;   /* what the point does to the process; 0: nothing */
    long passes; /* left until then */
} points[POINT_COUNT];

/* A typing error would make a test pass for nothing, so it ends the process. */
static _Noreturn void refuse(const char *part)
{
    log_error("ACQUIT_FAULT: \"%s\" is not name=kill[:N] or name=pause[:N] of a known point", part);
    exit(EXIT_CONFIG);
}

static int point_find(const char *name)
{
    for (int i = 0; i < POINT_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* "after-intents=kill:3" */
static void arm(char *part)
{
    char copy[SPEC_MAX];
    stpncpy(copy, part, sizeof copy - 1)[0] = '\0';
    char *action = strchr(part, '=');
    if (!action)
        refuse(copy);
    *action++ = '\0';
    char *count = strchr(action, ':');
    if (count)
        *count++ = '\0';
    int point = point_find(part);
    char *end = NULL;
    long passes = count ? strtol(count, &end, 10) : 1;
    if (point < 0 || passes < 1 || passes > PASS_MAX || (end && *end))
        refuse(copy);
    if (strcmp(action, "kill") == 0)
        points[point].signo = SIGKILL;
    else if (strcmp(action, "pause") == 0)
        points[point].signo = SIGSTOP;
    else
        refuse(copy);
    points[point].passes = passes;
    armed = true;
}

void fault_arm_from_environment(void)
{
    const char *spec = getenv("ACQUIT_FAULT");
    if (!spec || !*spec)
        return;
    char copy[SPEC_MAX];
    if (strlen(spec) >= sizeof copy)
        refuse("(too long)");
    memcpy(copy, spec, strlen(spec) + 1);
    char *rest = NULL;
    for (char *part = strtok_r(copy, ";", &rest); part; part = strtok_r(NULL, ";", &rest))
        arm(part);
    log_warn("fault points are armed: %s", spec);
}

void fault_pass(enum fault_point point)
{
    if (!armed || !points[point].signo || --points[point].passes != 0)
        return;
    log_warn("fault point %s reached", names[point]);
    kill(getpid(), points[point].signo);
}
