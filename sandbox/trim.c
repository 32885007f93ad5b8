/* SPDX-License-Identifier: Apache-2.0 */
/* trim.c - see trim.h. A static program brings the whole C library's start with it: most of what
 * was mapped on the way here is never run again. */
#include "sandbox/trim.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern const char __ehdr_start[]; /* the linker's: the ELF header, where the first segment begins */

void trim_start_code(void)
{
    const ElfW(Phdr) *phdr = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    const uintptr_t n = getauxval(AT_PHNUM), page = getauxval(AT_PAGESZ);

    malloc_trim(0);
    for (uintptr_t i = 0; phdr && i < n; i++) {
        uintptr_t begin, end;

        /* Written pages are private copies: their bytes would be lost. */
        if (phdr[i].p_type != PT_LOAD || phdr[i].p_flags & PF_W)
            continue;
        begin = ((uintptr_t)__ehdr_start + phdr[i].p_vaddr) & ~(page - 1);
        end =
            ((uintptr_t)__ehdr_start + phdr[i].p_vaddr + phdr[i].p_memsz + page - 1) & ~(page - 1);
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}
