/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image.c - any bytes as a kernel: loaded, or refused with one line; never past guest RAM. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "boot.h"
#include "shm/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { RAM = 20 << 20 };
    static uint8_t *ram;
    struct loader_entry entry;
    struct loader l;
    struct gmem mem;
    int fd = memfd_create("fuzz", MFD_CLOEXEC), r;

    if (!ram)
        ram = malloc(RAM);
    if (fd < 0 || !ram || write(fd, data, size) != (ssize_t)size)
        abort();
    gmem_init_for_test(&mem, 0, ram, RAM);
    loader_init(&l, &mem, RAM);
    l.kernel_fd = fd;
    l.cmdline = "console=ttyS0";
    r = boot_load(&l, &entry);
    if (r < 0 || (r == LOADER_E_INPUT && (l.why[0] == '\0' || strchr(l.why, '\n'))))
        abort();
    if (r == 0 && (entry.rip < LAYOUT_KERNEL_MIN || entry.rip >= RAM))
        abort();
    close(fd);
    return 0;
}
