/* SPDX-License-Identifier: Apache-2.0 */
/* vmlinux.c - see vmlinux.h. */
#include "vmlinux.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "memmap.h"
#include "shm/layout.h"

enum { NOTE_PHYS32_ENTRY = 18, MAX_PHDRS = 64, MAX_NOTES_BYTES = 65536, MAX_NOTES = 256 };
#define START_MAGIC 0x336ec578u

struct start_info { /* struct hvm_start_info, version 1 */
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
struct modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};
struct pvh_memmap {
    uint64_t addr, size;
    uint32_t type, reserved;
};

static int check_header(struct loader *l, const Elf64_Ehdr *h)
{
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        h->e_machine != EM_X86_64)
        return loader_bad(l,
                          "the kernel is an ELF file for another architecture: x86-64 is needed");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return loader_bad(
            l, "the kernel is an ELF file that can't be executed (an object or core file)");
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > MAX_PHDRS)
        return loader_bad(l, "the kernel's ELF program headers are malformed");
    return 0;
}

/* One note: {namesz, descsz, type, name, desc}, both padded to four bytes. */
static int read_note(struct loader *l, uint64_t off, uint64_t end, uint64_t *ret_next,
                     uint64_t *ret_entry)
{
    Elf64_Nhdr n;
    char name[4] = { 0 };
    uint64_t at, desc = 0;
    int r = loader_pread(l, l->kernel_fd, off, &n, sizeof n, "kernel");

    if (r != 0)
        return r;
    at = off + sizeof n;
    *ret_next = at + align_up(n.n_namesz, 4) + align_up(n.n_descsz, 4);
    if (*ret_next > end || *ret_next <= off || n.n_type != NOTE_PHYS32_ENTRY || n.n_namesz != 4)
        return 0;
    if (n.n_descsz != 4 && n.n_descsz != 8)
        return loader_bad(l, "the kernel's PVH note is malformed");
    r = loader_pread(l, l->kernel_fd, at, name, 4, "kernel");
    if (r != 0 || memcmp(name, "Xen", 4) != 0)
        return r;
    r = loader_pread(l, l->kernel_fd, at + 4, &desc, n.n_descsz, "kernel");
    if (r == 0)
        *ret_entry = desc;
    return r;
}

static int find_entry(struct loader *l, const Elf64_Phdr *ph, uint64_t *ret_entry)
{
    uint64_t off = ph->p_offset, end;

    if (ph->p_filesz > MAX_NOTES_BYTES || ph->p_offset > INT64_MAX - ph->p_filesz)
        return loader_bad(l, "the kernel's ELF notes are malformed");
    end = off + ph->p_filesz;
    for (unsigned i = 0; i < MAX_NOTES && end - off >= sizeof(Elf64_Nhdr); i++) {
        uint64_t next = 0;
        int r = read_note(l, off, end, &next, ret_entry);

        if (r != 0)
            return r;
        if (next > end || next <= off)
            break;
        off = next;
    }
    return 0;
}

/* *total bounds the work: overlapping segments could name all of RAM, or of the file, many times. */
static int load_segment(struct loader *l, const Elf64_Phdr *ph, uint64_t *end, uint64_t *total)
{
    int r;

    if (ph->p_memsz == 0)
        return 0;
    if (ph->p_filesz > ph->p_memsz || ph->p_paddr < LAYOUT_KERNEL_MIN)
        return loader_bad(
            l, "the kernel has a segment for address %#llx: it must lie at 1 MiB or above",
            (unsigned long long)ph->p_paddr);
    if (ph->p_paddr >= l->low_ram_end || ph->p_memsz > l->low_ram_end - ph->p_paddr)
        return loader_bad(
            l, "the kernel needs memory up to %llu MiB: give the guest more (--memory)",
            (unsigned long long)((MIN(ph->p_paddr, 1ull << 50) + MIN(ph->p_memsz, 1ull << 50)) >>
                                 20) +
                1);
    if (ph->p_memsz > l->low_ram_end - *total)
        return loader_bad(l, "the kernel's segments overlap");
    *total += ph->p_memsz;
    r = loader_pread_guest(l, l->kernel_fd, ph->p_offset, GPA(ph->p_paddr), ph->p_filesz, "kernel");
    *end = MAX(*end, ph->p_paddr + ph->p_memsz);
    return r; /* what is beyond filesz is zero: RAM is fresh */
}

int vmlinux_load(struct loader *l, struct kernel_image *ret_image)
{
    uint64_t entry = 0, end = 0, total = 0;
    Elf64_Ehdr h;
    int r = loader_pread(l, l->kernel_fd, 0, &h, sizeof h, "kernel");

    if (r == 0)
        r = check_header(l, &h);
    for (unsigned i = 0; r == 0 && i < h.e_phnum; i++) {
        Elf64_Phdr ph;

        if (h.e_phoff > INT64_MAX - (uint64_t)MAX_PHDRS * sizeof ph)
            return loader_bad(l, "the kernel's ELF program headers are malformed");
        r = loader_pread(l, l->kernel_fd, h.e_phoff + i * sizeof ph, &ph, sizeof ph, "kernel");
        if (r == 0 && ph.p_type == PT_LOAD)
            r = load_segment(l, &ph, &end, &total);
        else if (r == 0 && ph.p_type == PT_NOTE)
            r = find_entry(l, &ph, &entry);
    }
    if (r != 0)
        return r;
    if (entry == 0)
        return loader_bad(l, "the kernel is an ELF file without a PVH entry note: build it with "
                             "CONFIG_PVH, or use its bzImage");
    if (entry < LAYOUT_KERNEL_MIN || entry >= end)
        return loader_bad(l, "the kernel's PVH entry %#llx lies outside of it",
                          (unsigned long long)entry);
    ret_image->entry = (struct loader_entry){ .kind = LOADER_ENTRY_PVH,
                                              .rip = entry,
                                              .boot_data = LAYOUT_HVM_START_INFO };
    ret_image->end = align_up(end, PAGE_BYTES);
    ret_image->initrd_limit = UINT32_MAX;
    ret_image->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
    return 0;
}

int pvh_info_write(struct loader *l, struct initrd initrd)
{
    const uint64_t modlist_at = LAYOUT_HVM_START_INFO + 64;
    struct modlist_entry module = { .paddr = initrd.addr, .size = initrd.size };
    struct memmap_entry map[MEMMAP_MAX];
    unsigned n = memmap_build(l, map);
    struct start_info info = {
        .magic = START_MAGIC,
        .version = 1,
        .nr_modules = initrd.size > 0,
        .modlist_paddr = initrd.size > 0 ? modlist_at : 0,
        .cmdline_paddr = LAYOUT_CMDLINE,
        .rsdp_paddr = LAYOUT_RSDP,
        .memmap_paddr = LAYOUT_PVH_MEMMAP,
        .memmap_entries = n,
    };
    int r = gmem_write(l->mem, GPA(LAYOUT_HVM_START_INFO), &info, sizeof info);

    r |= gmem_write(l->mem, GPA(modlist_at), &module, sizeof module);
    for (unsigned i = 0; i < n; i++) {
        struct pvh_memmap e = { .addr = map[i].addr, .size = map[i].size, .type = map[i].type };

        r |= gmem_write(l->mem, GPA(LAYOUT_PVH_MEMMAP + i * sizeof e), &e, sizeof e);
    }
    return r == 0 ? 0 : err_origin(-EFAULT, "writing the PVH start info");
}
