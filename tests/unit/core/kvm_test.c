/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_test.c - vmm-core/kvm over a KVM that answers as the test says: what the VM is made of, and
 * how the ends of a run are told apart. */
#include "test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "kvm/cpuid.h"
#include "kvm/irq.h"
#include "kvm/kvm.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

enum { DEVICE = 1000, VM = 1001, RUN_BYTES = 4096, CPUID_WIDTH = 0x80000008 };
enum { LVT_LINT0 = 0x350, LVT_MASKED = 1 << 16 };

static struct {
    uint32_t width_eax;       /* CPUID 0x80000008; 0: there is no such leaf */
    unsigned mp_state, again; /* runs to come that end with EAGAIN */
    int run_error;            /* of all others */
    /* What was asked for. */
    struct kvm_lapic_state lapic[2];
    unsigned n_lapics, vcpus, quirks;
    unsigned pic_routes, ioapic_routes, msi_routes;
    uint32_t msi_data[4096]; /* of each GSI with a route, else 0 */
} kvm;

static void list_cpuid(struct kvm_cpuid2 *cpuid)
{
    cpuid->nent = 0;
    cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){ .function = 1 };
    if (kvm.width_eax != 0)
        cpuid->entries[cpuid->nent++] =
            (struct kvm_cpuid_entry2){ .function = CPUID_WIDTH, .eax = kvm.width_eax };
}

static void set_routing(const struct kvm_irq_routing *routes)
{
    kvm.pic_routes = kvm.ioapic_routes = kvm.msi_routes = 0;
    memset(kvm.msi_data, 0, sizeof kvm.msi_data);
    for (unsigned i = 0; i < routes->nr; i++) {
        const struct kvm_irq_routing_entry *e = &routes->entries[i];

        if (e->type == KVM_IRQ_ROUTING_MSI) {
            assert_int_equal(kvm.msi_data[e->gsi], 0); /* one route for each */
            kvm.msi_data[e->gsi] = e->u.msi.data;
            kvm.msi_routes++;
        }
        if (e->type != KVM_IRQ_ROUTING_IRQCHIP)
            continue;
        if (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC && e->u.irqchip.pin == e->gsi)
            kvm.ioapic_routes++;
        else
            kvm.pic_routes++;
    }
}

static int new_vcpu(void)
{
    int fd = memfd_create("vcpu", MFD_CLOEXEC);

    kvm.vcpus++;
    assert_int_equal(ftruncate(fd, RUN_BYTES), 0);
    return fd;
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static int run(void)
{
    if (kvm.again == 0)
        return fails(kvm.run_error);
    kvm.again--;
    return fails(EAGAIN);
}

static int answer(unsigned long request, void *arg)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        return KVM_API_VERSION;
    case KVM_CHECK_EXTENSION:
        return 64;
    case KVM_GET_VCPU_MMAP_SIZE:
        return RUN_BYTES;
    case KVM_CREATE_VM:
        return VM;
    case KVM_CREATE_VCPU:
        return new_vcpu();
    case KVM_GET_SUPPORTED_CPUID:
        list_cpuid(arg);
        return 0;
    case KVM_SET_GSI_ROUTING:
        set_routing(arg);
        return 0;
    case KVM_ENABLE_CAP:
        if (((struct kvm_enable_cap *)arg)->cap == KVM_CAP_DISABLE_QUIRKS)
            kvm.quirks |= (unsigned)((struct kvm_enable_cap *)arg)->args[0];
        return 0;
    case KVM_GET_LAPIC: /* as KVM has it after a reset of vCPU 0 */
        memset(arg, 0, sizeof(struct kvm_lapic_state));
        memcpy((char *)arg + LVT_LINT0, &(uint32_t){ 0x700 }, sizeof(uint32_t));
        return 0;
    case KVM_SET_LAPIC:
        kvm.lapic[kvm.n_lapics++] = *(struct kvm_lapic_state *)arg;
        return 0;
    case KVM_GET_MP_STATE:
        ((struct kvm_mp_state *)arg)->mp_state = kvm.mp_state;
        return 0;
    case KVM_RUN:
        return run();
    default:
        return 0;
    }
}

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *arg;

    (void)fd;
    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    return answer(request, arg);
}

