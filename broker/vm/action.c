/* SPDX-License-Identifier: Apache-2.0 */
/* action.c - see action.h. */
#include "vm/action.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

struct action *action_add(struct actions *actions, enum action_kind kind)
{
    struct action *a;

    if (actions->n == ACTIONS_MAX) {
        actions->full = true;
        actions->n--;
    }
    a = &actions->list[actions->n++];
    memset(a, 0, offsetof(struct action, text));
    a->kind = kind;
    a->text[0] = '\0';
    return a;
}

struct action *action_add_child(struct actions *actions, enum action_kind kind, uint32_t child)
{
    struct action *a = action_add(actions, kind);

    a->child = child;
    return a;
}

struct action *action_add_device(struct actions *actions, enum action_kind kind, unsigned device)
{
    struct action *a = action_add(actions, kind);

    a->device = device;
    return a;
}

void action_log(struct actions *actions, bool error, const char *fmt, ...)
{
    struct action *a = action_add(actions, ACTION_LOG);
    va_list args;

    a->flag = error;
    va_start(args, fmt);
    vsnprintf(a->text, sizeof a->text, fmt, args);
    va_end(args);
}

void action_notice(struct actions *actions, const char *source, const char *name, ...)
{
    struct action *a = action_add(actions, ACTION_NOTICE);
    size_t used = 0;
    const char *key;
    va_list args;

    a->source = source;
    a->name = name;
    va_start(args, name);
    for (unsigned i = 0; i < ACTION_MAX_KEYS && (key = va_arg(args, const char *)) != NULL; i++) {
        a->keys[i] = key;
        /* all that is left, but for the ends of those that may follow */
        snprintf(a->text + used, sizeof a->text - used - (ACTION_MAX_KEYS - 1 - i), "%s",
                 va_arg(args, const char *));
        used += strlen(a->text + used) + 1;
    }
    va_end(args);
}

void action_reply(struct actions *actions, struct ticket *ticket, const struct fault *fault)
{
    struct action *a;

    if (ticket->session == 0)
        return;
    a = action_add(actions, ACTION_REPLY);
    a->ticket = *ticket;
    a->error = fault->error;
    a->bad_input = fault->bad_input;
    snprintf(a->text, sizeof a->text, "%s", fault->text);
    *ticket = (struct ticket){ 0 };
}

void action_reply_ok(struct actions *actions, struct ticket *ticket, const char *fmt, ...)
{
    struct fault ok = { 0 };
    va_list args;

    va_start(args, fmt);
    vsnprintf(ok.text, sizeof ok.text, fmt, args);
    va_end(args);
    action_reply(actions, ticket, &ok);
}
