/* SPDX-License-Identifier: Apache-2.0 */
/* perform.c - see perform.h. */
#include "hostd/run/perform.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/run/closer.h"
#include "hostd/run/lines.h"
#include "hostd/run/links.h"
#include "hostd/run/notifier.h"
#include "hostd/run/sessions.h"
#include "hostd/run/starter_link.h"

static bool ask(struct service *s, const struct host_action *a, struct host_event *ret_next)
{
    const struct host_vm *vm = host_vm(&s->host, a->vm);
    const struct ask *asked = host_find_ask(&s->host, a->ask);
    bool launches = a->asks == ASK_START || a->asks == ASK_GIVE;
    int fd = -1;

    /* More of his than there is already would be closed after that, so never, perhaps. */
    if (vm && asked && (asked->opens || launches) &&
        closer_has_many(s->closer, closer_of_tenant(vm->tenant))) {
        *ret_next = (struct host_event){ .kind = HOST_REPORTED, .ask = a->ask };
        fault_host(&ret_next->fault, EAGAIN,
                   "too much that was opened for %s takes too long to close: try again",
                   vm->tenant);
        return true;
    }
    if (launches) {
        fd = vm ? links_launch(s, vm) : -ENOENT;
        if (fd < 0) {
            *ret_next = (struct host_event){ .kind = HOST_REPORTED, .ask = a->ask };
            fault_host(&ret_next->fault, fd, "starting: %s", err_text());
            return true;
        }
    }
    starter_link_ask(s, a, vm, fd);
    return false;
}

static bool join(struct service *s, const struct host_action *a, struct host_event *ret_next)
{
    if (s->reported[0] >= 0 && links_join(s, a->vm, fd_take(&s->reported[0])) == 0) {
        lines_supply(s, a->vm);
        return false;
    }
    *ret_next = (struct host_event){ .kind = HOST_LINK_LOST, .vm = a->vm };
    return true;
}

static bool tell(struct service *s, const struct host_action *a, struct host_event *ret_next)
{
    if (links_tell(s, a->vm, a->body))
        return false;
    *ret_next = (struct host_event){ .kind = HOST_LINK_LOST, .vm = a->vm };
    return true;
}

static void quit(struct service *s, const struct host_action *a)
{
    if (a->flag)
        log_error("%s", a->text);
    s->failed = a->flag;
    notifier_stopping(s->notifier);
    loop_quit(s->loop, 0);
}

bool perform(struct service *s, const struct host_action *a, struct host_event *ret_next)
{
    switch (a->kind) {
    case HOST_ASK:
        return ask(s, a, ret_next);
    case HOST_LINK:
        return join(s, a, ret_next);
    case HOST_UNLINK:
        links_drop(s, a->vm);
        lines_drop(s, a->vm);
        break;
    case HOST_DROP_LAUNCH:
        links_drop_launch(s, a->vm);
        break;
    case HOST_TELL:
        return tell(s, a, ret_next);
    case HOST_FORGET:
        links_drop(s, a->vm);
        lines_drop(s, a->vm);
        links_drop_launch(s, a->vm);
        break;
    case HOST_REPLY:
        sessions_reply(s, a);
        break;
    case HOST_ANSWER:
        sessions_answer(s, a);
        break;
    case HOST_NOTICE:
        sessions_notice(s, a);
        break;
    case HOST_CLOSE:
        sessions_close(s, a->session);
        break;
    case HOST_LOG:
        log_line(a->flag ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "%s", a->text);
        break;
    case HOST_READY:
        if (sessions_listen(s) < 0) {
            log_error("the service's socket: %s", err_text());
            s->failed = true;
            loop_quit(s->loop, 0);
        } else {
            notifier_ready(s->notifier);
        }
        break;
    case HOST_QUIT:
    default:
        quit(s, a);
        break;
    }
    return false;
}