static int reset(void **state)
{
    (void)state;
    memset(&kvm, 0, sizeof kvm);
    kvm.width_eax = 46;
    return 0;
}

/* RAM that is nowhere: nothing here touches it. */
static int new_vm(struct hv **ret_hv, unsigned vcpus, uint64_t ram_bytes)
{
    struct gmem mem;
    uint64_t low = MIN(ram_bytes, LAYOUT_LOW_RAM_MAX);

    gmem_init_for_test(&mem, 0, (void *)0x10000000, low);
    if (ram_bytes > low)
        assert_int_equal(
            gmem_add_for_test(&mem, LAYOUT_HIGH_RAM_BASE, (void *)0x200000000, ram_bytes - low), 0);
    *ret_hv = NULL;
    return hv_new(ret_hv, DEVICE, vcpus, false, &mem);
}

/* The MADT says that there is no 8259, so nothing may come from one: KVM's own has no inputs, and its
 * output is masked where it would arrive. */
static void no_interrupt_goes_to_an_8259(void **state)
{
    struct hv *hv;

    (void)state;
    assert_int_equal(new_vm(&hv, 2, 1 << 30), 0);
    assert_int_equal(kvm.ioapic_routes, KVM_IRQCHIP_PINS);
    assert_int_equal(kvm.pic_routes, 0);
    assert_int_equal(kvm.n_lapics, 2);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t lint0;

        memcpy(&lint0, kvm.lapic[i].regs + LVT_LINT0, sizeof lint0);
        assert_true(lint0 & LVT_MASKED);
    }
    assert_true(kvm.quirks & KVM_X86_QUIRK_LINT0_REENABLED);
    /* Vectors of devices leave the pins as they are. */
    assert_int_equal(hv_msi_route(hv, LAYOUT_GSI_MSI_BASE, LAYOUT_LAPIC_BASE, 0x41), 0);
    assert_int_equal(kvm.ioapic_routes, KVM_IRQCHIP_PINS);
    assert_int_equal(kvm.pic_routes, 0);
    hv_free(hv);
}

/* Slots fill and empty in any order: what is left keeps its routes, and the table doesn't grow. */
static void routes_are_given_back(void **state)
{
    enum { GSI = LAYOUT_GSI_MSI_BASE, N = 6 };
    struct hv *hv;

    (void)state;
    assert_int_equal(new_vm(&hv, 1, 1 << 30), 0);
    hv_msi_unroute(hv, GSI, LAYOUT_MAX_QUEUES); /* nothing there */
    for (unsigned round = 0; round < 5000; round++) {
        for (unsigned i = 0; i < N; i++)
            assert_int_equal(hv_msi_route(hv, GSI + i, LAYOUT_LAPIC_BASE, 0x41 + i), 0);
        assert_int_equal(kvm.msi_routes, N);
        hv_msi_unroute(hv, GSI + round % N, 2);
        for (unsigned i = 0; i < N; i++)
            assert_int_equal(kvm.msi_data[GSI + i],
                             i == round % N || i == round % N + 1 ? 0 : 0x41 + i);
        if (round % 7 == 0)
            hv_msi_unroute(hv, GSI, N);
        assert_int_equal(kvm.msi_routes, round % 7 == 0 ? 0 : round % N == N - 1 ? N - 1 : N - 2);
        assert_int_equal(kvm.ioapic_routes, KVM_IRQCHIP_PINS);
    }
    hv_free(hv);
}

