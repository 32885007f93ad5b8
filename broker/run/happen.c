/* SPDX-License-Identifier: Apache-2.0 */
/* happen.c - see happen.h. */
#include "run/happen.h"

#include <string.h>
#include "base/log.h"
#include "run/keeper.h"
#include "run/perform.h"
#include "run/steps.h"
#include "vm/link.h"
#include "vm/step.h"

static void arm(struct instance *in)
{
    uint64_t at = vm_next_deadline(&in->vm), now = now_ns();

    for (unsigned i = 0; in->passt_timer && i < in->vm.n_devices; i++)
        if (link_awaits_passt(&in->vm, &in->vm.devices[i])) {
            loop_timer_arm(in->passt_timer, INSTANCE_PASST_POLL_MS, false);
            break;
        }
    if (!in->deadline)
        return;
    if (at == 0)
        loop_timer_disarm(in->deadline);
    else
        loop_timer_arm(in->deadline, at > now ? (at - now) / 1000000 + 1 : 0, false);
}

static void wait(struct instance *in, const struct event *event)
{
    if (in->n_pending < ARRAY_SIZE(in->pending))
        in->pending[in->n_pending++] = *event;
    else
        log_error("too many events at once: one is lost");
}

static void carry_out(struct instance *in, const struct event *event)
{
    struct event next;

    vm_step(&in->vm, event, now_ns());
    keeper_note(in); /* before it is acted on */
    for (unsigned i = 0; i < in->vm.actions.n; i++) {
        if (perform(in, &in->vm.actions.list[i], &next))
            wait(in, &next);
        steps_performed(in, &in->vm.actions.list[i]);
    }
}

void happen(struct instance *in, const struct event *event)
{
    if (in->busy) {
        wait(in, event);
        return;
    }
    in->busy = true;
    carry_out(in, event);
    while (in->n_pending > 0) {
        struct event next = in->pending[0];

        in->n_pending--;
        memmove(&in->pending[0], &in->pending[1], in->n_pending * sizeof in->pending[0]);
        carry_out(in, &next);
    }
    in->busy = false;
    arm(in);
}
