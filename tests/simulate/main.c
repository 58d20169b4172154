/* main.c - simulate: looks for what goes wrong, and tells the shortest story of it
 *
 *     simulate [--seed N] [--payments N] [--until-failure] [--shrink] [--story] ...
 *
 * Worlds of WORLD_PAYMENTS_MAX payments, world i with the seed N + i, a few at a time in processes of their own. Exits 0 when all was well, 1 when something
 * was not (or was not reached), 2 on wrong usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/simulate/mutants.h"
#include "tests/simulate/world.h"

enum {
    EXIT_WRONG_USAGE = 2,
    CHUNK = 25, /* worlds of one process */
    JOBS_MAX = 64,
    WORLD_S = 40,  /* a world that takes longer is ended */
    MUTANT_S = 60, /* a mutant has to be found by then */
    FAULTS_ALL = (1 << FAULT_KIND_COUNT) - 1,
};

struct options {
    uint64_t seed;
    long payments;
    int jobs;
    bool until_failure, shrink, story, tables, mutants;
    uint32_t faults;
    int faults_before;
    uint64_t without;
    const char *config;
};

/* What a child says of its worlds. */
struct report {
    bool good;
    struct scenario failed;
    char wrong[WRONG_SIZE];
    struct coverage coverage;
};

static const char *const fault_names[] = {
#define X(id, text) #id,
    FAULTS(X)
#undef X
};

static void usage(FILE *out)
{
    fputs("usage: simulate [--seed N] [--payments N] [--jobs N] [--until-failure] [--shrink] [--story]\n"
          "                [--faults-before N] [--without-fault NAME] [--leave-out MASK] [--tables] [--config FILE]\n"
          "\n"
          "Simulates payments with everything that can go wrong, from one seed, and judges how they ended.\n"
          "\n"
          "  --seed N             of the first world; the next ones count up (default 1)\n"
          "  --payments N         in all, 64 to a world (default 64)\n"
          "  --jobs N             processes at a time (default: as many as processors)\n"
          "  --until-failure      goes on until something is wrong\n"
          "  --shrink             makes what is wrong smaller: fewer payments, fewer faults\n"
          "  --story              tells what happens, a line each; of one world\n"
          "  --faults-before N    no fault from the N-th on\n"
          "  --without-fault NAME none of this kind; may be given several times\n"
          "  --leave-out MASK     payments that are left out, a bit each\n"
          "  --tables             prints what was reached; what was not is a failure\n"
          "  --mutant NAME        with that rule taken out (build/mutants/simulate)\n"
          "  --mutants            every rule of the table taken out, one after the other, until that is found; from "
          "--mutant on\n"
          "  --config FILE        (default tests/simulate/simulate.conf)\n"
          "\n"
          "Exit codes: 0 all was well, 1 it was not, 2 usage.\n",
          out);
}

/* --- one scenario in a process of its own: whatever it does, we go on --- */

