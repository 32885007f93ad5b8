/* SPDX-License-Identifier: Apache-2.0 */
/* steps.c - see steps.h. Part of builds with BH_FAILPOINTS only. */
#include "run/steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "ipc/rules.h"

/* What the file has; offsets are tests/cli/broker-steps's too. */
static struct {
    uint32_t left;   /* steps to live; 0: for ever */
    uint32_t begun;  /* counting has begun, which `from` may put off */
    uint32_t passed; /* since it was armed */
    uint32_t deaths;
    char from
        [64]; /* the step from which on it is counted, and with which, when it comes again, counting ends */
    char last[64]; /* the step at which it died */
} * page;

void steps_open(const char *variable)
{
    const struct rlimit no_core = { 0 };
    const char *path = getenv(variable);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped;

    if (fd < 0)
        return;
    mapped = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return;
    page = mapped;
    setrlimit(RLIMIT_CORE, &no_core);
}

static void pass(const char *step)
{
    bool is_from;

    if (!page || page->left == 0)
        return;
    is_from = page->from[0] != '\0' && strcmp(step, page->from) == 0;
    if (!page->begun) {
        page->begun = is_from || page->from[0] == '\0';
        if (is_from)
            return;
    } else if (is_from) {
        page->left = 0;
    }
    if (!page->begun || page->left == 0)
        return;
    page->passed++;
    if (--page->left > 0)
        return;
    snprintf(page->last, sizeof page->last, "%s", step);
    page->deaths++;
    __builtin_trap(); /* needs no system call */
}

void steps_pass(const char *what, unsigned number)
{
    char step[64];

    snprintf(step, sizeof step, "%s %u", what, number);
    pass(step);
}

static bool differ(const struct vm *vm, const struct record *a, const struct record *b)
{
    return memcmp(a, b, offsetof(struct record, children)) != 0 ||
           memcmp(a->children, b->children, a->n_children * sizeof a->children[0]) != 0 ||
           memcmp(a->devices, b->devices, vm->n_devices * sizeof a->devices[0]) != 0;
}

void steps_noted(const struct instance *in, const struct record *before, const struct record *after,
                 const char *what)
{
    if (page && page->left > 0 && (in->vm.actions.n > 0 || differ(&in->vm, before, after)))
        pass(what);
}

void steps_performed(const struct instance *in, const struct action *a)
{
    static const char *const names[] = {
        [ACTION_START] = "start",
        [ACTION_TELL] = "tell",
        [ACTION_KILL] = "kill",
        [ACTION_FORGET] = "forget",
        [ACTION_DROP_RING] = "drop ring of",
        [ACTION_CONNECT] = "connect for",
        [ACTION_KEEP_CLIENT] = "keep client of",
        [ACTION_OPEN_PROGRAM] = "open program of",
        [ACTION_DROP_CANDIDATE] = "drop candidate of",
        [ACTION_PROMOTE] = "promote",
        [ACTION_ROLL_BACK] = "roll back",
        [ACTION_OLD_STREAM] = "old stream of",
        [ACTION_ATTACH_TAP] = "attach tap of",
        [ACTION_FREE_DEVICE] = "free device",
        [ACTION_MAKE_BOOT] = "make boot",
        [ACTION_FREE_BOOT] = "free boot",
        [ACTION_LOUD] = "loud",
        [ACTION_LOG] = "log",
        [ACTION_NOTICE] = "notice",
        [ACTION_REPLY] = "reply",
        [ACTION_ENDED] = "ended",
    };
    const struct child *c = vm_look(&in->vm, a->child);
    const char *of = c ? c->name : a->kind == ACTION_NOTICE ? a->name : "", *body = "";
    char step[64];

    if (a->kind == ACTION_TELL)
        body = rules_body_name(a->body);
    snprintf(step, sizeof step, "%s%s%.24s%s%.24s", names[a->kind], of[0] ? " " : "", of,
             body[0] ? " " : "", body);
    pass(step);
}
