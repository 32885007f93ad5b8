/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - see vm.h: what the host must have, memory slots, interrupt controllers. */
#include "kvm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "kvm/cpuid.h"
#include "kvm/irq.h"
#include "kvm/kvm.h"
#include "kvm/vcpu.h"

static const struct {
    int cap;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
    { KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
    { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
    { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static int check_host(int device_fd, unsigned n_vcpus)
{
    int version = ioctl(device_fd, KVM_GET_API_VERSION, 0), max;

    if (version < 0)
        return err_origin(-EOPNOTSUPP,
                          "/dev/kvm is not KVM but another device: delete it and load kvm_intel or "
                          "kvm_amd");
    if (version != KVM_API_VERSION)
        return err_origin(-EOPNOTSUPP,
                          "/dev/kvm speaks version %d of KVM's API, not %d: boot "
                          "another kernel",
                          version, KVM_API_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (ioctl(device_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return err_origin(-EOPNOTSUPP, "the host's KVM lacks %s", needed[i].name);
    max = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (max > 0 && n_vcpus > (unsigned)max)
        return err_origin(-EOPNOTSUPP, "the host's KVM allows %d vCPUs (KVM_CAP_MAX_VCPUS), not %u",
                          max, n_vcpus);
    return 0;
}

static int create_vm(struct hv *hv, int device_fd)
{
    uint64_t identity_map = LAYOUT_KVM_IDENTITY_MAP;
    struct kvm_enable_cap quirks = { .cap = KVM_CAP_DISABLE_QUIRKS,
                                     .args = { KVM_X86_QUIRK_LINT0_REENABLED } };

    hv->vm_fd = ioctl(device_fd, KVM_CREATE_VM, 0);
    if (hv->vm_fd < 0)
        return err_origin(-errno, "KVM_CREATE_VM");
    /* Both are for Intel hosts without unrestricted guest; elsewhere they do nothing. */
    if (ioctl(hv->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
        return err_origin(-errno, "KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(hv->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_KVM_TSS) < 0)
        return err_origin(-errno, "KVM_SET_TSS_ADDR");
    if (ioctl(hv->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
        return err_origin(-errno, "KVM_CREATE_IRQCHIP");
    /* So that LINT0 stays masked when vCPU 0 gets an INIT. An older KVM opens it, to nobody. */
    (void)ioctl(hv->vm_fd, KVM_ENABLE_CAP, &quirks);
    return 0;
}

static int add_memory(struct hv *hv, const struct gmem *mem)
{
    for (unsigned i = 0; i < mem->n_regions; i++) {
        const struct gmem_region *region = &mem->regions[i];
        struct gslice slice;
        struct kvm_userspace_memory_region slot = { .slot = i,
                                                    .guest_phys_addr = region->base,
                                                    .memory_size = region->len_bytes };

        if (gmem_slice(mem, GPA(region->base), region->len_bytes, &slice) != 0)
            return err_origin(-EINVAL, "guest RAM region %u", i);
        slot.userspace_addr = (uintptr_t)gslice_iovec(slice).iov_base;
        if (ioctl(hv->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
            return err_origin(-errno, "KVM_SET_USER_MEMORY_REGION of %llu bytes",
                              (unsigned long long)region->len_bytes);
    }
    return 0;
}

/* A guest sees such memory in its map and faults at the first touch, or so it looks to the user. */
static int check_address_width(const struct gmem *mem, unsigned bits)
{
    const struct gmem_region *last = &mem->regions[mem->n_regions - 1];
    uint64_t most = UINT64_C(1) << MIN(bits, 63u);
    uint64_t hole = last->base > 0 ? LAYOUT_HIGH_RAM_BASE - LAYOUT_LOW_RAM_MAX : 0;

    if (last->base <= most && last->len_bytes <= most - last->base)
        return 0;
    return err_origin(-EOPNOTSUPP,
                      "guest memory would end at %llu MiB, where this host's processor can't "
                      "address it (%u bits): use --memory size=%lluM or less",
                      (unsigned long long)((last->base + last->len_bytes) >> 20), bits,
                      (unsigned long long)((most - MIN(most, hole)) >> 20));
}

static int create_vcpus(struct hv *hv, int device_fd, const struct gmem *mem)
{
    struct kvm_cpuid2 *supported;
    bool tsc_deadline = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    int r = 0;

    supported = calloc(1, sizeof *supported + KVM_CPUID_MAX * sizeof supported->entries[0]);
    if (!supported)
        return err_origin(-ENOMEM, "CPUID table");
    supported->nent = KVM_CPUID_MAX;
    if (ioctl(device_fd, KVM_GET_SUPPORTED_CPUID, supported) < 0)
        r = err_origin(-errno, "KVM_GET_SUPPORTED_CPUID");
    if (r == 0)
        r = check_address_width(mem, kvm_cpuid_address_bits(supported));
    for (unsigned i = 0; r == 0 && i < hv->n_vcpus; i++)
        r = kvm_vcpu_init(hv, device_fd, i, supported, tsc_deadline);
    free(supported);
    return r < 0 ? err_trace(r) : 0;
}

int hv_new(struct hv **ret_hv, int device_fd, unsigned n_vcpus, bool nested, const struct gmem *mem)
{
    struct hv *hv;
    int r = check_host(device_fd, n_vcpus);

    if (r < 0)
        return err_trace(r);
    hv = calloc(1, sizeof *hv);
    if (!hv)
        return err_origin(-ENOMEM, "VM");
    hv->vm_fd = -1;
    hv->n_vcpus = n_vcpus;
    hv->nested = nested;
    for (unsigned i = 0; i < LAYOUT_MAX_VCPUS; i++)
        hv->vcpus[i].fd = -1;
    pthread_mutex_init(&hv->route_lock, NULL);
    hv->notify_any_length = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
    r = create_vm(hv, device_fd);
    if (r == 0)
        r = add_memory(hv, mem);
    if (r == 0)
        r = kvm_irq_init(hv);
    if (r == 0)
        r = create_vcpus(hv, device_fd, mem);
    if (r < 0) {
        hv_free(hv);
        return err_trace(r);
    }
    *ret_hv = hv;
    return 0;
}

void hv_free(struct hv *hv)
{
    if (!hv)
        return;
    for (unsigned i = 0; i < hv->n_vcpus; i++)
        kvm_vcpu_deinit(&hv->vcpus[i]);
    fd_closep(&hv->vm_fd);
    pthread_mutex_destroy(&hv->route_lock);
    free(hv->routes);
    free(hv);
}

unsigned hv_fds(const struct hv *hv, int *fds, unsigned max)
{
    if (max > 0)
        fds[0] = hv->vm_fd;
    for (unsigned i = 0; i < hv->n_vcpus && i + 1 < max; i++)
        fds[i + 1] = hv->vcpus[i].fd;
    return hv->n_vcpus + 1;
}
