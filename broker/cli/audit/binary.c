// SPDX-License-Identifier: Apache-2.0
// binary.c - how the running executable was linked.
#include "audit/binary.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"

enum { MAX_HEADERS = 64, MAX_DYNAMIC = 128 };

struct traits {
    bool pie, relro, now, nx, write_exec, interpreter;
};

static void read_dynamic(int fd, const Elf64_Phdr *ph, struct traits *traits)
{
    Elf64_Dyn dyn[MAX_DYNAMIC];
    size_t bytes = MIN((size_t)ph->p_filesz, sizeof(dyn));
    ssize_t n = pread(fd, dyn, bytes, (off_t)ph->p_offset);

    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(dyn[0]) && dyn[i].d_tag != DT_NULL; i++)
        traits->now |= dyn[i].d_tag == DT_BIND_NOW ||
                       (dyn[i].d_tag == DT_FLAGS && dyn[i].d_un.d_val & DF_BIND_NOW) ||
                       (dyn[i].d_tag == DT_FLAGS_1 && dyn[i].d_un.d_val & DF_1_NOW);
}

static int read_traits(int fd, struct traits *ret_traits)
{
    struct traits traits = { 0 };
    Elf64_Phdr ph[MAX_HEADERS];
    Elf64_Ehdr eh;
    size_t bytes;

    if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) ||
        memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
        eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum > MAX_HEADERS)
        return -ENOEXEC;
    bytes = eh.e_phnum * sizeof(ph[0]);
    if (pread(fd, ph, bytes, (off_t)eh.e_phoff) != (ssize_t)bytes)
        return -ENOEXEC;
    traits.pie = eh.e_type == ET_DYN;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type == PT_GNU_RELRO)
            traits.relro = true;
        if (ph[i].p_type == PT_GNU_STACK)
            traits.nx = !(ph[i].p_flags & PF_X);
        if (ph[i].p_type == PT_INTERP)
            traits.interpreter = true;
        if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_W) && (ph[i].p_flags & PF_X))
            traits.write_exec = true;
        if (ph[i].p_type == PT_DYNAMIC)
            read_dynamic(fd, &ph[i], &traits);
    }
    *ret_traits = traits;
    return 0;
}

void audit_binary(const struct audit_target *t)
{
    cleanup_(fd_closep) int fd = -1;
    struct traits traits;
    char path[64];

    if (t->plan->role == BULKHEAD__ROLE__ROLE_PASST)
        return; /* the distribution's */
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        audit_unreadable(t, "binary", errno);
        return;
    }
    if (read_traits(fd, &traits) < 0)
        audit_add(t, AUDIT_DRIFT, "binary", "is no 64-bit ELF file");
    else if (!traits.pie || !traits.relro || !traits.now || !traits.nx || traits.write_exec)
        audit_add(t, AUDIT_DRIFT, "binary", "lacks%s%s%s%s%s", traits.pie ? "" : " PIE",
                  traits.relro ? "" : " RELRO", traits.now ? "" : " BIND_NOW",
                  traits.nx ? "" : " NX", traits.write_exec ? " W^X" : "");
    else
        audit_add(t, AUDIT_OK, "binary", "PIE, full RELRO, NX%s",
                  traits.interpreter ? "" : ", static");
}
