// SPDX-License-Identifier: Apache-2.0
// hostd_said.c - see hostd_said.h.
#include "hostd_said.h"

#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

void hostd_say(unsigned (*pick)(unsigned n), const char *const *files,
               void (*said)(const Bulkhead__ClientEnvelope *said))
{
    static const char *const states[] = { "running", "paused", "starting", "ending" };
    static const char *const events[] = { "paused", "resumed", "booted", "added" };
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    Bulkhead__VmPlan vm_plan = BULKHEAD__VM_PLAN__INIT;
    Bulkhead__ProcessPlan p = BULKHEAD__PROCESS_PLAN__INIT, *processes[] = { &p };
    Bulkhead__FdPlan fd = BULKHEAD__FD_PLAN__INIT, *fds[] = { &fd };

    switch (pick(6)) {
    case 0:
    case 1:
        list.state = T(states[pick(4)]);
        e.body_case = C(PROCESS_LIST);
        e.process_list = &list;
        break;
    case 2:
        ended.state = BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN;
        e.body_case = C(VM_ENDED);
        e.vm_ended = &ended;
        break;
    case 3:
        event.source = T(pick(2) ? "vm" : "device");
        event.event = T(events[pick(4)]);
        e.body_case = C(EVENT);
        e.event = &event;
        break;
    case 4:
        reply.error = pick(2);
        e.id = pick(8);
        e.body_case = C(REPLY);
        e.reply = &reply;
        break;
    default:
        fd.what = T(files[pick(4)]);
        fd.why = T("the disk");
        fd.ino = pick(4);
        p.role = BULKHEAD__ROLE__ROLE_BLK;
        p.fds = fds;
        p.n_fds = 1;
        vm_plan.processes = processes;
        vm_plan.n_processes = 1;
        plan.plan = &vm_plan;
        e.body_case = C(PLAN);
        e.plan = &plan;
        break;
    }
    said(&e);
}
