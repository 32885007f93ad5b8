/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - the manifests of a fleet, from a folder or one by one. What others than root and the caller may write is refused:
 * who describes a VM decides what runs as its tenant. */
#pragma once

#include "fleet/fleet.h"

#define FILES_FOLDER "fleet.d" /* in the service's configuration directory */

/* Where a fleet is described if nobody says. 0, or a negative errno. */
int files_default_folder(char *dst, size_t size) must_check;
/* The manifests of a folder (*.yaml, *.yml, *.json), by name. may_be_missing: then there are none. */
void files_read_folder(struct fleet *fleet, const char *folder, bool may_be_missing);
void files_read_one(struct fleet *fleet, const char *path);
/* For order_check(). */
bool files_identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino);
