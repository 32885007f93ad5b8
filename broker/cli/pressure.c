// SPDX-License-Identifier: Apache-2.0
// pressure.c - see pressure.h.
#include "pressure.h"
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "sandbox/cgroup.h"
#include "vm_group.h"

struct pressure_of pressure_parse(const char *text)
{
    const char *full = strstr(text, "full avg10=");
    struct pressure_of p = { 0 };
    unsigned long long total;

    p.known = sscanf(text, "some avg10=%lf avg60=%*f avg300=%*f total=%llu", &p.some, &total) == 2;
    p.some_us = p.known ? total : 0;
    /* A kernel before 5.13 has no such line of the CPU. */
    if (!p.known || !full || sscanf(full, "full avg10=%lf", &p.full) != 1)
        p.full = 0;
    return p;
}

static struct pressure_of look_at(int group_fd, const char *file)
{
    char text[256];

    return sandbox_cgroup_read_all(group_fd, file, text, sizeof(text)) < 0
               ? (struct pressure_of){ 0 }
               : pressure_parse(text);
}

void pressure_look(pid_t core, struct pressure *ret_pressure)
{
    cleanup_(fd_closep) int fd = vm_group_open(core);

    *ret_pressure = (struct pressure){ 0 };
    if (fd < 0)
        return;
    ret_pressure->cpu = look_at(fd, "cpu.pressure");
    ret_pressure->memory = look_at(fd, "memory.pressure");
    ret_pressure->io = look_at(fd, "io.pressure");
}

static json_t *one_json(const struct pressure_of *p)
{
    return p->known ? json_pack("{s:f,s:f,s:I}", "some_avg10", p->some, "full_avg10", p->full,
                                "some_total_us", (json_int_t)p->some_us)
                    : json_null();
}

json_t *pressure_json(const struct pressure *p)
{
    return json_pack("{s:o,s:o,s:o}", "cpu", one_json(&p->cpu), "memory", one_json(&p->memory),
                     "io", one_json(&p->io));
}