static void run_scenarios(struct scenario first, int count, int fd)
{
    struct report *report = calloc(1, sizeof *report);
    report->good = true;
    for (int i = 0; i < count && report->good; i++) {
        struct scenario what = first;
        what.seed += (uint64_t)i;
        report->failed = what;
        alarm(WORLD_S);
        report->good = world_run(&what, report->wrong);
    }
    fflush(stdout);
    report->coverage = coverage;
    const char *bytes = (const char *)report;
    for (size_t at = 0; at < sizeof *report;) {
        ssize_t n = write(fd, bytes + at, sizeof *report - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    _exit(EXIT_SUCCESS);
}

struct child {
    pid_t pid;
    int fd;
    struct scenario first;
};

static void begin_child(struct child *child, struct scenario first, int count)
{
    int fds[2];
    if (pipe(fds) != 0)
        log_panic("no pipe");
    fflush(stdout);
    *child = (struct child){.pid = fork(), .fd = fds[0], .first = first};
    if (child->pid < 0)
        log_panic("no process");
    if (child->pid == 0) {
        close(fds[0]);
        run_scenarios(first, count, fds[1]);
    }
    close(fds[1]);
}

static void end_child(struct child *child, struct report *ret)
{
    char *bytes = (char *)ret;
    size_t at = 0;
    ssize_t n = 1;
    while (at < sizeof *ret && (n = read(child->fd, bytes + at, sizeof *ret - at)) > 0)
        at += (size_t)n;
    int status = 0;
    waitpid(child->pid, &status, 0);
    close(child->fd);
    if (at == sizeof *ret)
        return;
    memset(ret, 0, sizeof *ret);
    ret->failed = child->first;
    snprintf(ret->wrong, sizeof ret->wrong, "it ended by itself (status %d), in this world or one of the next %d",
             status, CHUNK);
}

static bool try(const struct scenario *what, struct report *ret)
{
    struct child child;
    begin_child(&child, *what, 1);
    end_child(&child, ret);
    return ret->good;
}

static const char *mutant_named; /* by --mutant */

/* --- making it smaller --- */

/* Still wrong without these? Then it stays so. */
static bool keep_if_wrong(struct scenario *best, const struct scenario *candidate, struct report *report)
{
    struct report again;
    if (try(candidate, &again))
        return false;
    *best = *candidate;
    *report = again;
    return true;
}

static void shrink_faults(struct scenario *best, struct report *report)
{
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        struct scenario candidate = *best;
        candidate.faults &= ~(1U << kind);
        if (candidate.faults != best->faults)
            keep_if_wrong(best, &candidate, report);
    }
    int least = 0, most = best->faults_before < 4096 ? best->faults_before : 4096;
    while (least < most) {
        struct scenario candidate = *best;
        candidate.faults_before = (least + most) / 2;
        if (keep_if_wrong(best, &candidate, report))
            most = candidate.faults_before;
        else
            least = candidate.faults_before + 1;
    }
}

static void shrink_payments(struct scenario *best, struct report *report)
{
    for (int size = best->payments / 2; size >= 1; size /= 2)
        for (int at = 0; at < best->payments; at += size) {
            struct scenario candidate = *best;
            for (int i = at; i < at + size && i < best->payments; i++)
                candidate.without |= UINT64_C(1) << i;
            if (candidate.without != best->without)
                keep_if_wrong(best, &candidate, report);
        }
}

static void shrink(struct scenario *best, struct report *report)
{
    for (int round = 0; round < 2; round++) {
        shrink_payments(best, report);
        shrink_faults(best, report);
    }
}

/* --- the run --- */

static void print_way_back(const struct scenario *what)
{
    printf("again: build/%ssimulate --seed %" PRIu64 " --payments %d", MUTANTS_MADE ? "mutants/" : "", what->seed,
           what->payments);
    if (what->without)
        printf(" --leave-out 0x%" PRIx64, what->without);
    if (what->faults_before != FAULTS_UNLIMITED)
        printf(" --faults-before %d", what->faults_before);
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        if (!(what->faults & 1U << kind))
            printf(" --without-fault %s", fault_names[kind]);
    if (mutant_named)
        printf(" --mutant %s", mutant_named);
    puts(" --story");
}

static void tell_failure(const struct options *options, struct report *report)
{
    struct scenario best = report->failed;
    printf("WRONG: seed %" PRIu64 ": %s\n", best.seed, report->wrong);
    print_way_back(&best);
    if (!options->shrink)
        return;
    struct report again;
    if (!try(&best, &again)) {
        shrink(&best, &again);
        best.tell = true;
        try(&best, &again);
        printf("SHRUNK to: %s\n", again.wrong);
        print_way_back(&best);
    }
}

static double seconds_since(const struct timespec *begun)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun->tv_sec) + (double)(now.tv_nsec - begun->tv_nsec) / 1e9;
}

static struct scenario scenario_of(const struct options *options, long done)
{
    long left = options->payments - done;
    return (struct scenario){
        .seed = options->seed + (uint64_t)(done / WORLD_PAYMENTS_MAX),
        .payments = options->until_failure || left > WORLD_PAYMENTS_MAX ? WORLD_PAYMENTS_MAX : (int)left,
        .without = options->without,
        .faults = options->faults,
        .faults_before = options->faults_before,
        .tell = options->story,
    };
}

/* How many worlds the next process takes. */
static int worlds_of(const struct options *options, long done)
{
    long left = options->until_failure ? CHUNK : (options->payments - done) / WORLD_PAYMENTS_MAX;
    return left > CHUNK ? CHUNK : left < 1 ? 1 : (int)left;
}

static bool is_over(const struct options *options, const struct timespec *begun)
{
    return options->mutants && seconds_since(begun) > MUTANT_S;
}

/* Runs the worlds, a few processes at a time. The first report that something was wrong, or one that all was well. */
static void run_worlds(const struct options *options, struct coverage *all, struct report *ret)
{
    struct child children[JOBS_MAX];
    static struct report report;
    struct timespec begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    long done = 0;
    int under_way = 0, oldest = 0;
    *ret = (struct report){.good = true};
    for (;;) {
        bool more = ret->good && (options->until_failure || done < options->payments) && !is_over(options, &begun);
        if (!more && under_way == 0)
            return;
        if (more && under_way < options->jobs) {
            int worlds = worlds_of(options, done);
            begin_child(&children[(oldest + under_way++) % JOBS_MAX], scenario_of(options, done), worlds);
            done += (long)worlds * WORLD_PAYMENTS_MAX;
            continue;
        }
        end_child(&children[oldest], &report);
        oldest = (oldest + 1) % JOBS_MAX;
        under_way--;
        coverage_add(all, &report.coverage);
        if (!report.good && ret->good)
            *ret = report;
    }
}