static void memory_must_be_addressable(void **state)
{
    static const struct {
        uint32_t eax; /* guest's bits << 16 | processor's bits */
        uint64_t gib;
        const char *say; /* NULL: it is */
    } cases[] = {
        { 46, 1024, NULL },
        { 40, 1023, NULL },
        { 40, 1024, "use --memory size=1047552M or less" },
        { 39, 511, NULL },
        { 39, 512, "(39 bits): use --memory size=523264M or less" },
        { 0, 63, NULL }, /* no such leaf: 36 bits */
        { 0, 64, "(36 bits)" },
        { 40 << 16 | 52, 1024, "(40 bits)" }, /* nested paging translates less */
        { 52 << 16 | 40, 1024, "(40 bits)" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct hv *hv;
        int r;

        reset(state);
        kvm.width_eax = cases[i].eax;
        r = new_vm(&hv, 1, cases[i].gib << 30);
        assert_int_equal(r, cases[i].say ? -EOPNOTSUPP : 0);
        if (cases[i].say && !strstr(err_text(), cases[i].say))
            fail_msg("'%s' does not say '%s'", err_text(), cases[i].say);
        assert_int_equal(kvm.vcpus, cases[i].say ? 0 : 1);
        hv_free(hv);
    }
}

/* However often: another vCPU may never start it. */
static void waiting_for_init_is_no_error(void **state)
{
    struct hv_exit exit;
    struct hv *hv;

    (void)state;
    assert_int_equal(new_vm(&hv, 2, 1 << 30), 0);
    kvm.again = 5000;
    kvm.run_error = EINTR;
    kvm.mp_state = KVM_MP_STATE_UNINITIALIZED;
    for (unsigned i = 0; i < 5000; i++) {
        hv_vcpu_run(hv_vcpu_at(hv, 1), &exit);
        assert_int_equal(exit.kind, HV_EXIT_IDLE);
    }
    /* Its INIT has come, which KVM says by one more. */
    kvm.again = 1;
    kvm.mp_state = KVM_MP_STATE_INIT_RECEIVED;
    hv_vcpu_run(hv_vcpu_at(hv, 1), &exit);
    assert_int_equal(exit.kind, HV_EXIT_NONE);
    hv_vcpu_run(hv_vcpu_at(hv, 1), &exit);
    assert_int_equal(exit.kind, HV_EXIT_NONE);
    hv_free(hv);
}

static void host_failures_are_named(void **state)
{
    static const struct {
        int error;
        const char *say;
    } cases[] = {
        { EFAULT, "the host can't supply memory" },
        { EHWPOISON, "the host can't supply memory" },
        { EIO, "KVM_RUN on vCPU 0" },
    };
    struct hv_exit exit;
    struct hv *hv;

    (void)state;
    assert_int_equal(new_vm(&hv, 1, 1 << 30), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        kvm.run_error = cases[i].error;
        hv_vcpu_run(hv_vcpu_at(hv, 0), &exit);
        assert_int_equal(exit.kind, HV_EXIT_HOST_ERROR);
        if (!strstr(exit.what, cases[i].say))
            fail_msg("'%s' does not say '%s'", exit.what, cases[i].say);
    }
    /* A vCPU that runs and gets nowhere is not tried for ever. */
    kvm.mp_state = KVM_MP_STATE_RUNNABLE;
    kvm.again = 100000;
    do
        hv_vcpu_run(hv_vcpu_at(hv, 0), &exit);
    while (kvm.again > 0 && exit.kind == HV_EXIT_NONE);
    assert_int_equal(exit.kind, HV_EXIT_HOST_ERROR);
    hv_free(hv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_interrupt_goes_to_an_8259, reset),
        cmocka_unit_test_setup(routes_are_given_back, reset),
        cmocka_unit_test_setup(memory_must_be_addressable, reset),
        cmocka_unit_test_setup(waiting_for_init_is_no_error, reset),
        cmocka_unit_test_setup(host_failures_are_named, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
