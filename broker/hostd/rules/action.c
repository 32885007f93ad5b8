/* SPDX-License-Identifier: Apache-2.0 */
/* action.c - see action.h. */
#include "hostd/rules/action.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 32 };

void host_actions_deinit(struct host_actions *actions)
{
    free(actions->list);
    memset(actions, 0, sizeof *actions);
}

struct host_action *host_action_add(struct host_actions *actions, enum host_action_kind kind)
{
    struct host_action *a = &actions->spare, *list;

    if (actions->n == actions->room) {
        size_t room = actions->room > 0 ? 2 * actions->room : FIRST_ROOM;

        list = realloc(actions->list, room * sizeof *list);
        if (list) {
            actions->list = list;
            actions->room = room;
        }
    }
    if (actions->n < actions->room)
        a = &actions->list[actions->n++];
    else
        actions->full = true;
    memset(a, 0, sizeof *a);
    a->kind = kind;
    return a;
}

void host_action_log(struct host_actions *actions, bool error, const char *fmt, ...)
{
    struct host_action *a = host_action_add(actions, HOST_LOG);
    va_list args;

    a->flag = error;
    va_start(args, fmt);
    vsnprintf(a->text, sizeof a->text, fmt, args);
    va_end(args);
}
