// SPDX-License-Identifier: Apache-2.0
// hardening.c - settings that hardening guides turn, and what each costs whoever asks. That
// the VM's processes can be made all the same is tried by the checks; this says why they can't.
#include "doctor/hardening.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "process_info.h"

enum { EXACTLY, AT_LEAST };

struct setting {
    const char *name; /* of the sysctl */
    int how;
    long value; /* it bites then */
    const char *costs_root, *costs_user;
    const char *cure;
};

#define NO_VM "no VM starts"
#define FALL_BACK "disks and taps take a system call for each request"

/* NULL: it costs nothing. Two rows of one name: the first that bites counts. */
static const struct setting settings[] = {
    { "user.max_user_namespaces", EXACTLY, 0,
      "no --net user; else a uid without capabilities does instead of a user namespace", NO_VM,
      "user.max_user_namespaces=10000" },
    { "kernel.unprivileged_userns_clone", EXACTLY, 0, NULL, NO_VM,
      "kernel.unprivileged_userns_clone=1" },
    { "kernel.apparmor_restrict_unprivileged_userns", AT_LEAST, 1, NULL, NO_VM,
      "a profile for bulkhead-broker with the rule 'userns,'" },
    { "kernel.yama.ptrace_scope", AT_LEAST, 3, "the audit can't read seccomp programs back", NULL,
      "none before the next boot; the rest of the audit is made" },
    { "kernel.io_uring_disabled", AT_LEAST, 2, FALL_BACK, FALL_BACK, "kernel.io_uring_disabled=0" },
    { "kernel.io_uring_disabled", AT_LEAST, 1, NULL, FALL_BACK,
      "membership in kernel.io_uring_group, or kernel.io_uring_disabled=0" },
    { "vm.overcommit_memory", EXACTLY, 2,
      "guest RAM counts as the guest touches it: beyond CommitLimit of /proc/meminfo the VM ends",
      "guest RAM counts as the guest touches it: beyond CommitLimit of /proc/meminfo the VM ends",
      "vm.overcommit_ratio that leaves room for the RAM of all guests" },
    { "fs.protected_regular", AT_LEAST, 1,
      "a console's file= in /tmp that is another user's is refused",
      "a console's file= in /tmp that is another user's is refused",
      "a file of your own, or another folder" },
    { "fs.protected_fifos", AT_LEAST, 1, NULL, NULL, "" },
    { "fs.protected_symlinks", AT_LEAST, 1, NULL, NULL, "" },
    { "fs.protected_hardlinks", AT_LEAST, 1, NULL, NULL, "" },
    { "kernel.modules_disabled", EXACTLY, 1,
      "kvm and tun must have been loaded before, for what the checks above miss", NULL,
      "load them at boot (/etc/modules-load.d)" },
    { "kernel.kexec_load_disabled", AT_LEAST, 1, NULL, NULL, "" },
    { "vm.memfd_noexec", AT_LEAST, 1, NULL, NULL, "" },
    { "kernel.dmesg_restrict", AT_LEAST, 1, NULL, NULL, "" },
};

/* The sysctl's file; "" when this kernel has none. */
static void read_setting(const char *name, char *dst, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    for (char *p = path; *p; p++)
        *p = *p == '.' ? '/' : *p;
    if (process_read(path, dst, size) < 0)
        dst[0] = '\0';
    dst[strcspn(dst, "\n")] = '\0';
}

static bool bites(const struct setting *s, const char *value)
{
    long n = strtol(value, NULL, 10);

    return s->how == EXACTLY ? n == s->value : n >= s->value;
}

static void add(struct doctor_setting *ret, size_t max, size_t *n, const char *name,
                const char *value, const char *costs, const char *cure, bool root_is_better)
{
    struct doctor_setting *s = &ret[*n];

    if (*n == max)
        return;
    snprintf(s->name, sizeof(s->name), "%s", name);
    snprintf(s->value, sizeof(s->value), "%s", value);
    snprintf(s->costs, sizeof(s->costs), "%s", costs ? costs : "");
    snprintf(s->cure, sizeof(s->cure), "%s%s", costs ? cure : "",
             costs && root_is_better ? ", or run as root" : "");
    (*n)++;
}

/* What the caller itself is under; its children are too. */
static void add_confinement(struct doctor_setting *ret, size_t max, size_t *n)
{
    char label[64] = "", status[8192], filters[16] = "0";

    if (process_read("/proc/self/attr/current", label, sizeof(label)) > 0 && isalnum(label[0]) &&
        strncmp(label, "unconfined", 10) != 0) {
        label[strcspn(label, "\n")] = '\0';
        add(ret, max, n, "label of AppArmor or SELinux", label, "a VM's processes are under it too",
            "a profile as in docs/operating.md (attach_disconnected, mount, pivot_root), or run "
            "unconfined",
            false);
    }
    if (process_read("/proc/self/status", status, sizeof(status)) > 0 &&
        process_field(status, "Seccomp_filters", filters, sizeof(filters)) &&
        strtoul(filters, NULL, 10) > 0)
        add(ret, max, n, "seccomp filters around this", filters,
            "a VM's processes are under them too, and the audit from elsewhere counts them as "
            "drift",
            "audit from within", false);
    /* Process 1 is root's: it is there, so not to see it is not to be shown it. */
    if (access("/proc/1", F_OK) < 0 && errno == ENOENT)
        add(ret, max, n, "hidepid of /proc", "2", "the audit can't see broker and spawner",
            "audit as root", false);
}

size_t doctor_settings(struct doctor_setting *ret_settings, size_t max)
{
    const char *last = "";
    size_t n = 0;

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        const struct setting *s = &settings[i];
        const char *costs = geteuid() == 0 ? s->costs_root : s->costs_user;
        char value[32];

        read_setting(s->name, value, sizeof(value));
        if (!value[0] || !bites(s, value) || strcmp(last, s->name) == 0)
            continue;
        last = s->name;
        add(ret_settings, max, &n, s->name, value, costs, s->cure,
            geteuid() != 0 && s->costs_root != s->costs_user);
    }
    add_confinement(ret_settings, max, &n);
    return n;
}
