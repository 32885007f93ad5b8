/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.c - see sealed.h. */
#include "run/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "config/config.h"

enum {
    SEALED_VERSION = 2,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL,
    MAX_CONFIG_BYTES = 1 << 20
};

/* The descriptors in it mean nothing. The packed configuration follows. */
struct sealed {
    uint32_t version, bytes, config_bytes, n_ends;
    struct plan_host host; /* but for cgroup */
    char cgroup[PLAN_CGROUP_BYTES];
    char programs_dir[PROGRAMS_DIR_BYTES];
    uint64_t created_ns;
    bool is_service, has_tty;
    struct termios termios;
    struct backend backends[PLAN_MAX_DEVICES];
};

static int write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_origin(n < 0 ? -errno : -EIO, "writing down what was opened");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_all(int fd, void *bytes, size_t len, off_t offset)
{
    ssize_t n = pread(fd, bytes, len, offset);

    return n == (ssize_t)len ? 0 : err_origin(-EBADMSG, "what was written down is cut off");
}

static void fill(const struct instance *in, struct sealed *s)
{
    s->version = SEALED_VERSION;
    s->bytes = sizeof *s;
    s->n_ends = in->n_ends;
    s->host = in->host;
    s->host.cgroup = NULL;
    snprintf(s->cgroup, sizeof s->cgroup, "%s", in->host.cgroup);
    memcpy(s->programs_dir, in->programs.dir, sizeof s->programs_dir);
    s->created_ns = in->vm.created_ns;
    s->is_service = in->is_service;
    s->has_tty = in->has_tty;
    s->termios = in->termios;
    for (unsigned i = 0; i < in->n_ends; i++)
        s->backends[i] = in->ends[i].backend;
}

int sealed_write(struct instance *in, int *ret_fd)
{
    cleanup_(fd_closep) int fd = fd_memfd("sealed", 0);
    size_t len = bulkhead__vm_config__get_packed_size(in->config);
    struct sealed *s = calloc(1, sizeof *s);
    uint8_t *config = malloc(len + 1);
    int r = fd < 0 ? err_origin(-errno, "a memfd") : 0;

    if (r == 0 && (!s || !config || len > MAX_CONFIG_BYTES))
        r = err_origin(-ENOMEM, "the configuration");
    if (r == 0) {
        fill(in, s);
        s->config_bytes = (uint32_t)bulkhead__vm_config__pack(in->config, config);
        r = write_all(fd, s, sizeof *s);
    }
    if (r == 0)
        r = write_all(fd, config, len);
    if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        r = err_origin(-errno, "sealing what was opened");
    free(s);
    free(config);
    if (r == 0)
        *ret_fd = fd_take(&fd);
    return r < 0 ? err_trace(r) : 0;
}

static Bulkhead__VmConfig *read_config(int fd, const struct sealed *s)
{
    Bulkhead__VmConfig *config = NULL;
    uint8_t *bytes = s->config_bytes <= MAX_CONFIG_BYTES ? malloc(s->config_bytes + 1u) : NULL;

    if (bytes && read_all(fd, bytes, s->config_bytes, sizeof *s) == 0)
        config = bulkhead__vm_config__unpack(NULL, s->config_bytes, bytes);
    free(bytes);
    return config;
}

static void take(struct instance *in, const struct sealed *s)
{
    static char cgroup[PLAN_CGROUP_BYTES]; /* one instance per process */

    in->host = s->host;
    memcpy(cgroup, s->cgroup, sizeof cgroup);
    in->host.cgroup = cgroup;
    in->host.broker_pid = getpid();
    memcpy(in->programs.dir, s->programs_dir, sizeof in->programs.dir);
    programs_open_folders(&in->programs);
    in->vm.created_ns = s->created_ns;
    in->is_service = s->is_service;
    in->has_tty = s->has_tty;
    in->termios = s->termios;
    for (unsigned i = 0; i < s->n_ends; i++) {
        instance_add_ends(in);
        in->ends[i].backend = s->backends[i];
        backend_forget(&in->ends[i].backend);
    }
}

int sealed_read(struct instance *in, int fd)
{
    struct sealed *s = calloc(1, sizeof *s);
    int seals = fcntl(fd, F_GET_SEALS);
    Bulkhead__VmConfig *config = NULL;
    int r = !s ? err_origin(-ENOMEM, "what was written down") : 0;

    if (r == 0 && (seals < 0 || (seals & SEALS) != SEALS))
        r = err_origin(-EBADMSG, "what was written down is not sealed");
    if (r == 0)
        r = read_all(fd, s, sizeof *s, 0);
    if (r == 0 && (s->version != SEALED_VERSION || s->bytes != sizeof *s))
        r = err_origin(-EBADMSG, "what was written down is of another build");
    if (r == 0) {
        config = read_config(fd, s);
        r = config ? 0 : err_origin(-EBADMSG, "the configuration that was written down");
    }
    if (r == 0) {
        instance_plan(in, config);
        if (s->n_ends != in->plan.n_devices)
            r = err_origin(-EBADMSG, "the devices that were written down");
        else
            take(in, s);
    }
    free(s);
    return r < 0 ? err_trace(r) : 0;
}
