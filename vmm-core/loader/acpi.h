/* SPDX-License-Identifier: Apache-2.0 */
/* acpi.h - the tables' bytes, apart from where they go: dsdt.c writes AML, acpi.c the rest. */
#pragma once

#include "aml.h"

/* The differentiated system description: PCI root, serial port, RTC, keyboard, power button, GED, S5. */
void dsdt_body(struct aml *a);
