/* SPDX-License-Identifier: Apache-2.0 */
/* dsdt.h - the differentiated system description (ACPI 6.4, section 5.2.11.1): PCI root, serial port,
 * RTC, keyboard, power button, GED, S5. */
#pragma once

#include <stdint.h>
#include "aml.h"

/* What follows the table's header. window64: guest address of layout_mmio64_base(). */
void dsdt_body(struct aml *a, uint64_t window64);
