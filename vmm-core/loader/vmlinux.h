/* SPDX-License-Identifier: Apache-2.0 */
/* vmlinux.h - an ELF vmlinux with a PVH entry note (Xen's docs/misc/pvh.pandoc, elfnote 18). Both
 * return 0, LOADER_E_INPUT with l->why, or a negative errno with an origin. */
#pragma once

#include "base/compiler.h"
#include "kernel_image.h"
#include "loader.h"

/* Puts l->kernel_fd's segments into RAM. */
int vmlinux_load(struct loader *l, struct kernel_image *ret_image) must_check;
/* struct hvm_start_info with its lists. */
int pvh_info_write(struct loader *l, struct initrd initrd) must_check;
