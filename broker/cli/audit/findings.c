// SPDX-License-Identifier: Apache-2.0
// findings.c - findings are collected, whatever their kind.
#include "audit/findings.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "output.h"

void audit_add(const struct audit_target *t, enum audit_verdict verdict, const char *check,
               const char *fmt, ...)
{
    struct audit *a = t->audit;
    struct audit_finding *grown = realloc(a->findings, (a->n_findings + 1) * sizeof(*grown));
    struct audit_finding *f;
    va_list ap;

    if (!grown)
        exit(say_error(EXIT_HOST, "out of memory"));
    a->findings = grown;
    f = &grown[a->n_findings++];
    *f = (struct audit_finding){ .verdict = verdict };
    snprintf(f->process, sizeof(f->process), "%s", t->plan->name);
    snprintf(f->check, sizeof(f->check), "%s", check);
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof(f->text), fmt, ap);
    va_end(ap);
}

/* With hidepid=2 on /proc another user's process is there, and its folder is not. */
static bool is_hidden(pid_t pid)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return access(path, F_OK) < 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

void audit_unreadable(const struct audit_target *t, const char *check, int error)
{
    if (error != ENOENT && error != ESRCH)
        audit_add(t, AUDIT_UNREADABLE, check, "%s (run as root)", strerror(error));
    else if (is_hidden(t->pid))
        audit_add(t, AUDIT_UNREADABLE, check, "hidden by /proc's hidepid option (run as root)");
    else
        t->audit->gone = true;
}

void audit_deinit(struct audit *audit)
{
    free(audit->findings);
    *audit = (struct audit){ 0 };
}
