// SPDX-License-Identifier: Apache-2.0
// sampling.c - see sampling.h.
#include "sampling.h"
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "kin.h"

int sampling_take(struct client *client, struct top_sample *s)
{
    Bulkhead__ListProcesses list = BULKHEAD__LIST_PROCESSES__INIT;
    Bulkhead__GetStats stats = BULKHEAD__GET_STATS__INIT;
    struct client_answer answer;
    struct kin kin;
    int r;

    memset(s, 0, sizeof(*s));
    CLIENT_ENVELOPE(list_request, LIST_PROCESSES, list_processes, &list);
    CLIENT_ENVELOPE(stats_request, GET_STATS, get_stats, &stats);
    r = client_call(client, &list_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST) {
        kin_look(&kin, client->run_dir, answer.envelope->process_list);
        top_take_processes(s, answer.envelope->process_list, &kin);
    }
    if (r == 0)
        r = client_call(client, &stats_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STATS)
        top_take_devices(s, answer.envelope->stats);
    s->time_ns = clock_ns(CLOCK_MONOTONIC);
    return r;
}
