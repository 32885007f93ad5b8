/* SPDX-License-Identifier: Apache-2.0 */
/* liveness.c - see liveness.h. */
#include "resources/liveness.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TICKS_PER_SECOND = 100, /* USER_HZ, part of the kernel's ABI */
    STARVED_PATIENCE = 10,  /* times the limit, then it is replaced all the same */
};

/* State letter and CPU time (proc(5), fields 3, 14 and 15). */
static bool read_stat(int stat_fd, char *ret_state, uint64_t *ret_cpu_ns)
{
    unsigned long long user = 0, system = 0;
    char text[512];
    const char *after_name;
    ssize_t n;

    n = stat_fd < 0 ? -1 : pread(stat_fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    after_name = strrchr(text, ')'); /* the name may hold anything, parentheses too */
    if (!after_name || sscanf(after_name, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                              ret_state, &user, &system) != 3)
        return false;
    *ret_cpu_ns = (user + system) * (1000000000ull / TICKS_PER_SECOND);
    return true;
}

/* First look at a process that is late: remembers how much it has run. */
static void first_look(struct starved *s, int stat_fd, uint64_t now_ns)
{
    char state;

    if (s->since_ns == 0 && read_stat(stat_fd, &state, &s->cpu_ns))
        s->since_ns = now_ns;
}

static enum starved_of second_look(const struct starved *s, int stat_fd, uint64_t now_ns)
{
    uint64_t cpu_ns = 0, ran_ns, wall_ns;
    char state = '?';

    if (s->since_ns == 0 || !read_stat(stat_fd, &state, &cpu_ns))
        return STARVED_OF_NOTHING;
    if (state == 'D')
        return STARVED_OF_DISK;
    ran_ns = cpu_ns - s->cpu_ns;
    wall_ns = now_ns - s->since_ns;
    return state == 'R' && ran_ns < wall_ns / 2 ? STARVED_OF_CPU : STARVED_OF_NOTHING;
}

bool starved_too_long(struct starved *s, int stat_fd, uint64_t silent_ns, uint64_t now_ns,
                      const struct starved_limits *limits, enum starved_of *ret_of)
{
    *ret_of = STARVED_OF_NOTHING;
    if (silent_ns > limits->hang_ns / 2)
        first_look(s, stat_fd, now_ns);
    if (silent_ns < limits->hang_ns)
        return false;
    *ret_of = second_look(s, stat_fd, now_ns);
    switch (*ret_of) {
    case STARVED_OF_CPU:
        /* On an overloaded host a replacement would starve as well. */
        return silent_ns >= STARVED_PATIENCE * limits->hang_ns;
    case STARVED_OF_DISK:
        return silent_ns >= limits->stall_ns;
    case STARVED_OF_NOTHING:
        break;
    }
    return true;
}
