/* SPDX-License-Identifier: Apache-2.0 */
/* images.c - see images.h. */
#include "images.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
    memcpy(p, &v, bytes);
}

void image_bzimage(uint8_t buf[BZIMAGE_BYTES])
{
    memset(buf, 0x90, BZIMAGE_BYTES);
    memset(buf, 0, 0x300);
    buf[0x1f1] = 4; /* setup sectors after the first */
    put(buf + 0x1f4, (BZIMAGE_BYTES - 5 * 512) / 16, 4);
    put(buf + 0x1fe, 0xaa55, 2);
    buf[0x201] = 0x6a; /* header ends at 0x26c */
    memcpy(buf + 0x202, "HdrS", 4);
    put(buf + 0x206, 0x20f, 2);
    put(buf + 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    put(buf + 0x230, 0x200000, 4);   /* alignment */
    buf[0x234] = 1;                  /* relocatable */
    put(buf + 0x236, 1, 2);          /* 64-bit entry */
    put(buf + 0x238, 2047, 4);       /* cmdline_size */
    put(buf + 0x258, 0x1000000, 8);  /* preferred address: 16 MiB */
    put(buf + 0x260, 0x100000, 4);   /* init_size */
}

void image_elf(uint8_t buf[ELF_BYTES])
{
    Elf64_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                     .e_type = ET_EXEC,
                     .e_machine = EM_X86_64,
                     .e_version = EV_CURRENT,
                     .e_phoff = sizeof h,
                     .e_ehsize = sizeof h,
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2 };
    Elf64_Phdr ph[2] = {
        { .p_type = PT_LOAD,
          .p_offset = 4096,
          .p_paddr = 0x1000000,
          .p_filesz = 4096,
          .p_memsz = 8192 },
        { .p_type = PT_NOTE, .p_offset = 1024, .p_filesz = 20 },
    };
    struct {
        Elf64_Nhdr n;
        char name[4];
        uint32_t desc;
    } note = { { 4, 4, 18 }, "Xen", 0x1000000 };

    memset(buf, 0, ELF_BYTES);
    memcpy(buf, &h, sizeof h);
    memcpy(buf + sizeof h, ph, sizeof ph);
    memcpy(buf + 1024, &note, sizeof note);
    memset(buf + 4096, 0x90, 4096);
}

int image_fd(const void *bytes, size_t len)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        abort();
    return fd;
}