/* "make mutants" */
static int run_mutants(struct options options)
{
    int missed = 0;
    options.until_failure = true;
    printf("%-28s %-5s %-9s %8s  %s\n", "taken out", "law", "seed", "seconds", "found by");
    size_t first = 0;
    while (mutant_named && strcmp(mutant_at(first)->name, mutant_named) != 0)
        first++;
    for (size_t i = first; i < mutant_count(); i++) {
        static struct coverage all;
        static struct report report;
        struct timespec begun;
        const struct mutant *mutant = mutant_at(i);
        clock_gettime(CLOCK_MONOTONIC, &begun);
        mutant_activate(mutant->name);
        run_worlds(&options, &all, &report);
        missed += report.good;
        printf("%-28s %-5s ", mutant->name, mutant->law);
        if (report.good)
            printf("%-9s %8.1f  NOT FOUND: %s\n", "-", seconds_since(&begun), mutant->text);
        else
            printf("%-9" PRIu64 " %8.1f  %s\n", report.failed.seed, seconds_since(&begun), report.wrong);
        fflush(stdout);
    }
    printf("%zu mutants, %d not found\n", mutant_count() - first, missed);
    return missed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const struct options *options)
{
    static struct coverage all;
    static struct report report;
    struct timespec begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    run_worlds(options, &all, &report);
    bool wrong = !report.good;
    if (wrong)
        tell_failure(options, &report);
    int zeros = options->tables && !wrong ? coverage_print(&all) : 0;
    double took = seconds_since(&begun);
    printf("%s%" PRIu64 " payments in %" PRIu64 " worlds, %" PRIu64 " events, %.1f s, %.0f payments a second\n",
           options->tables ? "\n" : "", all.payments, all.worlds, all.events, took, (double)all.payments / took);
    if (zeros)
        printf("%d lines were not reached\n", zeros);
    return wrong || zeros ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int fault_find(const char *name)
{
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        if (strcmp(fault_names[kind], name) == 0)
            return kind;
    return -1;
}

static bool read_options(int argc, char **argv, struct options *ret)
{
    static const struct option known[] = {{"seed", required_argument, NULL, 's'},
                                          {"payments", required_argument, NULL, 'p'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"until-failure", no_argument, NULL, 'u'},
                                          {"shrink", no_argument, NULL, 'k'},
                                          {"story", no_argument, NULL, 't'},
                                          {"faults-before", required_argument, NULL, 'b'},
                                          {"without-fault", required_argument, NULL, 'w'},
                                          {"leave-out", required_argument, NULL, 'l'},
                                          {"tables", no_argument, NULL, 'T'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"mutant", required_argument, NULL, 'm'},
                                          {"mutants", no_argument, NULL, 'M'},
                                          {0}};
    for (int c, kind; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 's':
            ret->seed = strtoull(optarg, NULL, 0);
            break;
        case 'p':
            ret->payments = strtol(optarg, NULL, 10);
            break;
        case 'j':
            ret->jobs = (int)strtol(optarg, NULL, 10);
            break;
        case 'u':
            ret->until_failure = true;
            break;
        case 'k':
            ret->shrink = true;
            break;
        case 't':
            ret->story = true;
            break;
        case 'b':
            ret->faults_before = (int)strtol(optarg, NULL, 10);
            break;
        case 'w':
            if ((kind = fault_find(optarg)) < 0)
                return false;
            ret->faults &= ~(1U << kind);
            break;
        case 'l':
            ret->without = strtoull(optarg, NULL, 0);
            break;
        case 'T':
            ret->tables = true;
            break;
        case 'm':
            if (!MUTANTS_MADE || !mutant_activate(optarg))
                return false;
            mutant_named = optarg;
            break;
        case 'M':
            if (!MUTANTS_MADE)
                return false;
            ret->mutants = true;
            break;
        case 'c':
            ret->config = optarg;
            break;
        case 'h':
            usage(stdout);
            exit(EXIT_SUCCESS);
        default:
            return false;
        }
    return optind == argc && ret->payments > 0 && ret->jobs > 0 && ret->jobs <= JOBS_MAX;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1,
                              .payments = WORLD_PAYMENTS_MAX,
                              .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN),
                              .faults = FAULTS_ALL,
                              .faults_before = FAULTS_UNLIMITED,
                              .config = "tests/simulate/simulate.conf"};
    struct err err = {0};
    if (!read_options(argc, argv, &options)) {
        usage(stderr);
        return EXIT_WRONG_USAGE;
    }
    json_object_seed(1); /* the order of an object's members must not be left to chance either */
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    log_open("simulate", LOG_ERROR_LEVEL);
    if (farm_open(options.config, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    int code = options.mutants ? run_mutants(options) : run(&options);
    farm_close();
    return code;
}
