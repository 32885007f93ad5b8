/* SPDX-License-Identifier: Apache-2.0 */
/* bzimage.h - the Linux/x86 boot protocol, 64-bit entry (Documentation/arch/x86/boot.rst). Both
 * return 0, LOADER_E_INPUT with l->why, or a negative errno with an origin. */
#pragma once

#include "base/compiler.h"
#include "kernel_image.h"
#include "loader.h"

/* Puts l->kernel_fd's code into RAM. */
int bzimage_load(struct loader *l, struct kernel_image *ret_image) must_check;
/* struct boot_params, and the descriptor and page tables that the entry wants. */
int boot_params_write(struct loader *l, const struct kernel_image *image,
                      struct initrd initrd) must_check;
