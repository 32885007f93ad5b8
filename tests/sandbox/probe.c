/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - see probe.h. usage: sandbox_probe filter|bare|insecure|threads|none [ACTION] */
#include "probe.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_rng.h"

#ifdef BH_SANITIZED
/* The leak check at exit wants what no sandbox has, with or without a filter. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

struct early {
    sem_t start;
    int r;
    char text[160]; /* the error record is the thread's own */
};

static void *early_thread(void *arg)
{
    struct early *early = arg;

    sem_wait(&early->start);
    early->r = sandbox_enter_thread(&sandbox_filter_rng);
    snprintf(early->text, sizeof early->text, "%s", err_text());
    return NULL;
}

/* A thread from before the process entered still has its capabilities: it must be refused. */
static int enter_with_early_thread(unsigned *missing)
{
    struct early early = { 0 };
    pthread_t thread;
    int r;

    sem_init(&early.start, 0, 0);
    if (pthread_create(&thread, NULL, early_thread, &early) != 0)
        return -EAGAIN;
    r = sandbox_enter_process(NULL, 0, NULL, false, missing);
    sem_post(&early.start);
    pthread_join(thread, NULL);
    return r < 0 ? r : err_origin(early.r, "%s", early.text);
}

static int enter(const char *mode, unsigned *missing)
{
    /* Room for descriptors, so that it is not this limit that stops what the others should. */
    const struct sandbox_limits roomy = { .max_files = 64 };
    int r;

    if (strcmp(mode, "filter") == 0)
        return sandbox_enter(&sandbox_filter_rng, NULL, 0, NULL, false, missing);
    if (strcmp(mode, "insecure") == 0)
        return sandbox_enter(&sandbox_filter_rng, NULL, 0, NULL, true, missing);
    if (strcmp(mode, "bare") == 0)
        return sandbox_enter_process(NULL, 0, &roomy, false, missing);
    if (strcmp(mode, "early-thread") == 0)
        return enter_with_early_thread(missing);
    if (strcmp(mode, "thread") == 0) {
        r = sandbox_enter_process(NULL, 0, NULL, false, missing);
        return r < 0 ? r : sandbox_enter_thread(&sandbox_filter_rng);
    }
    return 0; /* none */
}

/* What a well-behaved program does late: libc must have opened by then what it wants to open. */
static int use_libc(void)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[128];

    return gmtime_r(&now, &tm) && snprintf(text, sizeof text, "%f %s", 1.5, strerror(EIO)) > 0 &&
                   malloc(1000)
               ? 0
               : EIO;
}

static ssize_t tell(const void *data, size_t len)
{
    return write(FD_CONTROL, data, len);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "none";
    const struct probe_action *action = argc > 2 ? probe_find(argv[2]) : NULL;
    struct probe_report report = { .dumpable = -1, .mdwe = -1, .securebits = -1 };
    struct probe_result result = { 0 };
    char byte = 0;

    report.r = enter(mode, &report.missing);
    if (report.r < 0)
        snprintf(report.text, sizeof report.text, "%s", err_text());
    if (strcmp(mode, "bare") == 0) {
        report.dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
        report.securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
        report.mdwe = prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0);
    }
    if (tell(&report, sizeof report) < 0 || read(FD_CONTROL, &byte, 1) != 1)
        return 0; /* the test is gone */
    if (action || argc > 2) {
        result.error = action ? action->run() : use_libc();
        tell(&result, sizeof result);
    }
    return 0;
}
