/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_cmdline.c - any text as the command line, with any limit the kernel's header may name. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "boot.h"
#include "images.h"
#include "shm/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { RAM = 20 << 20 };
    static uint8_t image[BZIMAGE_BYTES], *ram;
    static char text[8192], back[LAYOUT_CMDLINE_MAX];
    struct loader_entry entry;
    struct loader l;
    struct gmem mem;
    int r;

    if (size < 4 || size - 4 >= sizeof text)
        return 0;
    if (!ram)
        ram = malloc(RAM);
    image_bzimage(image);
    memcpy(image + 0x238, data, 4);
    memcpy(text, data + 4, size - 4);
    text[size - 4] = '\0';
    gmem_init_for_test(&mem, 0, ram, RAM);
    loader_init(&l, &mem, RAM);
    l.kernel_fd = image_fd(image, sizeof image);
    l.cmdline = text;
    r = boot_load(&l, &entry);
    if (r < 0)
        abort();
    if (r == 0 && (gmem_read(&mem, GPA(LAYOUT_CMDLINE), back, strlen(text) + 1) != 0 ||
                   strcmp(back, text) != 0))
        abort();
    close(l.kernel_fd);
    return 0;
}
