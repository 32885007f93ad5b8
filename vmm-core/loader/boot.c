/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - see boot.h: the order of loading, command line, initramfs. */
#include "boot.h"

#include <errno.h>
#include <string.h>
#include "acpi.h"
#include "base/err.h"
#include "bzimage.h"
#include "shm/layout.h"
#include "vmlinux.h"

static int load_cmdline(struct loader *l, uint32_t kernel_max)
{
    size_t len = strlen(l->cmdline);
    size_t max = MIN((size_t)kernel_max, (size_t)LAYOUT_CMDLINE_MAX - 1);

    if (len > max)
        return loader_bad(
            l, "the command line has %zu bytes, at most %zu are possible: shorten --cmdline", len,
            max);
    return gmem_write(l->mem, GPA(LAYOUT_CMDLINE), l->cmdline, len + 1) == 0
               ? 0
               : err_origin(-EFAULT, "writing the command line");
}

static int initramfs_too_large(struct loader *l, const struct kernel_image *image, uint64_t size)
{
    const uint64_t most = MIN(image->initrd_limit, LAYOUT_LOW_RAM_MAX);
    const uint64_t room = most > image->end ? (most - image->end) & ~(uint64_t)(PAGE_BYTES - 1) : 0;

    if (size > room)
        return loader_bad(l,
                          "the initramfs (%llu MiB) is too large: this kernel can be given at most "
                          "%llu MiB",
                          (unsigned long long)(size >> 20) + 1, (unsigned long long)(room >> 20));
    return loader_bad(l,
                      "the initramfs (%llu MiB) doesn't fit in memory beside the kernel: it "
                      "needs --memory size=%lluM or more",
                      (unsigned long long)(size >> 20) + 1,
                      (unsigned long long)((image->end + size) >> 20) + 2);
}

/* As high as the kernel allows, so that it is out of the way of decompression. */
static int load_initramfs(struct loader *l, const struct kernel_image *image,
                          struct initrd *ret_initrd)
{
    uint64_t limit = MIN(image->initrd_limit, l->low_ram_end);
    uint64_t size = 0;
    int r;

    *ret_initrd = (struct initrd){ 0 };
    if (l->initramfs_fd < 0)
        return 0;
    r = loader_size(l->initramfs_fd, &size);
    if (r < 0)
        return err_trace(r);
    if (size == 0)
        return loader_bad(l, "the initramfs is empty");
    if (image->end > limit || size > limit - image->end ||
        ((limit - size) & ~(uint64_t)(PAGE_BYTES - 1)) < image->end)
        return initramfs_too_large(l, image, size);
    ret_initrd->size = size;
    ret_initrd->addr = (limit - size) & ~(uint64_t)(PAGE_BYTES - 1);
    return loader_pread_guest(l, l->initramfs_fd, 0, GPA(ret_initrd->addr), size, "initramfs");
}

static int load_kernel(struct loader *l, struct kernel_image *ret_image)
{
    uint8_t magic[64];
    uint64_t size = 0;
    int r = loader_size(l->kernel_fd, &size);

    if (r < 0)
        return err_trace(r);
    if (size == 0)
        return loader_bad(l, "the kernel is empty");
    if (size < 1024)
        return loader_bad(l, "the kernel is no bzImage and no ELF vmlinux: it has only %llu bytes",
                          (unsigned long long)size);
    r = loader_pread(l, l->kernel_fd, 0, magic, sizeof magic, "kernel");
    if (r != 0)
        return r;
    if (memcmp(magic, "\177ELF", 4) == 0)
        return vmlinux_load(l, ret_image);
    if (memcmp(magic + 0x38, "ARM\x64", 4) == 0)
        return loader_bad(l, "the kernel is for arm64, this host runs x86-64 guests");
    return bzimage_load(l, ret_image);
}

/* Where firmware would be entered. Linux on hardware-reduced ACPI without EFI has no other way to
 * restart the machine than a jump there in real mode: it finds a write to the reset register. */
static int write_reset_stub(struct loader *l)
{
    static const uint8_t code[] = {
        0xba,
        LAYOUT_PIO_RESET & 0xff,
        LAYOUT_PIO_RESET >> 8, /* mov dx, port */
        0xb0,
        LAYOUT_RESET_VALUE, /* mov al, value */
        0xee,               /* out dx, al */
        0xf4,               /* hlt */
        0xeb,
        0xfd, /* jmp to the hlt */
    };

    return gmem_write(l->mem, GPA(LAYOUT_RESET_VECTOR), code, sizeof code) == 0
               ? 0
               : err_origin(-EFAULT, "writing the reset vector");
}

int boot_load(struct loader *l, struct loader_entry *ret_entry)
{
    struct kernel_image image = { 0 };
    struct initrd initrd = { 0 };
    int r = load_kernel(l, &image);

    if (r == 0)
        r = load_cmdline(l, image.cmdline_max);
    if (r == 0)
        r = load_initramfs(l, &image, &initrd);
    if (r == 0)
        r = acpi_write(l);
    if (r == 0)
        r = write_reset_stub(l);
    if (r == 0)
        r = image.entry.kind == LOADER_ENTRY_PVH ? pvh_info_write(l, initrd)
                                                 : boot_params_write(l, &image, initrd);
    if (r == 0)
        *ret_entry = image.entry;
    return r;
}
