/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - see child.h. */
#include "vm/child.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

bool child_is_live(const struct child *child)
{
    return child->state >= CHILD_READY && child->state <= CHILD_QUIESCED && child->killed_ns == 0 &&
           !child->closed && !child->unsure;
}

bool child_owes(const struct child *child, enum debt debt)
{
    return child->debt_ns[debt] != 0;
}

static int debt_of(Bulkhead__Envelope__BodyCase body)
{
    switch ((int)body) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATE:
        return DEBT_ACTIVATED;
    case BULKHEAD__ENVELOPE__BODY_RESET:
        return DEBT_RESET_DONE;
    case BULKHEAD__ENVELOPE__BODY_QUIESCE:
        return DEBT_QUIESCED;
    default:
        return -1;
    }
}

bool child_tell(struct child *child, struct actions *actions, Bulkhead__Envelope__BodyCase body,
                uint64_t now, struct action **ret_action)
{
    static struct action unused;
    int debt = debt_of(body);
    struct action *a;

    if (ret_action)
        *ret_action = &unused;
    if (child->closed || child->killed_ns != 0 ||
        (child->unsure && body != BULKHEAD__ENVELOPE__BODY_STOP) ||
        !rules_legal(RULE_TO_CHILD, child->role, child->state, body))
        return false;
    a = action_add_child(actions, ACTION_TELL, child->id);
    a->device = child->device;
    a->body = body;
    a->state = child->state;
    child->state = rules_after(RULE_TO_CHILD, child->role, child->state, body);
    if (debt >= 0)
        child->debt_ns[debt] = now;
    if (ret_action)
        *ret_action = a;
    return true;
}

void child_kill(struct child *child, struct actions *actions, uint64_t now, const char *fmt, ...)
{
    va_list args;

    if (child->reason[0] == '\0') {
        va_start(args, fmt);
        vsnprintf(child->reason, sizeof child->reason, fmt, args);
        va_end(args);
    }
    if (child->killed_ns != 0)
        return;
    child->killed_ns = now;
    action_add_child(actions, ACTION_KILL, child->id);
}

void child_stop(struct child *child, struct actions *actions, uint64_t now)
{
    bool core = child->role == BULKHEAD__ROLE__ROLE_CORE;

    if (child->state == CHILD_ENDED || child->killed_ns != 0)
        return;
    if (child->role == BULKHEAD__ROLE__ROLE_PASST ||
        !child_tell(child, actions, BULKHEAD__ENVELOPE__BODY_STOP, now, NULL)) {
        child_kill(child, actions, now, "no longer needed");
        return;
    }
    child->leave_by_ns = now + (core ? CHILD_CORE_LEAVE_MS : CHILD_LEAVE_MS) * UINT64_C(1000000);
}

void child_describe_end(const struct child *child, const char *how, char *ret_text, size_t size)
{
    if (how[0] == '\0')
        snprintf(ret_text, size, "%s", child->reason);
    else if (child->reason[0] != '\0')
        snprintf(ret_text, size, "%s (%s)", child->reason, how);
    else if (child->role == BULKHEAD__ROLE__ROLE_PASST)
        snprintf(ret_text, size, "%s", how);
    else
        snprintf(ret_text, size, "pid %d %s", (int)child->pid, how);
}

void child_copy_clean(char *dst, size_t size, const char *src)
{
    snprintf(dst, size, "%s", src);
    for (char *c = dst; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}
