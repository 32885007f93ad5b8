/* SPDX-License-Identifier: Apache-2.0 */
/* acpi.h - hardware-reduced ACPI tables (ACPI 6.4, chapter 5). */
#pragma once

#include "base/compiler.h"
#include "loader.h"

/* At LAYOUT_RSDP and LAYOUT_ACPI_TABLES; 0, or a negative errno with an origin. */
int acpi_write(struct loader *l) must_check;
