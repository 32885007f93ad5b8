/* SPDX-License-Identifier: Apache-2.0 */
/* boot.h - puts a kernel, its initramfs, command line, memory map and ACPI tables into guest RAM. */
#pragma once

#include "base/compiler.h"
#include "kernel_image.h"
#include "loader.h"

/* 0 and *ret_entry, LOADER_E_INPUT with l->why, or a negative errno with an origin. */
int boot_load(struct loader *l, struct loader_entry *ret_entry) must_check;
