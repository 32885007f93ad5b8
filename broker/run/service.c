/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - see service.h. */
#include "run/service.h"

#include <errno.h>
#include "base/fd.h"
#include "devices/handed.h"
#include "devices/net.h"

/* What is left of what came. */
struct brought {
    Bulkhead__Backend *const *backends;
    size_t n_backends;
    int *fds;
    size_t n_fds;
};

static int too_few(struct fault *f)
{
    return fault_input(f, "what was opened for the VM does not fit its configuration: use programs "
                          "of one release");
}

static int take_fd(struct brought *b, int *ret_fd, struct fault *f)
{
    if (b->n_fds == 0)
        return too_few(f);
    *ret_fd = fd_take(b->fds);
    b->fds++;
    b->n_fds--;
    return 0;
}

static int take_images(struct instance *in, struct brought *b, struct fault *f)
{
    int r = take_fd(b, &in->kvm_fd, f);

    if (r == 0)
        r = handed_check_kvm(in->kvm_fd, f);
    if (r == 0)
        r = take_fd(b, &in->kernel_fd, f);
    if (r == 0)
        r = handed_check_image("the kernel", in->kernel_fd, f);
    if (r < 0 || in->config->initramfs[0] == '\0')
        return r;
    r = take_fd(b, &in->initramfs_fd, f);
    return r < 0 ? r : handed_check_image("the initramfs", in->initramfs_fd, f);
}

static int take_backend(struct instance *in, unsigned number, struct brought *b, struct fault *f)
{
    const struct plan_device *d = &in->plan.devices[number];
    struct backend *own = &in->ends[number].backend;
    const Bulkhead__Backend *m;
    size_t n;
    int r;

    if (b->n_backends == 0)
        return too_few(f);
    m = *b->backends++;
    b->n_backends--;
    n = (size_t)m->own + m->held + (m->claim ? 1 : 0);
    if (n > HANDED_MAX_FDS || n > b->n_fds)
        return too_few(f);
    r = handed_take(m, d->name, b->fds, n, own, f);
    b->fds += n;
    b->n_fds -= n;
    return r < 0 ? r : handed_check(in->config, d, own, f);
}

static int take_device(struct instance *in, unsigned number, struct brought *b, struct fault *f)
{
    const struct plan_device *d = &in->plan.devices[number];

    if (programs_fd(&in->programs, d->role, f) < 0)
        return -ENOENT;
    if (handed_is_needed(in->config, d))
        return take_backend(in, number, b, f);
    if (d->role == BULKHEAD__ROLE__ROLE_NET)
        return resources_stream(d->name, &in->ends[number].backend, f);
    return 0;
}

int service_open(struct instance *in, Bulkhead__Backend *const *backends, size_t n_backends,
                 int *fds, size_t n_fds, struct fault *f)
{
    struct brought b = {
        .backends = backends, .n_backends = n_backends, .fds = fds, .n_fds = n_fds
    };
    int r = take_images(in, &b, f);

    for (unsigned i = 0; r == 0 && i < in->plan.n_devices; i++) {
        instance_add_ends(in);
        r = take_device(in, i, &b, f);
    }
    if (r == 0 && (b.n_fds > 0 || b.n_backends > 0))
        r = too_few(f);
    return r < 0 ? r : instance_open_handed(in, f);
}
